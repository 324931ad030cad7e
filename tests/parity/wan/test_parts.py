"""Noise levels, prompts, tokens and the encoder beside their references."""

import json

import numpy as np
import pytest
import torch
from diffusers import (AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler)
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from transformers import AutoTokenizer

from checkpoints import SHAPES

SCHEDULERS = [
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=s,
                            solver_order=order)
    for s, order in [(1.0, 1), (3.0, 2), (5.0, 3), (12.0, 2)]
] + [FlowMatchEulerDiscreteScheduler(shift=s) for s in (1.0, 3.0, 8.0)]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda s: type(s).__name__[:8])
def test_noise_levels_are_bit_equal(scheduler, dump, tmp_path):
    """sigmas and timesteps of every number of steps, exactly."""
    scheduler.save_pretrained(tmp_path)
    for steps in (1, 2, 5, 20, 50, 137):
        scheduler.set_timesteps(steps)
        ours = dump("schedule", dict(file=tmp_path / "scheduler_config.json", steps=steps))
        assert np.array_equal(np.float32(ours["sigmas"]), scheduler.sigmas.numpy())
        assert np.array_equal(np.float32(ours["timesteps"]), np.float32(scheduler.timesteps))


PROMPTS = [
    "", "   ", "plain words", "  many \t\n spaces\u00a0here\u3000", "“curled” and ‘single’ ‟quotes‛",
    "ﬁne ﬂow oﬃce ŉ Ǆ", "Ｆｕｌｌ ｗｉｄｔｈ ﾊﾝｶｸ", "cafe\u0301 becomes one letter", "a &amp; b &lt;c&gt;",
    "&amp;amp;amp;lt;", "&eacute; &#233; &#xE9; &#x80; &#0; &notit; &copy 2024 &amp", "a < b &amp;lt; c",
    "&nosuch; & alone &; &#; &#x;", "control\x07 \x1b[31mred\x1b[0m \ufeffend", "line\u2028sep\x85next\r\nx",
    "emoji 🎬 zw\u200dj", "红色圆圈 движется", "&Jscr;ohn &NotEqualTilde; &fjlig;", "x" * 40 + "&" + "y" * 40,
    "&ThickSpace;gap&nbsp;", "&#55296; &#1114112; &#xFDD0; &#11;",
]


def test_prompts_are_cleaned_like_wan(dump):
    """ftfy's fixes and HTML entities, as WanPipeline cleans."""
    ours = dump("clean", dict(prompts=PROMPTS))
    for prompt, text in zip(PROMPTS, ours["texts"]):
        assert text == prompt_clean(prompt), repr(prompt)
    assert not any(ours["warnings"])


def test_a_misread_prompt_is_named_not_repaired(dump):
    """Where the reference would repair a wrong encoding, a warning says so."""
    prompts = ["cafÃ© by the sea", "itâ€™s raining", "ordinary café", "Ã alone"]
    ours = dump("clean", dict(prompts=prompts))
    assert prompt_clean(prompts[0]) == "café by the sea"
    assert [bool(w) for w in ours["warnings"]] == [True, True, False, False]


def test_tokens_equal_transformers(folders, dump):
    """Any text, cut to any length, ends in the end mark."""
    folder = folders(SHAPES[0]) / "tokenizer"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [prompt_clean(p) for p in PROMPTS] + [SHAPES[5].prompt, "unknown ☃ characters ∆"]
    for limit in (4, 32, 512):
        ours = dump("tokens", dict(folder=folder, prompts=prompts, limit=limit))
        for prompt, ids in zip(prompts, ours["ids"]):
            theirs = tokenizer(prompt, max_length=limit, truncation=True).input_ids
            assert ids == theirs, repr(prompt)


def test_an_end_mark_in_a_prompt_is_text(folders, dump):
    """The one difference from the reference: a user cannot end the prompt by writing </s>."""
    folder = folders(SHAPES[0]) / "tokenizer"
    ids = dump("tokens", dict(folder=folder, prompts=["a </s> b"], limit=32))["ids"][0]
    assert ids.count(1) == 1 and ids[-1] == 1


def test_two_tokenizers_in_one_folder_must_agree(folders, dump, tmp_path):
    """transformers reads tokenizer.json, this program spiece.model: a difference is refused."""
    import shutil
    shutil.copytree(folders(SHAPES[0]) / "tokenizer", tmp_path / "copy")
    path = tmp_path / "copy" / "tokenizer.json"
    saved = json.loads(path.read_text())
    saved["pre_tokenizer"]["prepend_scheme"] = "never"
    path.write_text(json.dumps(saved))
    error = dump("tokens", dict(folder=tmp_path / "copy", prompts=["a"], limit=4), ok=False)
    assert "prepend_scheme" in error


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[1], SHAPES[4]], ids=lambda s: s.name)
def test_the_encoder_equals_diffusers(shape, folders, dump):
    """A video to its latents: the mean of the posterior, normalised."""
    folder = folders(shape)
    size = (shape.frames, 3, shape.height, shape.width)
    video = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    ours = dump("encode", dict(folder=folder, video=video, width=shape.width, height=shape.height,
                               frames=shape.frames))
    vae = AutoencoderKLWan.from_pretrained(folder / "vae")
    x = (torch.from_numpy(video).float() / 127.5 - 1).transpose(0, 1)[None]
    with torch.no_grad():
        mean = vae.encode(x).latent_dist.mean
    shift = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    scale = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    theirs = ((mean - shift) / scale).numpy()
    mine = ours["array"]("latents.f32", ours["latents"])
    assert mine.shape == theirs.shape
    assert np.abs(mine - theirs).max() <= 1e-4 * max(1, np.abs(theirs).max())


def tiny_layout(weights, x):
    """TAEHV's decoder as its layout describes it, all frames at once; x (T, C, H, W)."""
    import torch.nn.functional as F

    def conv(x, name, bias=True):
        w = weights[f"decoder.{name}.weight"]
        return F.conv2d(x, w, weights[f"decoder.{name}.bias"] if bias else None,
                        padding=w.shape[-1] // 2)

    x, index, time = F.relu(conv(3 * torch.tanh(x / 3), 1)), 3, 1
    for _ in range(3):
        for _ in range(3):
            past = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
            y = F.relu(conv(torch.cat([x, past], 1), f"{index}.conv.0"))
            x = F.relu(conv(F.relu(conv(y, f"{index}.conv.2")), f"{index}.conv.4") + x)
            index += 1
        x = F.interpolate(x, scale_factor=2)
        width = x.shape[1]
        x = conv(x, f"{index + 1}.conv", bias=False)
        time *= x.shape[1] // width
        x = x.reshape(-1, width, *x.shape[2:])
        x = conv(x, index + 2, bias=False)
        index += 3
    x = conv(F.relu(x), index + 1)
    patch = round((x.shape[1] // 3) ** 0.5)
    return (F.pixel_shuffle(x, patch) if patch > 1 else x).clamp(0, 1)[time - 1:]


@pytest.mark.parametrize("patch", [1, 2])
def test_the_tiny_decoder_follows_its_layout(patch, dump, tmp_path):
    """One frame at a time gives what all at once gives; another model's file is refused."""
    from safetensors.torch import save_file
    generator = torch.Generator().manual_seed(0)
    weights = {}

    def conv(name, out, inner, kernel=3, bias=True):
        weights[f"decoder.{name}.weight"] = torch.randn(
            out, inner, kernel, kernel, generator=generator) / (inner * kernel * kernel) ** 0.5
        if bias:
            weights[f"decoder.{name}.bias"] = 0.1 * torch.randn(out, generator=generator) + 0.1

    widths, index = (12, 10, 8, 8), 3
    conv(1, widths[0], 16)
    for level, grow in enumerate((1, 2, 2)):
        n = widths[level]
        for _ in range(3):
            for part, inner in ((0, 2 * n), (2, n), (4, n)):
                conv(f"{index}.conv.{part}", n, inner)
            index += 1
        conv(f"{index + 1}.conv", n * grow, n, 1, bias=False)
        conv(index + 2, widths[level + 1], n, bias=False)
        index += 3
    conv(index + 1, 3 * patch * patch, widths[3])
    save_file(weights, tmp_path / "tae.safetensors")
    x = torch.randn(1, 16, 3, 4, 6, generator=generator)
    theirs = (tiny_layout(weights, x[0].transpose(0, 1)) * 255).numpy()
    asked = dict(file=tmp_path / "tae.safetensors", channels=16, shape=list(x.shape),
                 latents=x.numpy())
    ours = dump("tiny", asked)
    assert ours["frames"] == [9, 3, 32 * patch, 48 * patch]
    frames = ours["array"]("frames.u8", ours["frames"]).astype(np.float32)
    assert np.abs(frames - theirs).max() < 1.01 and theirs.std() > 5
    assert "48" in dump("tiny", dict(asked, channels=48), ok=False)
