"""adapters/diffusers: diffusers' own WanPipeline as a host, beside the native engine on the same checkpoints."""

import csv
import io
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("BESTREEL_BIN", ROOT / "build/release/bin"))
os.environ["BESTREEL_DIFFUSERS_LIBRARY"] = str(BIN.parent / "lib/libbestreel_diffusers.so")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(ROOT / "adapters/diffusers"))

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, WanPipeline

from bestreel_diffusers import BestreelError, best_of_n

GENERATOR = ROOT / "examples/tinyworld/checkpoints/generator"
JUDGE = ROOT / "examples/tinyworld/checkpoints/judge"
PROMPT = "a large red circle moves left over a gray background"
SIZE = {"height": 64, "width": 64, "num_frames": 17, "guidance_scale": 3.0, "fps": 4}
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pipe():
    pipe = WanPipeline.from_pretrained(GENERATOR)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def short(pipe, out, judge="pixels", n=3, **more):
    return best_of_n(pipe, PROMPT, n, judge, out=out, **(SIZE | {"num_inference_steps": 4, "guidance_scale": 1.0} | more))


def bestreel(*arguments):
    done = subprocess.run([BIN / "bestreel", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def native(out, judge, *more):
    bestreel("generate", "--model", GENERATOR, "--judge", judge, "-p", PROMPT, "-n", 4, "--size", "64x64", "--frames", 17,
             "--fps", 4, "--steps", 8, "--guidance", 3, "--threads", 1, "--out", out, *more)
    return list(csv.DictReader(io.StringIO(bestreel("export", out, "--format", "csv"))))


def files(directory):
    return {path.name: path.read_bytes() for path in sorted(pathlib.Path(directory).glob("*.mp4"))}


@pytest.fixture(scope="module")
def chosen(pipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("hosts") / "run"
    return best_of_n(pipe, PROMPT, 4, JUDGE, out=out, num_inference_steps=8, **SIZE)


def test_the_same_seeds_give_the_native_engines_winner(chosen, tmp_path):
    rows = {row["video"]: row for row in native(tmp_path / "native", JUDGE)}
    assert [one.seed for one in chosen.candidates] == [0, 1, 2, 3]
    for one in chosen.candidates:
        assert one.reward == pytest.approx(float(rows[one.name]["reward"]), abs=0.01)
        assert one.rank == int(rows[one.name]["rank"])
    assert rows[chosen.winner.name]["winner"] == "1"
    assert chosen.forwards == 4 * 8 * 2


def test_it_leaves_the_same_run_folder(chosen):
    directory = pathlib.Path(chosen.directory)
    made = files(directory)
    assert set(made) == {"best.mp4", "c000.mp4", "c001.mp4", "c002.mp4", "c003.mp4"}
    assert made["best.mp4"] == made[chosen.winner.name + ".mp4"] and chosen.best == str(directory / "best.mp4")
    assert chosen.winner.name in (directory / "report.html").read_text()
    rows = csv.DictReader(io.StringIO(bestreel("export", directory, "--format", "csv")))
    assert {row["video"]: float(row["reward"]) for row in rows} == {one.name: one.reward for one in chosen.candidates}
    assert [d["name"] for d in chosen.winner.judgement["dimensions"]] == [
        "visual_quality", "text_alignment", "physical_consistency"]


def test_race_drops_whom_the_native_engine_drops(pipe, chosen, tmp_path):
    raced = best_of_n(pipe, PROMPT, 4, "pixels", strategy="race", checks=(2, 5), out=tmp_path / "race",
                      num_inference_steps=8, **SIZE)
    rows = native(tmp_path / "native", "pixels", "--strategy", "race", "--rungs", "2,5")
    finished = [one for one in raced.candidates if one.end == "finished"]
    assert [one.name for one in finished] == [row["video"] for row in rows]
    dropped = [one for one in raced.candidates if one.end == "dropped"]
    assert dropped and all(one.step in (2, 5) and one.path is None for one in dropped)
    assert raced.forwards == sum(2 * one.step for one in raced.candidates) < chosen.forwards
    # A candidate is what it is, whatever chose it; and whoever was left alone before it.
    assert all(files(raced.directory)[one.name + ".mp4"] == files(chosen.directory)[one.name + ".mp4"] for one in finished)


def test_the_noise_of_a_seed_is_what_diffusers_draws_for_it(pipe, tmp_path):
    """One seed by itself, far from the first: the frames are those of diffusers' own call."""
    seen = []
    short(pipe, tmp_path / "run", lambda frames: seen.append(frames) or 1.0, n=1, seeds=[2**40 + 7])
    frames = pipe(PROMPT, height=64, width=64, num_frames=17, num_inference_steps=4, guidance_scale=1.0,
                  generator=torch.Generator("cpu").manual_seed(2**40 + 7)).frames[0]
    assert np.array_equal(seen[0], (frames * 255).astype(np.uint8))


def test_a_function_may_judge_and_fail_for_one_candidate(pipe, tmp_path):
    def judge(frames):
        assert frames.shape == (17, 64, 64, 3) and frames.dtype == np.uint8
        judge.calls += 1
        if judge.calls == 2:
            raise RuntimeError("the projector is hot")
        return {"light": frames.mean(), "red": frames[..., 0].mean()}

    judge.calls = 0
    outcome = short(pipe, tmp_path / "run", judge)
    failed = outcome.candidates[1]
    assert failed.reward is None and "RuntimeError: the projector is hot" in failed.judgement["failure"]["sentence"]
    measures = outcome.winner.judgement["measures"]
    assert outcome.winner.reward == pytest.approx((measures["light"] + measures["red"]) / 2)
    assert outcome.winner.reward == max(one.reward for one in outcome.candidates if one.reward is not None)
    nobody = short(pipe, tmp_path / "none", lambda frames: None, n=1)
    assert nobody.winner is None and nobody.best is None and not (tmp_path / "none/best.mp4").exists()
    assert "finite number" in nobody.candidates[0].judgement["failure"]["sentence"]


def test_latents_that_are_not_finite_cost_one_candidate(pipe, tmp_path, monkeypatch):
    prepare = pipe.prepare_latents

    def spoilt(*arguments):
        latents = prepare(*arguments)
        return latents * float("nan") if arguments[7].initial_seed() == 1 else latents

    monkeypatch.setattr(pipe, "prepare_latents", spoilt)
    outcome = short(pipe, tmp_path / "run", strategy="race", checks=(2,))
    assert [one.end == "failed" for one in outcome.candidates] == [False, True, False]
    assert "NaN" in outcome.candidates[1].reason and outcome.candidates[1].step == 2
    assert outcome.candidates[0].end == "finished" and outcome.winner is not None


def test_too_little_memory_is_no_candidates_failure(pipe, tmp_path, monkeypatch):
    """It is tried once more; where it goes on the run stops, and goes on where there is memory."""
    whole = short(pipe, tmp_path / "whole", n=2)
    decode, calls, lacking = pipe.vae.decode, [], {1}

    def greedy(*arguments, **named):
        calls.append(1)
        if len(calls) in lacking:
            raise torch.OutOfMemoryError("tried to allocate 1 EiB")
        return decode(*arguments, **named)

    monkeypatch.setattr(pipe.vae, "decode", greedy)
    outcome = short(pipe, tmp_path / "run", n=2)
    assert [one.end for one in outcome.candidates] == ["finished", "finished"] and len(calls) == 3
    assert outcome.winner.name == whole.winner.name
    lacking = set(range(100))
    with pytest.raises(Exception, match="1 EiB"):
        short(pipe, tmp_path / "stopped", n=2)
    lacking = set()
    again = short(pipe, tmp_path / "stopped", n=2)
    assert [one.end for one in again.candidates] == ["finished", "finished"]
    assert again.winner.name == whole.winner.name


def test_interrupted_and_called_again_it_ends_the_same(pipe, tmp_path, monkeypatch):
    whole = short(pipe, tmp_path / "whole", n=2)
    decode, calls = pipe.vae.decode, []

    def interrupted(*arguments, **named):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return decode(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(pipe.vae, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            short(pipe, tmp_path / "run", n=2)
    again = short(pipe, tmp_path / "run", n=2)
    assert (again.winner.name, again.forwards) == (whole.winner.name, whole.forwards)
    assert files(again.directory) == files(whole.directory)
    # And once more: everything is known, nothing is made.
    monkeypatch.setattr(pipe.vae, "decode", interrupted)
    calls[:] = [1]
    assert short(pipe, tmp_path / "run", n=2).winner == again.winner and len(calls) == 1
    with pytest.raises(BestreelError, match="its engine was .*num_inference_steps\": 4.*5"):
        short(pipe, tmp_path / "run", n=2, num_inference_steps=5)


class Stills(DiffusionPipeline):
    """A pipeline that makes no videos."""

    def __call__(self, prompt, num_inference_steps=50, generator=None, output_type="pil"):
        raise AssertionError("must not be called")


@pytest.mark.parametrize("change, words", [
    ({"n": 0}, "n must be at least 1, but got 0"),
    ({"prompt": " "}, "prompt must not be empty"),
    ({"judge": "no/such/folder"}, "judge must be .*no/such/folder, which does not exist"),
    ({"judge": GENERATOR}, "checkpoint|config"),
    ({"judge": 7}, "judge must be"),
    ({"pipe": Stills()}, "Stills has no num_frames, callback_on_step_end"),
    ({"pipe": "WanPipeline"}, "pipe must be a diffusers pipeline that makes videos, but got str"),
    ({"seeds": [1]}, "seeds must be 2"),
    ({"seeds": [5, 5]}, "5 is given twice"),
    ({"seeds": [1, -1]}, "from 0 to 2"),
    ({"strategy": "halving"}, "advances all candidates together.*best-of-n or race"),
    ({"strategy": "race", "checks": (3, 1)}, "ascend"),
    ({"num_inference_steps": 0}, "num_inference_steps must be at least 1"),
    ({"height": 60}, "WanPipeline refuses its arguments: .*divisible by 16"),
    ({"hight": 64}, "hight must be an argument"),
    ({"latents": None}, "latents must be left to best_of_n"),
    ({"judge": JUDGE, "judge_options": {"mood": 1}}, "mood is no option of a run"),
    ({"judge": JUDGE, "judge_options": {"sample": 1}}, "did you mean samples"),
    ({"judge": JUDGE, "judge_options": {"samples": 1.5}}, "samples must be a whole number"),
    ({"judge": JUDGE, "judge_options": {"prompt": "x"}}, "judge_options must be options of the judge, but got prompt"),
    ({"strategy": "best-of-n", "lag": 2}, "lag belongs to the strategies race and halving"),
    ({"fps": 0}, "fps must be positive"),
    ({"max_forwards": 1}, "pay for one candidate"),
])
def test_bad_input_is_a_sentence_and_leaves_nothing(pipe, tmp_path, change, words):
    given = {"pipe": pipe, "prompt": PROMPT, "n": 2, "judge": "pixels", "out": tmp_path / "run",
             "num_inference_steps": 4} | SIZE | change
    with pytest.raises(BestreelError, match=words) as caught:
        best_of_n(**given)
    assert str(caught.value).startswith("[") and not (tmp_path / "run").exists()
