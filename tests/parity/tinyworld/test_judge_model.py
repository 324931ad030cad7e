"""The training code's fast forward of the small judge against transformers, and its pixels against the processor."""

import json
import pathlib
import sys

import pytest
import torch
from qwen_vl_utils import vision_process
from transformers import Qwen2_5_VLProcessor

ROOT = pathlib.Path(__file__).resolve().parents[3] / "examples" / "tinyworld"
sys.path.insert(0, str(ROOT))
from training import judge_data, judge_model  # noqa: E402

PROMPT = "a small red circle moves left over a gray background"
ANSWER = "<think>object 1 : red blue diff .</think>" + "".join(label + "3" for label in judge_model.LABELS)


@pytest.fixture(scope="module")
def judge():
    words = sorted(set((PROMPT + " object blue diff : . Asked").split()))
    tokenizer = judge_model.make_tokenizer(words, [])
    settings = json.loads((ROOT / "training" / "judge.json").read_text())["model"]
    torch.manual_seed(0)
    model = judge_model.make_model(tokenizer, settings).eval()
    with torch.no_grad():  # norms and biases that could not be confused with their absence
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return tokenizer, model


def question(tokenizer, model):
    before, after = judge_model.prompt_ids(tokenizer, PROMPT)
    return before + [model.config.video_token_id] * judge_model.VIDEO_TOKENS + after


def patches(count):
    return torch.randn(count, 4, 64, 384, generator=torch.Generator().manual_seed(1))


def reference(model, ids, pixels):
    count = len(pixels)
    return model(
        input_ids=torch.tensor([ids] * count), pixel_values_videos=pixels.reshape(-1, pixels.shape[-1]),
        video_grid_thw=torch.tensor([judge_model.GRID] * count), second_per_grid_ts=torch.ones(count)).logits


@torch.no_grad()
def test_fast_forward_equals_transformers(judge):
    """The batched forward gives transformers' logits at every position, to float32 rounding."""
    tokenizer, model = judge
    ids = question(tokenizer, model) + tokenizer.encode(ANSWER)
    pixels = patches(3)
    fast = judge_model.Fast(model, tokenizer)
    ours = fast.logits(fast.think(fast.place(torch.tensor([ids] * 3), fast.see(pixels))))
    theirs = reference(model, ids, pixels)
    assert (ours - theirs).abs().max() < 1e-4 < 0.1 * theirs.std()


@torch.no_grad()
def test_greedy_answers_equal_transformers(judge):
    """Greedy answers, written with a cache and for questions of unequal length at once, are transformers'."""
    tokenizer, model = judge
    long = question(tokenizer, model)
    short = long[:-8] + long[-5:]
    pixels = patches(2)
    fast = judge_model.Fast(model, tokenizer)
    answers = judge_model.write(fast, pixels, [long, short], set(), limit=12)
    for asked, clip, answer in zip((long, short), pixels, answers):
        ids = list(asked)
        for token in answer:
            assert reference(model, ids, clip[None])[0, -1].argmax() == token
            ids.append(token)


def test_answer_marks_are_one_token(judge):
    """The marks of the answer and every digit are one token each; words of the world too."""
    tokenizer, _ = judge
    for text in ("<think>", "</think>", *judge_model.LABELS, *"12345", " circle", "circle"):
        assert len(tokenizer.encode(text)) == 1, text


def test_patches_and_question_equal_the_processor(judge, tmp_path):
    """A clip's patches are within a level of qwen-vl-utils and the processor, where enlarging does not overshoot
    0..255, which training leaves out; token ids are the same."""
    tokenizer, model = judge
    judge_model.save_folder(model, tokenizer, tmp_path)
    processor = Qwen2_5_VLProcessor.from_pretrained(tmp_path)
    frames = torch.randint(50, 205, (8, 6, 6, 3), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    frames = frames.repeat_interleave(11, 1).repeat_interleave(11, 2)[:, :64, :64]
    height, width = vision_process.smart_resize(64, 64, 16, 128 * 256, 768 * 256)
    large = vision_process.transforms.functional.resize(
        frames.permute(0, 3, 1, 2), [height, width],
        interpolation=vision_process.InterpolationMode.BICUBIC, antialias=True).float()
    message = [{"role": "user", "content": [
        {"type": "video", "video": ""}, {"type": "text", "text": judge_model.QUERY.replace("$t2v_prompt", PROMPT)}]}]
    text = processor.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
    out = processor(text=[text], videos=[large], fps=2.0, return_tensors="pt")
    ours = judge_data.to_patches(frames[None]).reshape(-1, 384)
    assert out["input_ids"][0].tolist() == question(tokenizer, model)
    scale = judge_data.DEVIATION.repeat_interleave(128)
    assert ((out["pixel_values_videos"] - ours) * scale).abs().max() < 1
