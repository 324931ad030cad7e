#!/usr/bin/env python3
"""What the shipped judge and generator of the tiny world are worth, as markdown tables.

Every clip is written as mp4 and judged by the C++ engine; the truth is the oracle's. Prompts are of the test split,
natural pictures are those that were never trained on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from training import natural, world  # noqa: E402
from training.judge_data import scattered  # noqa: E402

printed: list[str] = []


def show(text: str) -> None:
    printed.append(text)
    print(text, flush=True)


DIMENSIONS = ("visual_quality", "text_alignment", "physical_consistency")
NATURAL_PROMPT = "the camera pans slowly over a picture"


def write_mp4(clip: np.ndarray, path: Path) -> None:
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=world.FPS)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "12"}
        for frame in clip:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        file.mux(stream.encode())


class Engine:
    """`bestreel score`, some clips of one prompt a call, two calls at a time."""

    def __init__(self, binary: Path, judge: Path, folder: Path, threads: int):
        self.binary, self.judge, self.folder, self.threads, self.count = binary, judge, folder, threads, 0

    def _call(self, prompt: str, paths: list[Path]) -> list[list[float]]:
        run = subprocess.run(
            [self.binary, "score", *paths, "--prompt", prompt, "--judge", self.judge, "--json", "--threads", "1",
             "--rationale", "160"], capture_output=True, text=True, check=False)  # fmt: skip
        if run.returncode != 0:
            raise RuntimeError(f"bestreel score failed: {run.stderr.strip()[-500:]}")
        found = {}
        for line in run.stdout.splitlines():
            row = json.loads(line)
            found[Path(row["video"]).name] = [d["expected"] for d in row["dimensions"]]
        return [found[path.name] for path in paths]

    def score(self, groups: list[tuple[str, np.ndarray]]) -> list[np.ndarray]:
        """(prompt, clips) each -> (clips, 3) each."""
        jobs = []
        for prompt, clips in groups:
            paths = []
            for clip in clips:
                paths.append(self.folder / f"{self.count}.mp4")
                write_mp4(clip, paths[-1])
                self.count += 1
            jobs.append((prompt, paths))
        with ThreadPoolExecutor(self.threads) as pool:
            return [np.array(rows) for rows in pool.map(lambda job: self._call(*job), jobs)]


def interval(measure, count: int, rounds=500) -> str:
    """95 % bootstrap interval of a measure of indices."""
    rng = np.random.default_rng(0)
    values = [measure(rng.integers(0, count, count)) for _ in range(rounds)]
    return "{:.2f} to {:.2f}".format(*np.nanpercentile(values, (2.5, 97.5)))


def correlation_table(title: str, truth: np.ndarray, said: np.ndarray) -> dict:
    show(f"\n**{title}** ({len(truth)} clips)\n\n| dimension | Spearman | 95 % | mean truth | mean judged |")
    show("|---|---|---|---|---|")
    found = {}
    for k, name in enumerate(DIMENSIONS):
        def rho(index, k=k):
            return spearmanr(truth[index, k], said[index, k]).statistic

        found[name] = float(rho(np.arange(len(truth))))
        show(f"| {name} | {found[name]:.3f} | {interval(rho, len(truth))} | {truth[:, k].mean():.2f} | "
              f"{said[:, k].mean():.2f} |")
    return found


def truth_of(prompt: str, clip: np.ndarray) -> list[float]:
    truth = world.oracle(prompt, clip)["truth"]
    return [truth[name] for name in DIMENSIONS]


def rendered(engine: Engine, count: int) -> dict:
    clips, labels = scattered(9_000_000, count, split="test", labels=True)
    truth = np.array([[label["truth"][name] for name in DIMENSIONS] for label in labels])
    said = engine.score([(label["prompt"], clip[None]) for label, clip in zip(labels, clips)])
    return correlation_table("Rendered clips, expected score against the oracle's truth", truth, np.concatenate(said))


def generated(engine: Engine, clips: np.ndarray, prompts: list[str]) -> dict:
    """clips (prompts, 8, 17, 64, 64, 3)."""
    truth = np.array([[truth_of(prompt, clip) for clip in row] for prompt, row in zip(prompts, clips)])
    said = np.stack(engine.score(list(zip(prompts, clips))))
    found = correlation_table("Generated clips, expected score against the oracle's truth",
                              truth.reshape(-1, 3), said.reshape(-1, 3))
    show("\n**Picking one of 8 generated clips** "
          f"({len(prompts)} prompts)\n\n| by | mean truth of the pick | way from random to oracle | 95 % |\n|---|---|---|---|")
    mean = truth.mean(2)
    rows = np.arange(len(prompts))
    best, random = mean.max(1), mean.mean(1)

    def share(pick):
        return lambda index: (pick[index] - random[index]).mean() / (best[index] - random[index]).mean()

    show(f"| random | {random.mean():.2f} | 0 % | |")
    pick = mean[rows, said.mean(2).argmax(1)]
    found["pick"] = float(share(pick)(rows))
    show(f"| the judge | {pick.mean():.2f} | {100 * found['pick']:.0f} % | {interval(share(pick), len(rows))} |")
    show(f"| oracle | {best.mean():.2f} | 100 % | |")
    for k, name in enumerate(DIMENSIONS):
        t = truth[..., k]
        gain = (t[rows, said[..., k].argmax(1)] - t.mean(1)).mean() / max(1e-9, (t.max(1) - t.mean(1)).mean())
        show(f"| the judge, {name} alone | {t[rows, said[..., k].argmax(1)].mean():.2f} of {t.max(1).mean():.2f} | "
              f"{100 * gain:.0f} % | |")
    return found


def natural_pairs(engine: Engine) -> dict:
    pairs = natural.test_pairs()
    said = engine.score([(NATURAL_PROMPT, np.stack(pair[1:3])) for pair in pairs])
    right = sum(bool(rows[0][0] > rows[1][0]) for rows in said)
    show("\n**Natural pictures in motion, visual quality of the better and the worse of a pair**\n")
    show("| picture | flaw, severities | better | worse | |\n|---|---|---|---|---|")
    for (name, _, _, what), rows in zip(pairs, said):
        show(f"| {name} | {what} | {rows[0][0]:.2f} | {rows[1][0]:.2f} | {'right' if rows[0][0] > rows[1][0] else 'wrong'} |")
    show(f"\n{right} of {len(pairs)} pairs are ordered rightly.")
    return {"pairs": right}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, default=HERE / "checkpoints" / "judge")
    parser.add_argument("--generator", type=Path, default=HERE / "checkpoints" / "generator")
    parser.add_argument("--bestreel", type=Path, default=HERE.parents[1] / "build" / "release" / "bin" / "bestreel")
    parser.add_argument("--rendered", type=int, default=240, help="rendered clips (240)")
    parser.add_argument("--prompts", type=int, default=30, help="test prompts, 8 generated clips each (30)")
    parser.add_argument("--threads", type=int, default=2, help="judges at a time (2)")
    parser.add_argument("--json", type=Path, help="the figures, for a test to compare with")
    parser.add_argument("--clips", type=Path, help="a .npy of the generated clips, used where it exists, else made")
    parser.add_argument("--skip-generated", action="store_true", help="where there is no generator")
    parser.add_argument("--card", type=Path, help="a model card whose figures are replaced by these")
    args = parser.parse_args()
    begin = time.monotonic()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(args.bestreel, args.judge, Path(folder), args.threads)
        figures["rendered"] = rendered(engine, args.rendered)
        if not args.skip_generated:
            from training.judge_generated import sample, test_prompts

            prompts = test_prompts(args.prompts)
            if args.clips and args.clips.exists():
                clips = np.load(args.clips)
            else:
                clips = sample(args.generator, prompts, 8, seed=90_000)
                if args.clips:
                    np.save(args.clips, clips)
            figures["generated"] = generated(engine, clips, prompts)
        figures["natural"] = natural_pairs(engine)
    show(f"\n{time.monotonic() - begin:.0f} seconds.")
    if args.card:
        head = args.card.read_text(encoding="utf-8").split("## Figures")[0]
        args.card.write_text(head + f"## Figures\n\nBy `examples/tinyworld/evaluate.py`, through the C++ engine, on "
                             "prompts and pictures never trained on.\n" + "\n".join(printed) + "\n", encoding="utf-8")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
