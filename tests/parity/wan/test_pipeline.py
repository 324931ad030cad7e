"""The native engine beside diffusers on random small pipelines: every stage within 1e-4."""

import json

import numpy as np
import pytest
import torch
from diffusers import WanPipeline

from checkpoints import SHAPES

STEPS = 20
SEED = 7


def close(name, ours, theirs, tolerance=1e-4):
    theirs = np.asarray(theirs, np.float32)
    assert ours.shape == theirs.shape, f"{name}: {ours.shape} is not {theirs.shape}"
    assert np.isfinite(ours).all(), f"{name} holds NaN"
    limit = tolerance * max(1.0, np.abs(theirs).max())
    worst = np.abs(ours - theirs).max()
    assert worst <= limit, f"{name}: differs by {worst:.2e}, allowed {limit:.2e}"
    return worst / max(1.0, np.abs(theirs).max())


def request(shape, folder, **more):
    asked = dict(folder=folder, prompt=shape.prompt, negative=shape.negative, seed=SEED,
                 width=shape.width, height=shape.height, frames=shape.frames, steps=STEPS,
                 guidance=shape.guidance, threads=1, **more)
    if shape.guidance_2 is not None:
        asked["guidance_2"] = shape.guidance_2
    return asked


def reference(shape, folder, dtype=torch.float32):
    """What diffusers computes, with everything on the way."""
    pipe = WanPipeline.from_pretrained(folder, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    seen = dict(latents=[], velocities=[], text=[])
    step = pipe.scheduler.step

    def watch_step(v, t, x, **kw):
        seen["velocities"].append(v.float().clone())
        out = step(v, t, x, **kw)
        seen["latents"].append(out[0].float().clone())
        return out

    pipe.scheduler.step = watch_step
    prepare = pipe.prepare_latents
    encode = pipe.encode_prompt

    def watch_latents(*a, **kw):
        seen["noise"] = prepare(*a, **kw)
        return seen["noise"].clone()

    def watch_encode(*a, **kw):
        seen["text"] = encode(*a, **kw)
        return seen["text"]

    pipe.prepare_latents, pipe.encode_prompt = watch_latents, watch_encode
    seen["final"] = pipe(
        shape.prompt, shape.negative, height=shape.height, width=shape.width,
        num_frames=shape.frames, num_inference_steps=STEPS, guidance_scale=shape.guidance,
        guidance_scale_2=shape.guidance_2, generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="latent").frames
    with torch.no_grad():
        z = seen["final"].to(pipe.vae.dtype)
        mean = torch.tensor(pipe.vae.config.latents_mean).view(1, -1, 1, 1, 1).to(z)
        std = 1.0 / torch.tensor(pipe.vae.config.latents_std).view(1, -1, 1, 1, 1).to(z)
        seen["values"] = pipe.vae.decode(z / std + mean, return_dict=False)[0]
    frames = pipe.video_processor.postprocess_video(seen["values"], output_type="np")[0]
    seen["frames"] = (frames * 255).astype(np.uint8)
    return seen


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.name)
def test_every_stage_equals_diffusers(shape, folders, dump):
    """Embeddings, noise, each velocity, latents after each step, decoded frames."""
    folder = folders(shape)
    theirs, ours = reference(shape, folder), dump("generate", request(shape, folder))
    worst = {}
    for i, name in enumerate(["positive", "negative"]):
        if name not in ours:
            assert shape.guidance == 1 and i == 1
            continue
        rows = ours[name][0]
        full = theirs["text"][i][0]
        worst[name] = close(name, ours["array"](f"{name}.f32", ours[name]), full[:rows])
        assert not full[rows:].any(), "the reference pads with zeros"
        assert full[rows - 1].any(), "and not before the end of the text"
    size = ours["latents"]
    noise = ours["array"]("noise.f32", size)
    assert np.array_equal(noise, theirs["noise"].numpy()), "the same seed gives the same noise"
    for name in ["velocities", "latents"]:
        mine = ours["array"](f"{name}.f32", [STEPS, *size])
        for i in range(STEPS):
            worst[name] = max(worst.get(name, 0),
                              close(f"{name} of step {i}", mine[i], theirs[name][i]))
    frames = [shape.frames, 3, shape.height, shape.width]
    assert ours["frames"] == frames
    values = theirs["values"][0].transpose(0, 1).numpy()
    worst["values"] = close("frames", ours["array"]("values.f32", frames), values)
    assert (np.abs(values) < 1).mean() > 0.5, "the decoder must not be saturated, or it tests little"
    mine = ours["array"]("frames.u8", frames).astype(int)
    quantised = theirs["frames"].transpose(0, 3, 1, 2).astype(int)
    off = np.abs(mine - quantised)
    assert off.max() <= 1 and (off > 0).mean() < 0.02
    assert ours["forwards"] == STEPS * (2 if shape.guidance > 1 else 1)
    print(shape.name, {k: f"{v:.1e}" for k, v in worst.items()})


def test_both_denoisers_of_wan22_are_used(folders):
    """The pair test above would pass with one of them only if the boundary were never crossed."""
    for shape in SHAPES:
        if not shape.two:
            continue
        pipe = WanPipeline.from_pretrained(folders(shape))
        pipe.scheduler.set_timesteps(STEPS)
        low = (pipe.scheduler.timesteps < shape.boundary * 1000).sum()
        assert 2 <= low <= STEPS - 2


@pytest.mark.parametrize("name", ["plain", "two_euler"])
def test_bf16_follows_diffusers_in_bf16(name, folders, dump):
    """With the same islands in float32, the first velocity is as near as bf16 can be."""
    shape = next(s for s in SHAPES if s.name == name)
    folder = folders(shape)
    exact = reference(shape, folder)
    theirs = reference(shape, folder, torch.bfloat16)
    ours = dump("generate", request(shape, folder, dtype="bf16"))
    mine = ours["array"]("velocities.f32", [STEPS, *ours["latents"]])[0]
    truth = exact["velocities"][0].numpy()
    scale = np.abs(truth).max()
    reference_error = np.abs(theirs["velocities"][0].numpy() - truth).mean() / scale
    error = np.abs(mine - truth).mean() / scale
    assert 0 < error <= 1.3 * reference_error


def test_settings_are_read_not_assumed(folders, dump, tmp_path):
    """A changed config changes the result or is refused, by name."""
    import shutil
    shape = SHAPES[0]
    copy = tmp_path / "copy"
    shutil.copytree(folders(shape), copy)

    def edit(part, **changes):
        path = copy / part
        config = json.loads(path.read_text())
        before = dict(config)
        config.update(changes)
        path.write_text(json.dumps(config))
        return lambda: path.write_text(json.dumps(before))

    base = request(shape, copy)
    for part, changes, words in [
        ("scheduler/scheduler_config.json", dict(_class_name="DDIMScheduler"), "DDIMScheduler"),
        ("scheduler/scheduler_config.json", dict(prediction_type="epsilon"), "prediction_type"),
        ("transformer/config.json", dict(image_dim=1280), "image-to-video"),
        ("transformer/config.json", dict(num_layers=3), "blocks.2"),
        ("transformer/config.json", dict(ffn_dim=64), "ffn"),
        ("vae/config.json", dict(scale_factor_spatial=16), "scale"),
        ("text_encoder/config.json", dict(model_type="t5"), "umt5"),
        ("model_index.json", dict(_class_name="FluxPipeline"), "WanPipeline"),
        ("model_index.json", dict(boundary_ratio=0.9), "transformer_2"),
    ]:
        undo = edit(part, **changes)
        assert words in dump("generate", base, ok=False), (part, changes)
        undo()
    undo = edit("scheduler/scheduler_config.json", flow_shift=1.0)
    assert dump("generate", base)["forwards"] == 2 * STEPS
    undo()
    for part in ["scheduler/scheduler_config.json", "vae/config.json"]:
        (copy / part).rename(copy / "away")
        assert part in dump("generate", base, ok=False)
        (copy / "away").rename(copy / part)


def test_impossible_sizes_explain_the_rule(folders, dump):
    """The sentence names the multiple and a size that works."""
    shape = SHAPES[0]
    for change, words in [(dict(width=40), "multiple of 16"), (dict(frames=8), "4 k + 1"),
                          (dict(frames=4), "use 5"),  # as the reference rounds
                          (dict(height=0), "multiple of 16"), (dict(steps=0), "steps must be")]:
        error = dump("generate", {**request(shape, folders(shape)), **change}, ok=False)
        assert words in error and ("use " in error or "ask for" in error)


def test_a_fork_with_its_key_is_the_same_video(folders, dump):
    """Stochastic steps: the key decides; going back to step 1 has that step's noise level."""
    shape = SHAPES[0]
    for kind, eta in [("flow-sde", 0.7), ("ddim", 0.5), ("cps", 0.5)]:
        asked = dict(request(shape, folders(shape)), stochastic=kind, eta=eta, fork_at=7, steps=9)
        ours = dump("generate", asked)
        assert ours["same_key_equal"] and not ours["other_key_equal"]
        assert ours["back_step"] == 1 and ours["back_finite"]
        assert ours["back_std"] > 0.6


def test_guidance_one_needs_no_negative(folders, dump):
    """One forward a step, and the negative prompt changes nothing."""
    shape = SHAPES[0]
    results = []
    for negative in ("a blue square", "something else"):
        ours = dump("generate", {**request(shape, folders(shape)), "guidance": 1.0, "steps": 3,
                                 "negative": negative})
        assert ours["forwards"] == 3 and "negative" not in ours
        results.append(ours["array"]("latents.f32", [3, *ours["latents"]]))
    assert np.array_equal(*results)


def test_nan_in_latents_is_a_sentence(folders, dump):
    """One lost candidate names its reason; finite latents decode and have a small preview."""
    shape = SHAPES[1]
    rng = np.random.default_rng(0)
    size = (1, shape.z_dim, 5, shape.height // 8, shape.width // 8)
    asked = dict(folder=folders(shape), width=shape.width, height=shape.height, frames=shape.frames)
    good = rng.standard_normal(size).astype(np.float32)
    ours = dump("decode", dict(asked, latents=good))
    assert ours["preview"] == [5, 3, size[3], size[4]]
    video = ours["array"]("frames.u8", [shape.frames, 3, shape.height, shape.width]).astype(float)
    small = ours["array"]("preview.u8", ours["preview"]).astype(float)
    means = video[0].reshape(3, size[3], 8, size[4], 8).mean((2, 4))
    assert np.corrcoef(means.ravel(), small[0].ravel())[0, 1] > 0.5
    bad = good.copy()
    bad[0, 3, 2, 1, 1] = np.nan
    assert "NaN" in dump("decode", dict(asked, latents=bad), ok=False)
