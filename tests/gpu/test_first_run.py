"""The first run on a GPU, on the CPU with toy sizes and through the bundle, so that it cannot rot."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("BESTREEL_BIN", HERE.parents[1] / "build/release/bin"))
sys.path.insert(0, str(HERE))
import first_run  # noqa: E402


def start(out, *arguments):
    done = subprocess.run(["bash", HERE / "first_run.sh", "--device", "cpu", "--out", out, *map(str, arguments)],
                          capture_output=True, text=True, env=dict(os.environ, PYTHON=sys.executable))
    told = out / "first_run.json"
    return done, {part["name"]: part for part in json.loads(told.read_text())["results"]} if told.exists() else {}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "stage"
    done = subprocess.run(["bash", HERE / "bundle.sh", "--bin", BIN, "--stage", folder], capture_output=True, text=True,
                          env=dict(os.environ, PYTHON=sys.executable))
    assert done.returncode == 0, done.stderr
    return folder


def test_every_part_works(stage, tmp_path):
    """Through the bundle: real libraries, stubs, references; all but the one that looks at a GPU."""
    done, parts = start(tmp_path, "--bundle", stage, "--limit", 1000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(parts) == [name for name, *_ in first_run.PARTS]
    states = {name: part["state"] for name, part in parts.items()}
    assert states == {**dict.fromkeys(parts, "PASS"), "sanitizer": "SKIPPED"}, done.stdout
    assert "CPU" in parts["sanitizer"]["why"]
    text = (tmp_path / "first_run.md").read_text()
    assert all(f"| {name} | {state} |" in text for name, state in states.items())
    assert (tmp_path / "first_run.json").stat().st_size < 16 << 20


def test_a_wrong_value_fails(stage, tmp_path):
    """Reference values of another checkpoint are found, and named; the control is the test above."""
    references = tmp_path / "references"
    shutil.copytree(stage / "references", references)
    latents = bytearray((references / "latents.f32").read_bytes())
    latents[-4:] = b"\0\0\x80\x40"  # 4.0, of the last step
    (references / "latents.f32").write_bytes(latents)
    done, parts = start(tmp_path / "out", "--bin", BIN, "--references", references, "--parts", "reference")
    assert done.returncode == 1
    assert parts["reference"]["state"] == "FAIL" and "after step 8" in parts["reference"]["why"]
    assert "after step 7" not in parts["reference"]["why"]


@pytest.mark.parametrize("body, state, why", [
    ("print(json.dumps(dict(check='it is so', ok=True, detail='')))", "PASS", "1 checks"),
    ("print(json.dumps(dict(name='before', value=1, unit='s')), flush=True); time.sleep(60)", "FAIL", "its limit of 2 s"),
    ("print(json.dumps(dict(check='it is so', ok=False, detail='')))", "FAIL", "it is so"),
    ("sys.exit('no such device')", "FAIL", "no such device"),
    ("pass", "FAIL", "checked nothing"),
    ("print(json.dumps(dict(skip='refused here')))", "SKIPPED", "refused here"),
])
def test_a_part_says_how_it_went(body, state, why, tmp_path):
    """A part that hangs is stopped and keeps what it had told; one that checks nothing has not passed."""
    (tmp_path / "part.py").write_text(f"import json, sys, time\n{body}\n")
    part = first_run.run_part("part", 2, tmp_path / "context.json", tmp_path, parts=tmp_path)
    assert part["state"] == state and why in part["why"]
    assert len(part["values"]) == ("before" in body)


def test_an_unknown_part_is_named(tmp_path):
    done, parts = start(tmp_path, "--bin", BIN, "--parts", "bundle,nonsense")
    assert done.returncode == 2 and "nonsense" in done.stderr and not parts
