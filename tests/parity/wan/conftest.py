import json
import os
import pathlib
import subprocess

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
import torch

import checkpoints

BIN = pathlib.Path(os.environ.get("BESTREEL_BIN", "build/bin"))
torch.set_num_threads(1)


class Dump:
    """Runs wan_dump; raw arrays in, raw arrays and a JSON object out."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = 0

    def __call__(self, command, request, ok=True):
        self.calls += 1
        out = self.folder / f"call{self.calls}"
        out.mkdir()
        ready = {}
        for key, value in request.items():
            if isinstance(value, np.ndarray):
                np.ascontiguousarray(value).tofile(out / f"in_{key}")
                value = str(out / f"in_{key}")
            ready[key] = str(value) if isinstance(value, pathlib.Path) else value
        (out / "request.json").write_text(json.dumps(ready))
        done = subprocess.run([BIN / "wan_dump", command, out / "request.json", out],
                              capture_output=True, text=True, timeout=600)
        if not ok:
            assert done.returncode == 1, done.stderr
            return done.stderr.strip()
        self.said = done.stderr
        assert done.returncode == 0, done.stderr
        result = json.loads((out / "result.json").read_text())
        result["array"] = lambda name, shape: np.fromfile(
            out / name, np.uint8 if name.endswith("u8") else np.float32).reshape(shape)
        return result


@pytest.fixture
def dump(tmp_path):
    return Dump(tmp_path)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """folders(shape): the saved pipeline, made once."""
    made = {}

    def get(shape):
        if shape.name not in made:
            made[shape.name] = checkpoints.pipeline(shape, tmp_path_factory.mktemp(shape.name))
        return made[shape.name]

    return get
