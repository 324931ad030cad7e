"""Programs of this build, and the real vocabulary where it is at hand."""
import os
import pathlib
import subprocess

import pytest

BIN = pathlib.Path(os.environ.get("BESTREEL_BIN", "build/bin"))
ROOT = pathlib.Path(__file__).resolve().parents[3]
REAL = ROOT.parent / "shared" / "data" / "qwen2_5_tokenizer" / "tokenizer.json"


def probe(name, *arguments, stdin=b""):
    program = BIN / name
    if not program.exists():
        pytest.skip(f"{program} is not built")
    return subprocess.run([program, *map(str, arguments)], input=stdin, capture_output=True)


@pytest.fixture(scope="session")
def real_tokenizer():
    # A linked work tree lies deeper than the repository itself.
    for folder in (ROOT, *ROOT.parents):
        path = folder / "shared" / "data" / "qwen2_5_tokenizer" / "tokenizer.json"
        if path.exists():
            return path
    pytest.skip(f"the real vocabulary is not at {REAL}")
