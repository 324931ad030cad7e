"""Noise levels, prompts, tokens and the encoder beside their references."""

import numpy as np
import pytest
import torch
from diffusers import (AutoencoderKLWan, DPMSolverMultistepScheduler,
                       FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler)
from diffusers.pipelines.wan.pipeline_wan import prompt_clean

from checkpoints import SHAPES

SCHEDULERS = [
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=s,
                            solver_order=order)
    for s, order in [(1.0, 1), (3.0, 2), (5.0, 3), (12.0, 2)]
] + [FlowMatchEulerDiscreteScheduler(shift=s) for s in (1.0, 3.0, 8.0)] + [
    # Its saved configuration holds -Infinity, which is no JSON.
    DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True,
                                flow_shift=s) for s in (3.0, 5.0)]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda s: type(s).__name__[:8])
def test_noise_levels_are_bit_equal(scheduler, dump, tmp_path):
    """sigmas and timesteps of every number of steps, exactly."""
    scheduler.save_pretrained(tmp_path)
    for steps in (1, 2, 5, 20, 50, 137):
        scheduler.set_timesteps(steps)
        ours = dump("schedule", dict(file=tmp_path / "scheduler_config.json", steps=steps))
        assert np.array_equal(np.float32(ours["sigmas"]), scheduler.sigmas.numpy())
        assert np.array_equal(np.float32(ours["timesteps"]), np.float32(scheduler.timesteps))


@pytest.mark.parametrize("order,kind,steps", [(1, "midpoint", 7), (2, "midpoint", 9),
                                              (2, "heun", 20), (3, "midpoint", 12),
                                              (3, "midpoint", 25)])
def test_dpm_steps_equal_diffusers(order, kind, steps, dump, tmp_path):
    """Every step from given velocities, few and many steps (the order falls at the end of few)."""
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=4.0,
        solver_order=order, solver_type=kind)
    scheduler.save_pretrained(tmp_path)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 40, generator=generator)
    v = torch.randn(steps, 3, 40, generator=generator)
    ours = dump("walk", dict(file=tmp_path / "scheduler_config.json", steps=steps, x=x.numpy(),
                             v=v.numpy(), shape=[3, 40]))
    mine = ours["array"]("x.f32", [steps, 3, 40])
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(v[i], t, x, return_dict=False)[0]
        assert np.abs(mine[i] - x.numpy()).max() <= 1e-5 * max(1, x.abs().max())


def test_what_is_no_flow_scheduler_is_named(dump, tmp_path):
    """The sentence has the class or the key, and the option that takes another in its place."""
    from diffusers import FlowMatchHeunDiscreteScheduler
    FlowMatchHeunDiscreteScheduler().save_pretrained(tmp_path / "heun")
    flow = dict(prediction_type="flow_prediction", use_flow_sigmas=True)
    DPMSolverMultistepScheduler(**flow, algorithm_type="sde-dpmsolver++").save_pretrained(tmp_path / "sde")
    DPMSolverMultistepScheduler(**flow, lambda_min_clipped=-5.1).save_pretrained(tmp_path / "clip")
    for name, word in [("heun", "FlowMatchHeunDiscreteScheduler"), ("sde", "sde-dpmsolver++"),
                       ("clip", "lambda_min_clipped")]:
        asked = dict(file=tmp_path / name / "scheduler_config.json", steps=4)
        error = dump("schedule", asked, ok=False)
        assert word in error and "--scheduler" in error, error
        assert len(dump("schedule", dict(asked, scheduler="unipc", flow_shift=3.0))["sigmas"]) == 5


@pytest.mark.parametrize("wanted", ["unipc", "dpm++", "euler", ""])
def test_another_scheduler_is_from_config(wanted, dump, tmp_path):
    """--scheduler and --flow-shift are what from_config() of that class gives."""
    base = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True,
                                   flow_shift=3.0, solver_order=3)
    base.save_pretrained(tmp_path)
    cls = {"dpm++": DPMSolverMultistepScheduler, "euler": FlowMatchEulerDiscreteScheduler}.get(
        wanted, UniPCMultistepScheduler)
    shift = dict(shift=8.0) if wanted == "euler" else dict(flow_shift=8.0)
    theirs = cls.from_config(base.config, **shift)
    theirs.set_timesteps(9)
    ours = dump("schedule", dict(file=tmp_path / "scheduler_config.json", steps=9, flow_shift=8.0,
                                 scheduler=wanted))
    assert np.array_equal(np.float32(ours["sigmas"]), theirs.sigmas.numpy())
    for bad in (dict(flow_shift=0.0), dict(flow_shift=-1.0), dict(scheduler="heun")):
        assert "must be" in dump("schedule", dict(file=tmp_path / "scheduler_config.json", steps=9,
                                                  **bad), ok=False)


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
