"""One table of options: what the parser refuses, and what help, completion and manual say of it."""

import json
import re
import shutil
import sqlite3
import subprocess

import pytest
from tiny import PROMPT, export, files_of, options

SHORT = options("--steps", 2)


@pytest.mark.parametrize("arguments, words", [
    (["--size", "64x"], "WIDTHxHEIGHT"),
    (["--size", "x48"], "WIDTHxHEIGHT"),
    (["--guidance", "nan"], "guidance must be a number, but got nan"),
    (["--guidance", "1e999"], "guidance must be a number"),
    (["--lora", "no.safetensors:"], "with a finite number"),
    (["--lora", "no.safetensors:inf"], "with a finite number"),
    (["--top", "0"], "top must be between 1 and"),
    (["--steps", "2.5"], "steps must be a whole number"),
    (["--max-seconds", "nan"], "max-seconds must be a number above 0"),
    (["--rungs", "99999999999999999999", "--strategy", "halving"], "rungs must be"),
    (["--sed", "3"], "sed is no option of generate, did you mean seed?"),
    (["--negative", "x"], "did you mean negative-prompt?"),
    (["--strategy", "halvin"], "did you mean halving?"),
    (["--judge", "pixel"], "did you mean pixels?"),
    (["--reduction-factor", "3"], "reduction-factor belongs to the strategy halving"),
    (["--seed", "-2"], "seed must be a whole number from 0"),
    (["--steps", "2", "--num-inference-steps", "3"], "steps may be given once"),
])
def test_what_cannot_be_meant_is_refused_before_anything_is_made(bestreel, tmp_path, arguments, words):
    given = SHORT if arguments[0] not in SHORT else options(arguments[0], arguments[1])
    more = arguments if given is SHORT else arguments[2:]
    done = bestreel("generate", *given, *more, "-p", PROMPT, "-n", 1, "--out", tmp_path / "run")
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "run").exists()


def test_the_words_of_diffusers_are_aliases(bestreel, tmp_path):
    """The positive control of the refusals above, and the same run under both names."""
    done = bestreel("generate", *SHORT, "-p", PROMPT, "-n", 1, "--out", tmp_path / "ours")
    assert done.returncode == 0, done.stderr
    words = {"--frames": "--num-frames", "--steps": "--num-inference-steps", "--guidance": "--guidance-scale"}
    done = bestreel("generate", *[words.get(word, word) for word in SHORT], "-p", PROMPT, "-n", 1, "--out", tmp_path / "theirs")
    assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "ours") == files_of(tmp_path / "theirs")


@pytest.mark.parametrize("line, words", [
    ('{"prompt": "a circle", "negative": "blur"}', "got negative, did you mean negative_prompt?"),
    ('{"prompt": "a circle", "sed": 7}', "got sed, did you mean seed?"),
    ('{"prompt": "a circle", "seed": 1.7}', "line 2] seed must be a whole number"),
    ('{"prompt": "a circle", "seed": -2}', "line 2] seed must be a whole number"),
    ('{"prompt": "a circle", "id": 3}', "id must be a text"),
    ('{"prompt": 3}', "must be a prompt, or a JSON object"),
    ('{"prompt": "a circle", "id": "../x"}', "id must be letters"),
])
def test_a_wrong_line_of_prompts_is_named_before_anything_is_made(bestreel, tmp_path, line, words):
    (tmp_path / "prompts").write_text(f"{PROMPT}\n{line}\n")
    done = bestreel("generate", *SHORT, "--prompts", tmp_path / "prompts", "-n", 1, "--out", tmp_path / "runs")
    assert done.returncode in (1, 2) and words in done.stderr, done.stderr
    assert not (tmp_path / "runs").exists()


def test_prompts_of_other_editors_are_read(bestreel, tmp_path):
    text = PROMPT + "\r\n" + '{"prompt": "' + PROMPT + '", "id": "two", "seed": 5}\r\n'
    for name, data in {"bom": b"\xef\xbb\xbf" + text.encode(), "utf16": text.encode("utf-16")}.items():
        (tmp_path / name).write_bytes(data)
        done = bestreel("generate", *SHORT, "--prompts", tmp_path / name, "-n", 1, "--out", tmp_path / f"{name} runs")
        assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "bom runs") == files_of(tmp_path / "utf16 runs")
    for name, data in {"latin": "caf\xe9".encode("latin-1"), "half": text.encode("utf-16")[:-1]}.items():
        (tmp_path / name).write_bytes(data)
        done = bestreel("generate", *SHORT, "--prompts", tmp_path / name, "-n", 1, "--out", tmp_path / "no")
        assert done.returncode == 1 and "save it as UTF-8" in done.stderr, done.stderr


def recipe_of(run):
    with sqlite3.connect(f"file:{run}/run.sqlite?mode=ro", uri=True) as database:
        (body,) = database.execute("select body from events where kind = 'run'").fetchone()
    found = json.loads(body)["recipe"]
    return json.loads(found) if isinstance(found, str) else found


def test_a_drawn_seed_is_recorded_and_gone_on_with(bestreel, tmp_path):
    command = ["generate", *SHORT, "-p", PROMPT, "-n", 1, "--seed", -1, "--out"]
    done = bestreel(*command, tmp_path / "one")
    assert done.returncode == 0, done.stderr
    seed = recipe_of(tmp_path / "one")["seed"]
    assert seed >= 0 and f"the seed {seed} was drawn" in done.stderr
    before = files_of(tmp_path / "one")
    again = bestreel(*command, tmp_path / "one")
    assert again.returncode == 0 and again.stderr == "" and files_of(tmp_path / "one") == before
    assert bestreel(*command, tmp_path / "two").returncode == 0
    assert files_of(tmp_path / "two") != before
    done = bestreel("generate", *SHORT, "-p", PROMPT, "-n", 1, "--seed", seed, "--out", tmp_path / "said")
    assert done.returncode == 0 and files_of(tmp_path / "said") == before


def test_resume_obeys_the_recipe_and_writes_only_into_the_run(bestreel, tmp_path):
    run, victim = tmp_path / "run", tmp_path / "victim"
    assert bestreel("generate", *SHORT, "-p", PROMPT, "-n", 1, "--trace", tmp_path / "trace", "--out", run).returncode == 0
    made, rows = files_of(run), export(bestreel, run)
    victim.write_text("precious")
    assert bestreel("resume", run).returncode == 0
    assert (files_of(run), export(bestreel, run)) == (made, rows)
    shutil.copytree(run, tmp_path / "foreign")
    with sqlite3.connect(tmp_path / "foreign/run.sqlite") as database:
        (body,) = database.execute("select body from events where kind = 'run'").fetchone()
        body = json.loads(body)
        place = json.loads(body["place"]) | {"trace": str(victim), "out": str(tmp_path / "elsewhere")}
        database.execute("update events set body = ? where kind = 'run'", [json.dumps(body | {"place": json.dumps(place)})])
    done = bestreel("resume", tmp_path / "foreign")
    assert done.returncode == 1 and "cannot read" in done.stderr, done.stderr
    assert victim.read_text() == "precious" and not (tmp_path / "elsewhere").exists()


def test_a_moved_model_is_named_to_resume(bestreel, tmp_path):
    from tiny import copied
    model = copied(tmp_path / "model")
    command = ["generate", *options("--steps", 2, "--model", model), "-p", PROMPT, "-n", 1, "--out", tmp_path / "run"]
    assert bestreel(*command).returncode == 0
    model.rename(tmp_path / "moved")
    assert bestreel("resume", tmp_path / "run").returncode == 1
    done = bestreel("resume", tmp_path / "run", "--model", tmp_path / "moved")
    assert done.returncode == 0, done.stderr
    done = bestreel("replay", tmp_path / "run", "--candidate", 0, "--model", tmp_path / "moved")
    assert done.returncode == 0 and "the same bytes" in done.stdout, done.stderr


def test_help_completion_and_manual_name_every_option(bestreel, tmp_path):
    scripts = {shell: bestreel("completion", shell).stdout for shell in ("bash", "zsh", "fish")}
    manual = bestreel("man").stdout
    help_text = bestreel("generate", "--help").stdout
    for option in ("cascade", "judge-weights", "quantize", "samples", "judge-seed", "sde-eta", "reduction-factor",
                   "negative-prompt", "seed", "trace"):
        assert f"--{option}" in help_text and all(option in script for script in scripts.values())
        assert option.replace("-", "\\-") in manual
    for group in ("Judging:", "Judge VideoScore2:", "Model and video:", "Search:", "Machine:", "Output:"):
        assert help_text.count(f"\n{group}\n") == 1
    assert "also --guidance-scale" in help_text and max(map(len, help_text.splitlines())) <= 110
    for shell, script in scripts.items():
        (tmp_path / shell).write_text(script)
        if shutil.which(shell):
            subprocess.run([shell, "-n", tmp_path / shell], check=True)
    assert bestreel("completion", "tcsh").returncode == 2
    if shutil.which("groff"):
        (tmp_path / "page").write_text(manual)
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", tmp_path / "page"], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == ""
        assert "--reduction-factor" in re.sub(".\b", "", done.stdout)


@pytest.mark.parametrize("line, words", [
    ("bestreel rank --strat", []),
    ("bestreel generate --strat", ["--strategy"]),
    ("bestreel generate --strategy ha", ["halving"]),
    ("bestreel export --format js", ["jsonl"]),
    ("bestreel completion z", ["zsh"]),
])
def test_bash_completes_from_the_table(bestreel, tmp_path, line, words):
    script = tmp_path / "completion.bash"
    script.write_text(bestreel("completion", "bash").stdout)
    ask = f'source "{script}"; COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}; _bestreel; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == words
