"""What cannot be judged is a sentence with a remedy, never a crash, a hang or a silent zero."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import clips


def failure(result):
    return result["failure"]["code"], result["failure"]["sentence"]


def copy_of(folder, to):
    shutil.copytree(folder, to)
    return to


def test_folder_of_another_family(stranger, dump, tmp_path):
    """A folder of another architecture is refused by its name."""
    folder = copy_of(stranger, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "llama"
    (folder / "config.json").write_text(json.dumps(config))
    error = dump("judge_dump", "judge", dict(folder=folder, requests=[]), ok=False)
    assert 'model_type must be "qwen2_5_vl" but is "llama"' in error
    assert "config.json" in error


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "tokenizer.json",
                                  "model.safetensors"])
def test_missing_file(name, stranger, dump, tmp_path):
    """A folder that lacks a file names it."""
    folder = copy_of(stranger, tmp_path / "lacking")
    (folder / name).unlink()
    if name == "preprocessor_config.json":
        (folder / "video_preprocessor_config.json").unlink()
    if name == "tokenizer.json":  # without it the older pair of files would be read
        (folder / "vocab.json").unlink(missing_ok=True)
    error = dump("judge_dump", "judge", dict(folder=folder, requests=[]), ok=False)
    assert name in error


@pytest.mark.parametrize("part", ["visual.blocks.0.mlp.up_proj.weight",
                                  "model.layers.1.mlp.up_proj.weight", "lm_head.weight"])
@pytest.mark.parametrize("rationale", [0, 30])
def test_weights_that_are_not_numbers(part, rationale, stranger, author, judge, tmp_path):
    """NaN in the weights is a failure that names the folder and the remedy."""
    folder = copy_of(stranger, tmp_path / "damaged")
    tensors = load_file(folder / "model.safetensors")
    name = part if part in tensors else "model." + part.replace("model.", "language_model.")
    tensors[name][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    code, sentence = failure(judge(folder, [(author[1], "good")], rationale=rationale)[0])
    assert code == "logits_not_finite"
    assert str(folder) in sentence and "download" in sentence


def test_one_bad_request_leaves_the_others_alone(author, judge, tmp_path):
    """Among good requests a bad one fails by itself."""
    folder, clip = author
    good, = judge(folder, [(clip, "good")])
    results = judge(folder, [(clip, "good"), (clip, " \n"), (clip, "good")], batch=3)
    assert results[0] == results[2] == good
    code, sentence = failure(results[1])
    assert "prompt must not be empty: pass --prompt TEXT" in sentence


def test_stop(author, judge):
    """A judge that is asked to stop answers every request that is left with "cancelled"."""
    folder, clip = author
    results = judge(folder, [(clip, "good")] * 3, batch=3, stop=True)
    assert [failure(r)[0] for r in results] == ["cancelled"] * 3


def test_prompt_of_a_hundred_thousand_characters(author, judge):
    """Works where its tokens fit, and is refused with the numbers where they do not."""
    folder, clip = author
    words = ("visual quality " * 7000)[:100_000]
    result, = judge(folder, [(clip, words)], rationale=4)
    assert len(result["prompt_tokens"]) > 10_000
    assert all(1 <= d["expected"] <= 5 for d in result["dimensions"])

    code, sentence = failure(judge(folder, [(clip, "7" * 100_000)])[0])
    assert code == "prompt_too_long"
    assert "16384 tokens (max_position_embeddings)" in sentence and "shorten the prompt" in sentence


def test_odd_prompts(author, judge):
    """Text of any script, control characters and a single character are judged."""
    folder, clip = author
    prompts = ["a", "\x00\x01", "e\u0301", "日本語の動画", "🎬" * 50, "a\r\n\tb", "\ufeffx", "%s {} $"]
    for result in judge(folder, [(clip, p) for p in prompts], rationale=8, batch=8):
        assert all(1 <= d["expected"] <= 5 for d in result["dimensions"])


def test_shortest_videos(author, judge, tmp_path):
    """One frame is shown twice, which is our own rule; two and three frames are the reference's."""
    folder, _ = author
    for frames, seen in ((1, [0, 0]), (2, [0, 1]), (3, [0, 2])):
        clip = clips.write_clip(tmp_path / f"{frames}.mp4", frames=frames)
        result, = judge(folder, [(clip, "good")])
        assert result["frames"] == seen
        assert result["grid_thw"][0] == 1


def test_an_hour_of_video(author, judge, tmp_path):
    """Looks at 768 frames as the reference does, refuses them where they do not fit, naming the
    option that helps, which does help."""
    folder, _ = author
    clip = clips.write_clip(tmp_path / "hour.mp4", frames=3600, fps=1)
    code, sentence = failure(judge(folder, [(clip, "good")])[0])
    assert code == "prompt_too_long" and "--max-frames" in sentence
    result, = judge(folder, [(clip, "good")], max_frames=16)
    assert len(result["frames"]) == 16
    assert result["frames"][0] == 0 and result["frames"][-1] == 3599


@pytest.mark.parametrize("options, sentence", [
    (dict(dtype="int8"), 'dtype must be fp32 or bf16 but got "int8"'),
    (dict(readings=3), "pass --temperature 0.7"),
    (dict(readings=0), "--samples must be at least 1"),
    (dict(temperature=-1), "--temperature must be 0 (greedy) or above"),
    (dict(fps=-2), "--judge-fps must be above 0"),
    (dict(max_frames=1), "--max-frames must be at least 2"),
    (dict(rationale=-1), "--rationale must be"),
    (dict(threads=-1), "--threads must be"),
    (dict(template="/nowhere.txt"), "/nowhere.txt"),
], ids=str)
def test_options_out_of_range(options, sentence, stranger, dump):
    """Options that cannot be meant are refused before the weights are opened."""
    error = dump("judge_dump", "judge", dict(folder=stranger, requests=[], **options), ok=False)
    assert sentence in error


def test_digits_that_are_not_one_token(stranger, dump, tmp_path):
    """A tokenizer without a token for a digit cannot be read from, and says so."""
    folder = copy_of(stranger, tmp_path / "digits")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["5x"] = vocabulary.pop("5")
    path.write_text(json.dumps(content))
    error = dump("judge_dump", "judge", dict(folder=folder, requests=[]), ok=False)
    assert '"5"' in error or "'5'" in error
