"""What goes wrong in `bestreel generate`: a sentence each time, and what was made stays."""

import json
import shutil
import subprocess

import pytest
import sentencepiece
from tiny import PROMPT, copied, export, options, spoil

OTHER = "a small blue square moves up over a black background"


@pytest.fixture(scope="module")
def short(bestreel, tmp_path_factory):
    """A finished run of a checkpoint of its own: (run, checkpoint, arguments of its command)."""
    folder = tmp_path_factory.mktemp("short")
    model = copied(folder / "model")
    command = ["generate", *options("--model", model, "--steps", 2), "-p", PROMPT, "-n", 2, "--out", folder / "run"]
    done = bestreel(*command)
    assert done.returncode == 0, done.stderr
    return folder / "run", model, command


@pytest.mark.parametrize("part, tensor, words", [
    ("transformer", "proj_out.bias", "the latents must be finite"),
    ("vae", "decoder.conv_out.bias", "the decoder made NaN"),
])
def test_weights_that_are_not_numbers_fail_every_candidate(bestreel, tmp_path, part, tensor, words):
    model = copied(tmp_path / "model")
    spoil(model, part, tensor)
    done = bestreel("generate", *options("--model", model, "--steps", 2), "-p", PROMPT, "-n", 2, "--out",
                    tmp_path / "run")
    assert done.returncode == 1 and words in done.stderr
    assert "c000 failed" in done.stderr and "none of the 2 candidates could be made" in done.stderr
    assert not (tmp_path / "run/best.mp4").exists()
    assert words in (tmp_path / "run/report.html").read_text()


def test_what_fails_alone_fails_alone(bestreel, tmp_path):
    """One word's embedding is NaN: the prompt that says it fails, the other is made."""
    model = copied(tmp_path / "model")
    words = sentencepiece.SentencePieceProcessor(model_file=str(model / "tokenizer/spiece.model"))
    only = (set(words.encode(OTHER)) - set(words.encode(PROMPT))).pop()
    spoil(model, "text_encoder", "shared.weight", at=only * 128)
    (tmp_path / "prompts.txt").write_text(f"{OTHER}\n{PROMPT}\n")
    done = bestreel("generate", *options("--model", model, "--steps", 2), "--prompts", tmp_path / "prompts.txt",
                    "-n", 2, "--out", tmp_path / "runs")
    assert done.returncode == 1 and "1 of 2 prompts had failures: 001" in done.stderr
    assert not (tmp_path / "runs/001/best.mp4").exists() and (tmp_path / "runs/002/best.mp4").exists()


def test_changed_weights_are_refused_by_resume_and_replay(bestreel, short):
    """One number of one weight: the configuration is as it was, the fingerprint is not."""
    run, model, command = short
    weights = next((model / "transformer").glob("*.safetensors"))
    before, files = weights.read_bytes(), sorted(path.name for path in run.iterdir())
    spoil(model, "transformer", "blocks.0.attn1.norm_k.weight", value=b"\x80\x3f\x80\x3f")
    assert weights.read_bytes() != before
    for arguments in (command, ["resume", run], ["replay", run, "--candidate", "c001"]):
        done = bestreel(*arguments)
        assert done.returncode == 1 and "weights=" in done.stderr, done.stderr
    weights.unlink()
    weights.write_bytes(before)
    assert sorted(path.name for path in run.iterdir()) == files
    assert bestreel(*command).returncode == 0


@pytest.mark.parametrize("extra, words", [
    (["--lossless"], "was made without --lossless"),
    (["--judge-threads", 2], "--judge-threads"),
    (["--strategy", "race"], "strategy"),
    (["--seed", 1], "strategy"),
    (["--max-forwards", 100], "limits"),
])
def test_a_run_with_other_settings_is_refused(bestreel, short, extra, words):
    run, _, command = short
    done = bestreel(*command, *extra)
    assert done.returncode == 1 and words in done.stderr and str(run) in done.stderr


@pytest.mark.parametrize("edit, words", [
    (lambda model: shutil.rmtree(model / "vae"), "vae"),
    (lambda model: next((model / "text_encoder").glob("*.safetensors")).unlink(), "text_encoder"),
    (lambda model: shutil.rmtree(model / "tokenizer"), "tokenizer.json or spiece.model"),
    (lambda model: (model / "model_index.json").write_text(
        json.dumps(json.loads((model / "model_index.json").read_text()) | {"_class_name": "LTXPipeline"})),
     "WanPipeline"),
])
def test_missing_parts_and_another_family_are_named(bestreel, tmp_path, edit, words):
    model = copied(tmp_path / "model")
    edit(model)
    done = bestreel("generate", *options("--model", model), "-p", PROMPT, "-n", 2, "--out", tmp_path / "run")
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()


def test_a_judge_that_fails_leaves_the_videos(bestreel, tmp_path):
    """The oracle knows the tiny world's prompts alone: nobody is judged, and everything is kept."""
    done = bestreel("generate", *options("--steps", 2), "-p", "a dog", "-n", 2, "--out", tmp_path / "run")
    assert done.returncode == 1 and "a dog" in done.stdout + done.stderr
    assert [row["reward"] for row in export(bestreel, tmp_path / "run")] == [None, None]
    assert (tmp_path / "run/c001.mp4").exists() and not (tmp_path / "run/best.mp4").exists()


def test_a_full_disk_is_a_sentence_and_loses_nothing(bestreel, tiny_disk):
    run, filler = tiny_disk / "run", tiny_disk / "filler"
    filler.write_bytes(b"\0" * 220_000)
    command = ["generate", *options("--steps", 2), "-p", PROMPT, "-n", 2, "--lossless", "--out", run]
    done = bestreel(*command)
    assert done.returncode == 1 and "disk is full" in done.stderr, done.stderr
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", tiny_disk], check=True)
    done = bestreel(*command)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in run.glob("*.m*")} == {"c000.mp4", "c001.mp4", "best.mp4", "c000.mkv", "c001.mkv",
                                                       "best.mkv"}


def test_too_little_memory_is_a_sentence(program, tmp_path):
    """Address space for the program and its weights, and for nothing like this video's latents (42 GB)."""
    script = 'ulimit -v 20000000; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", program, "generate", *map(str, options("--size", "2048x2048", "--frames", 39997)),
         "-p", PROMPT, "-n", "2", "--out", str(tmp_path / "run")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "not enough memory" in done.stderr, done.stderr
    assert "could not be made, twice" in done.stderr and "nothing is lost" in done.stderr
