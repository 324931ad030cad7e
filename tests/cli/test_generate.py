"""`bestreel generate`, `resume` and `replay` with the shipped tiny generator and the oracle as judge."""

import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import time

import av
import numpy as np
import pytest
from tiny import GENERATOR, PROMPT, SMALL, export, files_of, options, without_paths


@pytest.fixture(scope="module")
def finished(bestreel, tmp_path_factory):
    out = tmp_path_factory.mktemp("generate") / "run"
    done = bestreel("generate", *SMALL, "-p", PROMPT, "-n", 4, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_the_best_candidate_comes_out(bestreel, finished):
    rows = export(bestreel, finished)
    assert len(rows) == 4
    best = max(rows, key=lambda row: row["reward"])
    assert best["winner"] and sum(row["winner"] for row in rows) == 1
    files = files_of(finished)
    assert len(files) == 5
    winner = [data for name, data in files.items() if name != "best.mp4" and pathlib.Path(name).stem in best["video"]]
    assert winner == [files["best.mp4"]]
    assert (finished / "report.html").stat().st_size > 1000


def test_a_candidate_does_not_depend_on_the_number_of_candidates(bestreel, finished, tmp_path):
    done = bestreel("generate", *SMALL, "-p", PROMPT, "-n", 2, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    four, two = files_of(finished), files_of(tmp_path / "two")
    common = [name for name in two if name != "best.mp4"]
    assert len(common) == 2 and all(two[name] == four[name] for name in common)


def test_lossless_keeps_the_engines_own_frames(bestreel, binaries, finished, tmp_path):
    """FFV1 beside each mp4, decoded by another program: the engine's frames bit for bit. The mp4 are as
    without it, the best has both, the export names it."""
    run = tmp_path / "run"
    done = bestreel("generate", *SMALL, "-p", PROMPT, "-n", 2, "--lossless", "--out", run)
    assert done.returncode == 0, done.stderr
    two = files_of(run)
    assert all(data == files_of(finished)[name] for name, data in two.items() if name != "best.mp4")
    for seed, row in enumerate(export(bestreel, run)):
        request = tmp_path / "request.json"
        request.write_text(json.dumps(dict(
            folder=str(GENERATOR), prompt=PROMPT, negative="", seed=seed, width=64, height=64, frames=17, steps=6,
            guidance=2, threads=1, values=False)))
        subprocess.run([binaries / "wan_dump", "generate", request, tmp_path], check=True)
        made = np.fromfile(tmp_path / "frames.u8", np.uint8).reshape(17, 3, 64, 64)
        kept = run / row["lossless"]
        with av.open(str(kept)) as file:
            read = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
        assert np.array_equal(read.transpose(0, 3, 1, 2), made)
        assert hashlib.sha256(kept.read_bytes()).hexdigest() == row["lossless_sha256"]
        if row["winner"]:
            assert (run / "best.mkv").read_bytes() == kept.read_bytes()


def test_a_cascade_shows_each_judges_rewards_apart(bestreel, tmp_path):
    """The expensive judge gives less to everyone and still decides: a column each, its own come first."""
    run = tmp_path / "run"
    done = bestreel("generate", *options("--steps", 2), "--judge", "pixels", "-p", PROMPT, "-n", 3, "--cascade", 2,
                    "--out", run)
    assert done.returncode == 0, done.stderr
    head, *rows = [line.split() for line in done.stdout.splitlines()[:4]]
    assert head[:4] == ["rank", "video", "reward:2", "reward:1"]
    assert [row[2] == "-" for row in rows] == [False, False, True]
    page = (run / "report.html").read_text()
    assert page.index("reward by pixels") < page.index("reward by tinyworld-oracle") and "mean rank" not in page


def test_a_candidate_is_replayed_bit_for_bit(bestreel, finished, tmp_path):
    name = sorted(name for name in files_of(finished) if name != "best.mp4")[2]
    done = bestreel("replay", finished, "--candidate", pathlib.Path(name).stem, "--out", tmp_path / "again.mp4")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.mp4").read_bytes() == (finished / name).read_bytes()


def test_the_same_command_on_a_finished_run_changes_nothing(bestreel, finished):
    before = files_of(finished), export(bestreel, finished)
    done = bestreel("generate", *SMALL, "-p", PROMPT, "-n", 4, "--out", finished)
    assert done.returncode == 0, done.stderr
    assert (files_of(finished), export(bestreel, finished)) == before


def test_another_setting_on_the_same_directory_is_refused(bestreel, finished):
    before = files_of(finished)
    done = bestreel("generate", *options("--guidance", 3), "-p", PROMPT, "-n", 4, "--out", finished)
    assert done.returncode != 0 and str(finished) in done.stderr
    assert files_of(finished) == before


def test_a_resume_with_other_threads_is_refused(bestreel, finished):
    done = bestreel("resume", finished, "--threads", 2)
    assert done.returncode == 1 and "thread" in done.stderr


def test_halving_costs_less_and_says_what_was_dropped(bestreel, tmp_path):
    run = tmp_path / "run"
    done = bestreel("generate", *SMALL, "-p", PROMPT, "-n", 4, "--strategy", "halving", "--rungs", "2,4", "--out", run)
    assert done.returncode == 0, done.stderr
    # 4 x 2 + 2 x 2 + 1 x 2 steps, two guidance branches each
    assert "28 denoiser forwards" in done.stdout
    assert len(export(bestreel, run)) == 1
    assert "c003" in (run / "report.html").read_text()


def test_race_makes_the_same_candidates(bestreel, finished, tmp_path):
    run = tmp_path / "run"
    done = bestreel("generate", *SMALL, "-p", PROMPT, "-n", 4, "--strategy", "race", "--rungs", "2,4", "--out", run)
    assert done.returncode == 0, done.stderr
    all_made, raced = files_of(finished), files_of(run)
    whole = [name for name in raced if name != "best.mp4" and "preview" not in name]
    assert whole and all(raced[name] == all_made[name] for name in whole)


def test_many_prompts_go_on_after_a_failed_one(bestreel, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(PROMPT + '\n{"prompt": "a dog", "id": "dog"}\n'
                       '{"prompt": "a small blue square moves up over a black background", "id": "blue", "seed": 7}\n')
    done = bestreel("generate", *SMALL, "--prompts", prompts, "-n", 2, "--out", tmp_path / "runs")
    assert done.returncode == 1 and "1 of 3 prompts had failures: dog" in done.stderr
    assert (tmp_path / "runs/001/best.mp4").exists() and (tmp_path / "runs/blue/best.mp4").exists()


@pytest.mark.parametrize("arguments, code, words", [
    (["--n", 0], 2, "n must be between 1 and"),
    (["--size", "63x64"], 2, "multiple of"),
    (["--size", "0x64"], 2, "WIDTHxHEIGHT"),
    (["--size", "64"], 2, "WIDTHxHEIGHT"),
    (["--judge-threads", 0], 2, "judge-threads must be between 1 and"),
    (["--frames", 16], 2, "k + 1"),
    (["--steps", 0], 2, "steps must be"),
    (["--strategy", "luck"], 2, "best-of-n, race or halving"),
    (["--strategy", "rerank"], 2, "judges that judge one after the other are --cascade"),
    (["--strategy", "halving", "--rungs", "5,2"], 2, "ascend"),
    (["--model", "missing"], 1, "missing"),
    (["--overlap", "maybe"], 2, "auto, on or off"),
    (["--max-forwards", "-3"], 2, "positive"),
])
def test_bad_input_is_a_sentence(bestreel, tmp_path, arguments, code, words):
    done = bestreel("generate", *options("--n", 2, *arguments), "-p", PROMPT, "--out", tmp_path / "run")
    assert done.returncode == code and words in done.stderr, done.stderr
    assert not (tmp_path / "run/best.mp4").exists()


def test_an_empty_prompt_is_refused(bestreel, tmp_path):
    done = bestreel("generate", *SMALL, "-p", " ", "-n", 2, "--out", tmp_path / "run")
    assert done.returncode == 2 and "prompt must not be empty" in done.stderr


def test_killed_at_random_instants_and_resumed_it_ends_the_same(program, bestreel, finished, tmp_path):
    """SIGKILL at eight instants of one run, each time begun again with the same command."""
    run = tmp_path / "run"
    command = [program, "generate", *map(str, SMALL), "-p", PROMPT, "-n", "4", "--out", str(run)]
    begin = time.monotonic()
    subprocess.run([*command[:-1], str(tmp_path / "timing")], capture_output=True, check=True)
    whole = time.monotonic() - begin
    instants = random.Random(6)
    for _ in range(8):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(instants.uniform(0.1, 0.9) * whole)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = bestreel(*command[1:])
    assert done.returncode == 0, done.stderr
    assert files_of(run) == files_of(finished)
    assert without_paths(export(bestreel, run), run) == without_paths(export(bestreel, finished), finished)
    left = {path.name for path in run.iterdir()} - {path.name for path in finished.iterdir()}
    assert not left
