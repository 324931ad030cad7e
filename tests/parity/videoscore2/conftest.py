import json
import os
import pathlib
import subprocess

os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
import torch

BIN = pathlib.Path(os.environ.get("BESTREEL_BIN", "build/bin"))


class Dump:
    """Runs one of the dump programs; raw arrays in, raw arrays and a JSON object out."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = 0

    def __call__(self, program, command, request, ok=True):
        self.calls += 1
        out = self.folder / f"call{self.calls}"
        out.mkdir()
        ready = {}
        for key, value in request.items():
            if isinstance(value, (np.ndarray, torch.Tensor)):
                np.ascontiguousarray(np.asarray(value)).tofile(out / f"in_{key}")
                value = str(out / f"in_{key}")
            ready[key] = str(value) if isinstance(value, pathlib.Path) else value
        (out / "request.json").write_text(json.dumps(ready))
        done = subprocess.run([BIN / program, command, out / "request.json", out],
                              capture_output=True, text=True, timeout=600)
        if not ok:
            assert done.returncode == 1
            return done.stderr.strip()
        assert done.returncode == 0, done.stderr
        result = json.loads((out / "result.json").read_text())
        result["out"] = out
        return result


@pytest.fixture
def dump(tmp_path):
    return Dump(tmp_path)


@pytest.fixture(scope="session")
def author(tmp_path_factory):
    """(checkpoint that writes known answers, the clip it was taught on)"""
    import author as teacher
    import checkpoints
    import clips
    folder = tmp_path_factory.mktemp("author")
    clip = clips.write_clip(folder / "clip.mp4")
    checkpoint = checkpoints.save(
        checkpoints.Shape("author", layers=2, repetition_penalty=1.05), folder / "checkpoint")
    return teacher.train(checkpoint, clip), clip


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """A random checkpoint: what it writes is no answer, so its scores are always forced."""
    import checkpoints
    return checkpoints.save(checkpoints.Shape("stranger"), tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def judge(dump):
    """judge(folder, [(clip, prompt), ...], options) -> list of results"""
    def call(folder, requests, **options):
        template = pathlib.Path(folder) / "template.txt"
        if template.exists():
            options.setdefault("template", template)
        options.setdefault("rationale", 80)
        return dump("judge_dump", "judge", dict(
            folder=folder, requests=[dict(video=str(c), prompt=p) for c, p in requests],
            **options))["results"]
    return call
