"""The shipped judge through the C++ engine is worth what its figures say."""

import json
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3] / "examples" / "tinyworld"
sys.path.insert(0, str(ROOT))
import evaluate  # noqa: E402
from training import world  # noqa: E402

CHECKPOINT = ROOT / "checkpoints" / "judge"
SHIPPED = json.loads((ROOT / "checkpoints" / "judge_figures.json").read_text())


@pytest.fixture(scope="module")
def engine(binaries, tmp_path_factory):
    os.environ.setdefault("BESTREEL_TINYWORLD_LIB", str(binaries.parent / "lib" / world.NAME))
    return evaluate.Engine(binaries / "bestreel", CHECKPOINT, tmp_path_factory.mktemp("clips"), threads=2)


def test_rendered_clips(engine):
    """On rendered clips of prompts never trained on, each dimension's Spearman is at most 0.05 below the shipped
    value (same clips)."""
    found = evaluate.rendered(engine, SHIPPED["clips"])
    for name, value in SHIPPED["rendered"].items():
        assert found[name] >= value - 0.05, name


def test_generated_clips(engine):
    """The same on clips of the shipped generator for prompts never trained on."""
    from training.judge_generated import sample, test_prompts

    prompts = test_prompts(SHIPPED["generated"]["prompts"])
    clips = sample(ROOT / "checkpoints" / "generator", prompts, 8, seed=90_000)
    found = evaluate.generated(engine, clips, prompts)
    for name in evaluate.DIMENSIONS:
        assert found[name] >= SHIPPED["generated"][name] - 0.05, name


def test_natural_pairs(engine):
    """Natural pictures never trained on are ordered by how spoilt they are as often as shipped, less one pair."""
    assert evaluate.natural_pairs(engine)["pairs"] >= SHIPPED["natural"]["pairs"] - 1
