"""What differs between generations of the program: its flags, and where its results stand.

Whoever renames a flag adds the new word in front in FLAGS; whoever moves a field of `export --format jsonl`
or a file of a run teaches the one function below that reads it, and leaves the old way in it.
"""

import hashlib
import json
import pathlib
import re
import subprocess

import av

# The cases' word: the flags that it may be, newest first. The first that the command's --help names is it.
FLAGS = {
    "cascade": ("cascade", "keep"),
    "quantize": ("quantize", "weights"),
    "judge-weights": ("judge-weights", "weights"),
    "judge-seed": ("judge-seed", "seed"),
    "negative-prompt": ("negative-prompt", "negative"),
    "sde-eta": ("sde-eta", "eta-noise"),
    "reduction-factor": ("reduction-factor", "eta"),
    "samples": ("samples", "readings"),
}


class Failed(Exception):
    """The program did not do what a case asks; a sentence."""


class Program:
    """One build: `side` is its name in messages, `folder` its bin folder."""

    def __init__(self, side, folder):
        self.side = side
        self.path = pathlib.Path(folder) / "bestreel"
        self.help = {}

    def call(self, *words, timeout=900):
        """(exit status, stdout, stderr)."""
        try:
            done = subprocess.run([str(self.path), *map(str, words)], capture_output=True, text=True, timeout=timeout,
                                  stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.side}: {words[0]} did not end within {timeout} s") from None
        return done.returncode, done.stdout, done.stderr

    def checked(self, *words):
        code, out, err = self.call(*words)
        if code != 0:
            lines = [line for line in err.strip().splitlines() if line.strip()] or ["(no sentence)"]
            raise Failed(f"{self.side}: {words[0]} exits with {code}: {lines[-1]}")
        return out

    # ---- Flags -------------------------------------------------------------------------------------

    def flag(self, command, word):
        """The flag of this program that is the cases' `word`."""
        if command not in self.help:
            self.help[command] = set(re.findall(r"--([a-z0-9][a-z0-9-]*)", self.checked(command, "--help")))
        for flag in FLAGS.get(word, (word,)):
            if flag in self.help[command]:
                return "--" + flag
        raise Failed(f"{self.side}: {command} has no flag for \"{word}\": add its new word to FLAGS in program.py")

    def words(self, command, options):
        """The options as a command line. Words that are one flag here, such as the two seeds, are given once."""
        given = {}
        for word, value in options.items():
            values = given.setdefault(self.flag(command, word), [])
            values += [one for one in (value if isinstance(value, list) else [value]) if one not in values]
        line = []
        for flag, values in given.items():
            for value in values:
                line += [flag] if value is True else [flag, value]
        return line

    def versions(self):
        """What the bits of a result depend on beside the program: name to value."""
        pairs = (re.split(r"\s{2,}|: ", line.strip(), maxsplit=1) for line in self.checked("--version").splitlines())
        return {pair[0].lower(): pair[1] for pair in pairs if len(pair) == 2 and pair[0].lower() != "build"}

    # ---- Results: a function for each thing that is read -------------------------------------------

    def rows(self, run):
        """The candidates that were finished, best first."""
        rows = [json.loads(line) for line in self.checked("export", run, "--format", "jsonl").splitlines()]
        ranked = [row for row in rows if rank_of(row) is not None]
        if not ranked:
            raise Failed(f"{self.side}: the export of {run} ranks nobody: see rank_of() in program.py")
        return sorted(ranked, key=rank_of)


def rank_of(row):
    return row.get("rank")


def label_of(row, seed):
    """A candidate of generate: how far its seed is from the run's; a ranked file: its name."""
    if row.get("seed") is not None:
        return f"seed+{int(row['seed']) - seed}"
    name = pathlib.Path(row["video"]).name
    numbered = re.fullmatch(r"c(\d+)", name)
    return f"seed+{int(numbered.group(1))}" if numbered else name


def reward_of(row):
    return row["reward"]


def is_winner(row):
    return bool(row["winner"])


def judgements_of(row):
    """One per judge, in the judges' order; None: it did not judge this one."""
    return [each if each.get("dimensions") else None for each in row["results"]]


def dimensions_of(judgement):
    """Name to the numbers of it."""
    return {each["name"]: [each["expected"], each.get("std")] for each in judgement["dimensions"]}


def tokens_of(judgement):
    """What the judge wrote; None: it writes nothing."""
    return judgement.get("output_tokens")


def lossless_of(row, run):
    """The FFV1 file; None: the run has none."""
    name = row.get("lossless")
    return pathlib.Path(run) / name if name else None


def previews_of(run, seed):
    """Label and step to the file of it. Their names are c003-step002."""
    files = {}
    for path in sorted((pathlib.Path(run) / "previews").glob("*.mp4")):
        candidate, step = re.fullmatch(r"(.+)-step(\d+)", path.stem).groups()
        files[f"{label_of({'video': candidate}, seed)} step {int(step)}"] = path
    return files


def frame_hashes(path):
    """SHA-256 of each frame as RGB, 8 bits; the size is part of it."""
    with av.open(str(path)) as file:
        hashes = [hashlib.sha256(repr(frame.shape).encode() + frame.tobytes()).hexdigest()
                  for frame in (each.to_ndarray(format="rgb24") for each in file.decode(video=0))]
    if not hashes:
        raise Failed(f"{path} holds no frame")
    return hashes


def read_results(program, run, seed):
    """What is compared of a run: facet to key to value."""
    rows = program.rows(run)
    found = {"frames": {}, "previews": {}, "tokens": {}, "expected": {}, "reward": {}, "order": {}, "winner": {}}
    for place, row in enumerate(rows, 1):
        label = label_of(row, seed)
        if label in found["reward"]:
            raise Failed(f"{program.side}: {run} has two candidates that are {label}: see label_of() in program.py")
        found["order"][f"place {place}"] = label
        found["reward"][label] = reward_of(row)
        if is_winner(row):
            found["winner"]["winner"] = label
        if lossless := lossless_of(row, run):
            found["frames"][label] = frame_hashes(lossless)
        for number, judgement in enumerate(judgements_of(row), 1):
            if judgement is None:
                continue
            for name, numbers in dimensions_of(judgement).items():
                found["expected"][f"{label} judge {number} {name}"] = numbers
            if tokens_of(judgement) is not None:
                found["tokens"][f"{label} judge {number}"] = tokens_of(judgement)
    for key, path in previews_of(run, seed).items():
        found["previews"][key] = frame_hashes(path)
    return found
