"""`bestreel-tinyworld` and the judge `tinyworld-oracle`."""

import json
import subprocess

import numpy as np
import pytest
from PIL import Image

PROMPT = "a large red triangle moves left over a navy background"


@pytest.fixture(scope="session")
def world(binaries):
    def run(*arguments):
        return subprocess.run([str(binaries / "bestreel-tinyworld"), *map(str, arguments)], capture_output=True,
                              stdin=subprocess.DEVNULL, text=True, timeout=120)
    return run


@pytest.fixture(scope="session")
def clips_of_the_world(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tinyworld")
    assert world("render", "--prompt", PROMPT, "--count", 4, "--seed", 5, "--out", folder).returncode == 0
    return sorted(folder.glob("*.mp4"))


def test_the_same_seed_renders_the_same_file(world, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        done = world("render", "--prompt", PROMPT, "--flaw", "noise:0.5", "--seed", 3, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_samples_come_with_what_was_done_to_them(world, tmp_path):
    done = world("render", "--sample", 5, "--split", "dev", "--seed", 9, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "clips.jsonl").read_text().splitlines()]
    assert len(lines) == 5 and all((tmp_path / line["file"]).exists() for line in lines)
    assert any(line["flaws"] for line in lines)


def test_the_oracle_ranks_the_flawless_clip_first(bestreel, clips_of_the_world, tmp_path):
    done = bestreel("rank", *clips_of_the_world, "--prompt", PROMPT, "--judge", "tinyworld-oracle", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/best.mp4").read_bytes() == clips_of_the_world[0].read_bytes()


def test_the_oracle_as_a_judge_is_the_oracle(bestreel, world, clips_of_the_world):
    judged = bestreel("score", *clips_of_the_world, "--prompt", PROMPT, "--judge", "tinyworld-oracle", "--json")
    told = world("oracle", *clips_of_the_world, "--prompt", PROMPT, "--json")
    def without_clock(text):
        return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text.splitlines()]
    assert without_clock(judged.stdout) == without_clock(told.stdout) != []


def test_a_sheet_is_a_picture_with_the_choice_framed(bestreel, world, clips_of_the_world, tmp_path):
    scores = tmp_path / "scores.jsonl"
    scores.write_text(bestreel("score", *clips_of_the_world, "--prompt", PROMPT, "--judge", "tinyworld-oracle", "--json").stdout)
    plain, framed = tmp_path / "plain.png", tmp_path / "framed.png"
    assert world("sheet", *clips_of_the_world, "--out", plain).returncode == 0
    done = world("sheet", *clips_of_the_world, "--prompt", PROMPT, "--scores", scores, "--out", framed)
    assert done.returncode == 0, done.stderr
    green = np.array([20, 150, 70])
    assert not (np.asarray(Image.open(plain).convert("RGB")) == green).all(-1).any()
    picture = np.asarray(Image.open(framed).convert("RGB"))
    rows, columns = np.nonzero((picture == green).all(-1))
    assert rows.max() < picture.shape[0] / 2 + 20 and columns.max() < picture.shape[1] / 2 + 20  # the first cell


@pytest.mark.parametrize("arguments, code, words", [
    (["render", "--prompt", "a dog", "--out", "x.mp4"], 1, "SIZE COLOUR SHAPE MOTION"),
    (["render", "--prompt", PROMPT, "--flaw", "noise", "--out", "x.mp4"], 2, "KIND:SEVERITY"),
    (["render", "--prompt", PROMPT, "--flaw", "sepia:0.5", "--out", "x.mp4"], 1, "teleport"),
    (["render", "--prompt", PROMPT, "--flaw", "noise:7", "--out", "x.mp4"], 2, "0 < SEVERITY <= 1"),
    (["render", "--prompt", PROMPT], 2, "pass --out"),
    (["render", "--sample", "3", "--split", "all", "--out", "x"], 2, "train, dev or test"),
    (["oracle", "--prompt", PROMPT], 2, "at least one video"),
    (["oracle", "missing.mp4", "--prompt", PROMPT], 1, "missing.mp4"),
    (["sheet", "--out", "x.png"], 2, "at least one video"),
    (["paint"], 2, "render, oracle or sheet"),
    (["render", "--sample", "-1", "--out", "x"], 2, "between 1 and 100000"),
])
def test_bad_input_is_a_sentence(world, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    done = world(*arguments)
    assert done.returncode == code and words in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_prompt_of_another_world_is_a_failure_of_that_video(bestreel, clips_of_the_world):
    done = bestreel("score", clips_of_the_world[0], "--prompt", "a dog", "--judge", "tinyworld-oracle", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["failure"]["code"] == "prompt_foreign"
