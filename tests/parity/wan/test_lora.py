"""LoRA files as the tools write them: diffusers with peft, and weights merged by hand, are the truth."""

import json
import re

import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from safetensors.torch import save_file

from checkpoints import SHAPES
from test_pipeline import request

ONE, TWO = SHAPES[0], SHAPES[3]
LAYERS = {"attn1.to_q": "self_attn.q", "attn1.to_k": "self_attn.k", "attn1.to_v": "self_attn.v",
          "attn1.to_out.0": "self_attn.o", "attn2.to_q": "cross_attn.q", "attn2.to_k": "cross_attn.k",
          "attn2.to_v": "cross_attn.v", "attn2.to_out.0": "cross_attn.o",
          "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2"}
OUTER = {"condition_embedder.time_embedder.linear_1": "time_embedding.0",
         "condition_embedder.time_embedder.linear_2": "time_embedding.2",
         "condition_embedder.time_proj": "time_projection.1",
         "condition_embedder.text_embedder.linear_1": "text_embedding.0",
         "condition_embedder.text_embedder.linear_2": "text_embedding.2", "proj_out": "head.head"}


def steps(shape):
    """Enough to cross the boundary of two denoisers."""
    return 6 if shape.two else 3


def original(layer):
    for ours, theirs in LAYERS.items():
        if layer.endswith("." + ours):
            return layer[: -len(ours)] + theirs
    return OUTER.get(layer, layer)


@pytest.fixture(scope="module")
def pipes(folders):
    made = {}

    def get(shape):
        if shape.name not in made:
            made[shape.name] = WanPipeline.from_pretrained(folders(shape))
            made[shape.name].set_progress_bar_config(disable=True)
        return made[shape.name]
    return get


def pairs(model, rank=4, seed=1, outer=False, size=0.3):
    """{our layer: (A, B)} of every matrix of the blocks, of all others too with `outer`."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, w in model.state_dict().items():
        layer = name.removesuffix(".weight")
        if layer == name or w.dim() != 2 or not (layer in OUTER and outer or
                                                  any(layer.endswith("." + x) for x in LAYERS)):
            continue
        r = rank if layer not in OUTER else rank - 1
        out[layer] = (torch.randn(r, w.shape[1], generator=generator) * size / w.shape[1] ** 0.5,
                      torch.randn(w.shape[0], r, generator=generator) * size)
    return out


def theirs(pipe, shape):
    return pipe(shape.prompt, shape.negative, height=shape.height, width=shape.width,
                num_frames=shape.frames, num_inference_steps=steps(shape), guidance_scale=shape.guidance,
                guidance_scale_2=shape.guidance_2, output_type="latent",
                generator=torch.Generator("cpu").manual_seed(7)).frames[0].numpy()


def ours(dump, shape, folder, lora, **more):
    done = dump("generate", dict(request(shape, folder), steps=steps(shape), values=False, lora=lora, **more))
    return done["array"]("latents.f32", [steps(shape), *done["latents"]])[-1][0]


def near(a, b, tolerance=1e-4):
    return np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


def merged(pipe, shape, additions, part="transformer"):
    """The reference on weights with the additions {tensor: values} in them."""
    model = getattr(pipe, part)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    after = {k: v.clone() for k, v in before.items()}
    for name, values in additions.items():
        after[name] = after[name] + values.reshape(after[name].shape)
    model.load_state_dict(after)
    result = theirs(pipe, shape)
    model.load_state_dict(before)
    return result


def products(ab, scale=1.0):
    return {f"{k}.weight": scale * (b @ a) for k, (a, b) in ab.items()}


def keys(ab, name, down="lora_A.weight", up="lora_B.weight"):
    return {f"{name(k)}.{word}": v.contiguous() for k, (a, b) in ab.items()
            for word, v in ((down, a), (up, b))}


def by_peft(pipe, shape, file, scale=1.0, prepare=None):
    """What diffusers computes with the file loaded by its own loader."""
    pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="a")
    try:
        if scale != 1:  # peft's set_adapters() forgets that a scale is rank-stabilised
            pipe.set_adapters("a", adapter_weights=scale)
        if prepare:
            prepare(pipe)
        return theirs(pipe, shape)
    finally:
        pipe.unload_lora_weights()


@pytest.fixture
def lora(tmp_path):
    def write(tensors, name="lora.safetensors", **metadata):
        save_file(tensors, tmp_path / name, metadata=dict(
            format="pt", **{k: json.dumps(v) for k, v in metadata.items()}))
        return tmp_path / name
    return write


def test_every_tools_names_are_the_same_sum(pipes, folders, dump, lora):
    """diffusers', peft's, ComfyUI's, kohya's and bare names; every layer, two ranks."""
    pipe, folder = pipes(ONE), folders(ONE)
    ab = pairs(pipe.transformer, outer=True)
    truth = merged(pipe, ONE, products(ab, 0.7))
    plain = ours(dump, ONE, folder, [])
    assert not near(plain, truth, 1e-2), "the additions must matter"
    for down, up, name in [
        ("lora_A.weight", "lora_B.weight", lambda k: "transformer." + k),
        ("lora_A.default.weight", "lora_B.default.weight", lambda k: "base_model.model." + k),
        ("lora_down.weight", "lora_up.weight", lambda k: "diffusion_model." + original(k)),
        ("lora_A.weight", "lora_B.weight", lambda k: "diffusion_model." + original(k)),
        ("lora_down.weight", "lora_up.weight", lambda k: "lora_unet_" + original(k).replace(".", "_")),
        ("lora_down.weight", "lora_up.weight", original),
    ]:
        file = lora(keys(ab, name, down, up))
        for text in (f"{file}=0.7", f"{file}:0.7"):
            if text.endswith(":0.7") and "default" not in down:
                continue
            assert near(ours(dump, ONE, folder, [text]), truth), name("x")


def test_scales_of_peft_are_the_references(pipes, folders, dump, lora, tmp_path):
    """What diffusers saves: rank and alpha patterns and rank-stabilised scales in the metadata."""
    pipe, folder = pipes(ONE), folders(ONE)
    ab = pairs(pipe.transformer)
    a, b = ab["blocks.1.attn1.to_q"]
    ab["blocks.1.attn1.to_q"] = (torch.cat([a, a * 0.5]), torch.cat([b, b], 1))
    for stable, strength in [(False, 0.6), (True, 1.0)]:
        config = {"r": 4, "lora_alpha": 6, "rank_pattern": {"blocks.1.attn1.to_q": 8},
                  "alpha_pattern": {"to_out.0": 10, "blocks.0.ffn.net.2": 1},
                  "use_rslora": stable, "lora_bias": False,
                  "target_modules": sorted({k.split(".", 2)[2] for k in ab})}
        file = lora(keys(ab, lambda k: "transformer." + k),
                    lora_adapter_metadata={f"transformer.{k}": v for k, v in config.items()})
        truth = by_peft(pipe, ONE, file, strength)
        got = ours(dump, ONE, folder, [f"{file}={strength}"])
        assert near(got, truth)
        assert not near(got, merged(pipe, ONE, products(ab, strength)), 1e-3)
        # The same beside the file, as peft saves it, without metadata.
        (tmp_path / "peft").mkdir(exist_ok=True)
        (tmp_path / "peft" / "adapter_config.json").write_text(json.dumps(dict(config, peft_type="LORA")))
        beside = lora(keys(ab, lambda k: "base_model.model." + k), "peft/adapter_model.safetensors")
        assert near(ours(dump, ONE, folder, [f"{beside}={strength}"]), truth)


def test_alpha_tensors_and_biases_as_diffusers_converts(pipes, folders, dump, lora):
    """ComfyUI's file with .alpha and .diff_b, kohya's with .alpha: the reference's own conversion."""
    pipe, folder = pipes(ONE), folders(ONE)
    ab = pairs(pipe.transformer)
    comfy = keys(ab, lambda k: "diffusion_model." + original(k), "lora_down.weight", "lora_up.weight")
    kohya = keys(ab, lambda k: "lora_unet_" + original(k).replace(".", "_"),
                 "lora_down.weight", "lora_up.weight")
    for k, (a, b) in ab.items():
        comfy[f"diffusion_model.{original(k)}.alpha"] = torch.tensor(2.0)
        comfy[f"diffusion_model.{original(k)}.diff_b"] = torch.randn(
            b.shape[0], generator=torch.Generator().manual_seed(1)) * 0.2
        kohya[f"lora_unet_{original(k).replace('.', '_')}.alpha"] = torch.tensor(2.0)
    for tensors in (comfy, kohya):
        file = lora(tensors)
        assert near(ours(dump, ONE, folder, [f"{file}=0.8"]), by_peft(pipe, ONE, file, 0.8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float8_e4m3fn])
def test_distilled_loras_touch_every_parameter(dtype, pipes, folders, dump, lora):
    """.diff of norms and of the patches, .diff_b, .diff_m of modulations, in any storage."""
    pipe, folder = pipes(ONE), folders(ONE)
    ab = pairs(pipe.transformer)
    tensors = keys(ab, lambda k: "diffusion_model." + original(k), "lora_down.weight", "lora_up.weight")
    w, generator = pipe.transformer.state_dict(), torch.Generator().manual_seed(5)
    extra = {}

    def add(key, name):
        tensors["diffusion_model." + key] = extra[name] = torch.randn(
            w[name].shape, generator=generator) * 0.1
    for i in range(ONE.layers):
        for key, name in [("norm3.diff", "norm2.weight"), ("norm3.diff_b", "norm2.bias"),
                          ("self_attn.norm_q.diff", "attn1.norm_q.weight"),
                          ("cross_attn.norm_k.diff", "attn2.norm_k.weight"),
                          ("self_attn.q.diff_b", "attn1.to_q.bias"), ("diff_m", "scale_shift_table")]:
            add(f"blocks.{i}.{key}", f"blocks.{i}.{name}")
    for key, name in [("head.diff_m", "scale_shift_table"), ("head.head.diff_b", "proj_out.bias"),
                      ("patch_embedding.diff", "patch_embedding.weight"),
                      ("time_embedding.0.diff_b", "condition_embedder.time_embedder.linear_1.bias")]:
        add(key, name)
    stored = {k: v.to(dtype) for k, v in tensors.items()}
    rounded = lambda v: v.to(dtype).float()
    truth = merged(pipe, ONE, {**products({k: (rounded(a), rounded(b)) for k, (a, b) in ab.items()}),
                               **{k: rounded(v) for k, v in extra.items()}})
    assert near(ours(dump, ONE, folder, [str(lora(stored))]), truth)


def test_each_of_two_denoisers_has_its_own(pipes, folders, dump, lora):
    """high=, low=, keys of transformer_2; without a word the first alone, as the reference."""
    pipe, folder = pipes(TWO), folders(TWO)
    hi, lo = pairs(pipe.transformer, seed=1), pairs(pipe.transformer_2, seed=2)
    high = lora(keys(hi, lambda k: "transformer." + k), "high.safetensors")
    low = lora(keys(lo, lambda k: "diffusion_model." + original(k)), "low.safetensors")
    low_2 = lora(keys(lo, lambda k: "transformer_2." + k), "low2.safetensors")
    first = by_peft(pipe, TWO, high)
    both = by_peft(pipe, TWO, high, prepare=lambda p: (
        p.load_lora_weights(str(low.parent), weight_name=low.name, adapter_name="b",
                            load_into_transformer_2=True)))
    assert not near(first, both, 1e-3)
    assert near(ours(dump, TWO, folder, [str(high)]), first)
    for files in ([f"high={high}", f"low={low}"], [str(high), str(low_2)], [str(high), f"low={low_2}"]):
        assert near(ours(dump, TWO, folder, files), both), files
    half = ours(dump, TWO, folder, [f"high={high}=0.5", f"low={low}=0.5"])
    assert not near(half, both, 1e-3)
    one = folders(ONE)
    for shape, where, text, word in [(ONE, one, f"low={high}", "two denoisers"),
                                     (ONE, one, str(low_2), "transformer_2"),
                                     (TWO, folder, f"high={low_2}", "high=")]:
        error = dump("generate", dict(request(shape, where), steps=steps(shape), lora=[text]), ok=False)
        assert word in error, error


def test_keys_of_image_to_video_are_named_and_passed_over(pipes, folders, dump, lora, capfd):
    """The rest is loaded, as the reference does."""
    pipe, folder = pipes(ONE), folders(ONE)
    ab = pairs(pipe.transformer)
    tensors = keys(ab, lambda k: "diffusion_model." + original(k))
    for name in ("k_img", "v_img"):
        for i in range(ONE.layers):
            tensors[f"diffusion_model.blocks.{i}.cross_attn.{name}.lora_A.weight"] = torch.randn(4, 24)
            tensors[f"diffusion_model.blocks.{i}.cross_attn.{name}.lora_B.weight"] = torch.randn(24, 4)
    file = lora(tensors)
    assert near(ours(dump, ONE, folder, [str(file)]), by_peft(pipe, ONE, file))
    assert "image-to-video" in dump.said


def test_what_cannot_be_merged_is_named(pipes, folders, dump, lora, tmp_path):
    """Each sentence has the file and what it is; the file without it works."""
    pipe, folder = pipes(ONE), folders(ONE)
    ab = {k: v for k, v in pairs(pipe.transformer).items() if k.startswith("blocks.0.attn1")}
    good = keys(ab, lambda k: "transformer." + k)
    q = "transformer.blocks.0.attn1.to_q."

    def refused(word, drop=(), metadata=None, scale="", **more):
        tensors = {k: v for k, v in good.items() if k not in drop}
        tensors.update({k.replace("__", "."): v for k, v in more.items()})
        file = lora(tensors, **({"lora_adapter_metadata": metadata} if metadata else {}))
        error = dump("generate", dict(request(ONE, folder), steps=2, lora=[f"{file}{scale}"]),
                     ok=False)
        assert re.search(word, error) and ("lora.safetensors" in error), error

    ours(dump, ONE, folder, [str(lora(good))])
    A, B = q + "lora_A.weight", q + "lora_B.weight"
    refused("DoRA", **{q + "dora_scale": torch.ones(24, 1)})
    refused("DoRA", **{q + "lora_magnitude_vector": torch.ones(24)})
    refused("LoHa", **{q + "hada_w1_a": torch.ones(24, 2)})
    refused("LoKr", **{q + "lokr_w1": torch.ones(2, 2)})
    refused("text encoder", **{"lora_te1_x.lora_up.weight": torch.ones(2, 2)})
    refused("blocks.9", **{"transformer.blocks.9.attn1.to_q.lora_A.weight": torch.ones(2, 2)})
    refused("must be a matrix", **{A: torch.ones(24)})
    refused("must be a matrix", **{B: torch.tensor(1.0)})
    refused("do not fit", **{A: torch.ones(3, 24)})
    refused("do not fit", **{A: torch.ones(4, 25)})
    refused("do not fit", drop=[B])
    refused("does not fit", **{"diffusion_model.blocks.0.norm3.diff": torch.ones(7)})
    refused("finite", **{q + "alpha": torch.tensor(float("nan"))})
    refused("finite", **{q + "alpha": torch.tensor(float("inf"))})
    refused("one number", **{q + "alpha": torch.ones(3)})
    refused("NaN", **{A: torch.full((4, 24), float("nan"))})
    for scale in ("=nan", "=inf", ":1e999", "="):
        refused("finite number", scale=scale)
    config = {"transformer.r": 4, "transformer.lora_alpha": 8}
    refused("rank", metadata={**config, "transformer.r": 8})
    refused("by its alpha tensor", metadata=config, **{
        f"transformer.{k}.alpha": torch.tensor(4.0) for k in ab})
    refused("DoRA", metadata={**config, "transformer.use_dora": True})
    refused("LOHA", metadata={**config, "transformer.peft_type": "LOHA"})
    refused("pattern", metadata={**config, "transformer.alpha_pattern": {"(a*)*b": 2}})
    refused("finite", metadata={**config, "transformer.lora_alpha": None, "transformer.r": "x"})
    (tmp_path / "adapter_config.json").write_text(json.dumps(dict(r=4, lora_alpha=12)))
    refused("adapter_config.json", metadata=config)
