"""Single files as ComfyUI users have them, every stored format, GGUF: beside diffusers, torch and gguf."""

import json
import shutil

import gguf
import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from diffusers.loaders.single_file_utils import (convert_wan_transformer_to_diffusers,
                                                 convert_wan_vae_to_diffusers)
from safetensors.torch import load_file, save_file

import originals
from checkpoints import SHAPES, Shape
from test_lora import keys, merged, near, original, ours, pairs, products, steps, theirs
from test_pipeline import request

# Heads of 128, as no shape says how many there are; rows of whole blocks for GGUF.
BASE = Shape("single", seed=11, heads=2, head_dim=128, ffn=256, freq_dim=256, d_model=256,
             text_heads=4, d_kv=64, res_blocks=2, frames=5, two=False)
PAIR = Shape("single_pair", seed=12, heads=1, head_dim=128, two=True, boundary=0.875, guidance=1.0,
             res_blocks=2, frames=1)
WAN22 = SHAPES[-1]


@pytest.fixture(scope="module")
def pipes(folders):
    made = {}

    def get(shape):
        if shape.name not in made:
            made[shape.name] = WanPipeline.from_pretrained(folders(shape))
            made[shape.name].set_progress_bar_config(disable=True)
        return made[shape.name]
    return get


def write(path, tensors, **metadata):
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, path, metadata=metadata)
    return str(path)


def with_weights(pipe, shape, **parts):
    """The reference with other weights in some parts."""
    before = {}
    for name, state in parts.items():
        part = getattr(pipe, name)
        before[name] = {k: v.clone() for k, v in part.state_dict().items()}
        part.load_state_dict(state, strict=False)
    result = theirs(pipe, shape)
    for name, state in before.items():
        getattr(pipe, name).load_state_dict(state)
    return result


def made(dump, shape, lora=(), **files):
    """Without a folder: single files and nothing else."""
    asked = request(shape, "")
    asked.pop("folder")
    done = dump("generate", dict(asked, steps=steps(shape), lora=list(lora), **files))
    return done["array"]("latents.f32", [steps(shape), *done["latents"]])[-1][0], done


def test_the_original_names_are_those_that_diffusers_converts(pipes):
    """The names of these tests, by the reference's own conversion."""
    pipe = pipes(BASE)
    state = pipe.transformer.state_dict()
    assert set(convert_wan_transformer_to_diffusers(originals.denoiser(state))) == set(state)
    state = pipe.vae.state_dict()
    assert set(convert_wan_vae_to_diffusers(originals.vae(state, pipe.vae.config))) == set(state)


def test_a_model_of_single_files(pipes, folders, dump, tmp_path):
    """Original names, no folder: configuration from the shapes, statistics and shift as published."""
    pipe = pipes(BASE)
    published = type(pipe.vae.config)(dict(pipe.vae.config))
    files = dict(
        model_file=write(tmp_path / "wan.safetensors", {
            "model.diffusion_model." + k: v
            for k, v in originals.denoiser(pipe.transformer.state_dict()).items()}),
        vae_file=write(tmp_path / "vae.safetensors",
                       originals.vae(pipe.vae.state_dict(), published)),
        text_encoder_file=write(tmp_path / "umt5.safetensors", originals.renamed(
            pipe.text_encoder.state_dict(), originals.TEXT)))
    tokenizer = str(folders(BASE) / "tokenizer")
    got, done = made(dump, BASE, tokenizer=tokenizer, **files)
    assert near(got, theirs(pipe, BASE))
    # The decoder, too: with the statistics of Wan2.1, which no single file has.
    frames = done["array"]("values.f32", [BASE.frames, 3, BASE.height, BASE.width])
    from diffusers import AutoencoderKLWan
    fresh = AutoencoderKLWan(base_dim=8, num_res_blocks=2).config
    z = torch.from_numpy(got)[None]
    mean, std = (torch.tensor(x).view(1, -1, 1, 1, 1) for x in (fresh.latents_mean, fresh.latents_std))
    with torch.no_grad():
        truth = pipe.vae.decode(z * std + mean).sample[0].transpose(0, 1).numpy()
    assert near(frames, truth)
    # A text encoder of ComfyUI: transformers' names, and the tokenizer inside.
    spiece = torch.from_numpy(np.fromfile(folders(BASE) / "tokenizer/spiece.model", np.uint8))
    config = json.loads((folders(BASE) / "tokenizer/tokenizer_config.json").read_text())
    files["text_encoder_file"] = write(tmp_path / "comfy.safetensors", dict(
        {k: v for k, v in pipe.text_encoder.state_dict().items() if "embed_tokens" not in k},
        spiece_model=spiece))
    inside, _ = made(dump, BASE, **files)
    always = tmp_path / "always"
    shutil.copytree(folders(BASE) / "tokenizer", always)
    (always / "tokenizer.json").unlink()
    config.pop("add_prefix_space", None)
    (always / "tokenizer_config.json").write_text(json.dumps(config))
    beside, _ = made(dump, BASE, **dict(files, tokenizer=str(always)))
    assert np.array_equal(inside, beside) and not np.array_equal(inside, got)
    # A LoRA fits the single file as well.
    ab = pairs(pipe.transformer)
    save_file(keys(ab, lambda k: "diffusion_model." + original(k)), tmp_path / "lora.safetensors")
    got, _ = made(dump, BASE, [str(tmp_path / "lora.safetensors")], tokenizer=tokenizer,
                  **dict(files, text_encoder_file=str(tmp_path / "umt5.safetensors")))
    assert near(got, merged(pipe, BASE, products(ab)))


def test_the_file_of_wan22s_autoencoder(pipes, folders, dump, tmp_path):
    """Its levels are lists of their own; beside a folder, which keeps its statistics."""
    pipe = pipes(WAN22)
    file = write(tmp_path / "vae.safetensors", originals.vae(pipe.vae.state_dict(), pipe.vae.config))
    assert "decoder.upsamples.0.upsamples.3.resample.1.weight" in load_file(file)
    asked = dict(request(WAN22, folders(WAN22)), steps=2)
    plain, single = dump("generate", asked), dump("generate", dict(asked, vae_file=file))
    size = [WAN22.frames, 3, WAN22.height, WAN22.width]
    assert near(plain["array"]("values.f32", size), single["array"]("values.f32", size), 1e-5)


def test_the_pair_of_wan22(pipes, folders, dump, tmp_path):
    """Two denoisers, and the boundary of the published pair, without a folder."""
    pipe = pipes(PAIR)
    shape = PAIR
    files = {k: write(tmp_path / f"{k}.safetensors", originals.denoiser(m.state_dict()))
             for k, m in (("model_file", pipe.transformer), ("model_file_2", pipe.transformer_2))}
    files["vae_file"] = write(tmp_path / "vae.safetensors",
                              originals.vae(pipe.vae.state_dict(), pipe.vae.config))
    files["text_encoder_file"] = write(tmp_path / "t5.safetensors", {
        k: v for k, v in pipe.text_encoder.state_dict().items() if "embed_tokens" not in k})
    tokenizer = str(folders(shape) / "tokenizer")
    got, done = made(dump, shape, tokenizer=tokenizer, **files)
    assert near(got, theirs(pipe, shape)) and done["forwards"] == 6
    ab = pairs(pipe.transformer), pairs(pipe.transformer_2, seed=2)
    for part, name in zip(ab, ("high", "low")):
        save_file(keys(part, lambda k: "diffusion_model." + original(k)), tmp_path / f"{name}.safetensors")
    fast = [f"{name}={tmp_path}/{name}.safetensors" for name in ("high", "low")]
    before = {n: {k: v.clone() for k, v in getattr(pipe, n).state_dict().items()}
              for n in ("transformer", "transformer_2")}
    truth = with_weights(pipe, shape, **{
        n: {k: v + products(part).get(k, 0) for k, v in before[n].items()}
        for n, part in zip(before, ab)})
    assert near(made(dump, shape, fast, tokenizer=tokenizer, **files)[0], truth)
    swapped = dict(files, model_file=files["model_file_2"], model_file_2=files["model_file"])
    assert not near(made(dump, shape, tokenizer=tokenizer, **swapped)[0], got, 1e-2)


@pytest.mark.parametrize("stored", ["fp16", "bf16", "e4m3", "e5m2", "e4m3 scaled", "e4m3 by row"])
def test_every_storage_of_safetensors(stored, pipes, folders, dump, tmp_path):
    """The file's numbers times their scales, as torch reads them, for denoiser and text encoder."""
    pipe = pipes(BASE)
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "e5m2": torch.float8_e5m2}.get(
        stored, torch.float8_e4m3fn)
    files, values = {}, {}
    for name, part, rename in [
            ("model_file", "transformer", originals.denoiser),
            ("text_encoder_file", "text_encoder", lambda s: {k: v for k, v in s.items()
                                                              if "embed_tokens" not in k})]:
        tensors, values[part] = {}, {}
        for k, v in getattr(pipe, part).state_dict().items():
            tensors[k], values[part][k] = v, v
            if v.dim() != 2 or "embed" in k or "shared" in k or "relative" in k:
                continue
            scale = 1.0
            if "scaled" in stored:
                scale = v.abs().max() / 448
                tensors[k.removesuffix("weight") + "scale_weight"] = scale.reshape(1)
            if "by row" in stored:
                scale = v.abs().amax(1, keepdim=True) / 448
                tensors[k.removesuffix("weight") + "weight_scale"] = scale
            tensors[k] = (v / scale).to(dtype)
            values[part][k] = tensors[k].float() * scale
        if "scaled" in stored:
            tensors["scaled_fp8"] = torch.empty(0, dtype=dtype)
        files[name] = write(tmp_path / f"{part}.safetensors", rename(tensors))
    truth = with_weights(pipe, BASE, **values)
    got = ours(dump, BASE, folders(BASE), [], **files)
    assert near(got, truth)
    if dtype.itemsize == 1:
        assert not near(got, theirs(pipe, BASE), 1e-3)
    if stored == "e4m3 scaled":
        tensors = load_file(files["model_file"])
        name = next(k for k in tensors if k.endswith("scale_weight"))
        for bad, word in [(torch.tensor([float("nan")]), "finite"), (torch.ones(3), "one for each")]:
            broken = write(tmp_path / "bad.safetensors", dict(tensors, **{name: bad}))
            error = dump("generate", dict(request(BASE, folders(BASE)), model_file=broken), ok=False)
            assert word in error and name in error


def test_variants_without_a_plain_file(pipes, folders, dump, tmp_path):
    """save_pretrained(variant="fp16"), whole and in shards; two variants are a choice to make."""
    pipe = pipes(SHAPES[0])
    plain = ours(dump, SHAPES[0], folders(SHAPES[0]), [])
    for shard in ("10GB", "60KB"):
        folder = tmp_path / shard
        pipe.save_pretrained(folder, variant="fp16", max_shard_size=shard)
        assert not list(folder.glob("*/diffusion_pytorch_model.safetensors"))
        assert near(ours(dump, SHAPES[0], folder, []), plain, 1e-5)
    folder = tmp_path / "10GB"
    pipe.transformer.save_pretrained(folder / "transformer", variant="bf16")
    assert "bf16" in dump("generate", request(SHAPES[0], folder), ok=False)


def test_an_autoencoder_without_statistics(pipes, folders, dump, tmp_path):
    """The defaults of the reference's class, where the configuration is silent."""
    from diffusers import AutoencoderKLWan
    folder = tmp_path / "copy"
    shutil.copytree(folders(SHAPES[0]), folder)
    path = folder / "vae/config.json"
    config = json.loads(path.read_text())
    config.pop("latents_mean"), config.pop("latents_std")
    path.write_text(json.dumps(config))
    vae = AutoencoderKLWan.from_pretrained(folder / "vae")
    mean, std = (torch.tensor(x).view(1, -1, 1, 1, 1)
                 for x in (vae.config.latents_mean, vae.config.latents_std))
    done = dump("generate", dict(request(SHAPES[0], folder), steps=2))
    z = torch.from_numpy(done["array"]("latents.f32", [2, *done["latents"]])[-1])
    with torch.no_grad():
        truth = vae.decode(z * std + mean).sample[0].transpose(0, 1).numpy()
    assert near(done["array"]("values.f32", list(truth.shape)), truth)


def random_blocks(kind, rows, columns, seed):
    """Bytes of a K-quant, for which the package only has a reader: any bytes, with small scales."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(seed).integers(0, 256, (rows * columns // block, size), np.uint8)
    at = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}[kind.name]
    for i in at:
        data[:, i:i + 2] = np.float16(1e-3 * (1 + data[:, i:i + 1] / 256)).view(np.uint8)
    return data.reshape(rows, -1)


KINDS = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]


def encoded(kind, values, seed=0):
    """(bytes, their values by the package's own dequantisation)."""
    kind = gguf.GGMLQuantizationType[kind]
    if "_K" in kind.name:
        data = random_blocks(kind, *values.shape, seed)
    elif kind.name == "F16":
        data = values.astype(np.float16)
        return data, data.astype(np.float32)
    else:
        data = gguf.quantize(values, kind)
    return data, gguf.dequantize(data, kind)


def write_gguf(path, tensors, architecture="wan"):
    """{name: float32 array, or (kind, bytes)}."""
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in tensors.items():
        if isinstance(value, tuple) and value[0] != "F16":
            writer.add_tensor(name, value[1], raw_dtype=gguf.GGMLQuantizationType[value[0]])
        else:
            writer.add_tensor(name, value[1] if isinstance(value, tuple) else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def test_blocks_of_gguf_bit_by_bit(dump, tmp_path):
    """Every kind equals the package's dequantisation, F16 with subnormal numbers and infinities."""
    rng = np.random.default_rng(0)
    tensors, truth = {}, {}
    for i, kind in enumerate(KINDS):
        values = rng.standard_normal((5, 512)).astype(np.float32)
        data, truth[kind] = encoded(kind, values, i)
        tensors[kind] = (kind, data)
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    tensors["halves"], truth["halves"] = ("F16", halves), halves.astype(np.float32)
    scales = np.zeros((2048, 34), np.uint8)  # every exponent as a scale of Q8_0
    scales[:, :2] = np.arange(0, 63488, 31, dtype=np.uint16)[:2048, None].view(np.uint8)
    scales[:, 2:] = rng.integers(0, 256, (2048, 32), np.uint8)
    tensors["scales"] = ("Q8_0", scales)
    truth["scales"] = gguf.dequantize(scales, gguf.GGMLQuantizationType.Q8_0)
    tensors["plain"] = truth["plain"] = rng.standard_normal((2, 3, 1, 2, 2)).astype(np.float32)
    result = dump("stored", dict(file=write_gguf(tmp_path / "all.gguf", tensors)))
    for name, values in truth.items():
        mine = result["array"](f"{name}.f32", values.shape)
        assert result[name]["shape"] == list(values.shape)
        assert mine.tobytes() == values.tobytes() or np.array_equal(mine, values, equal_nan=True), name


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K", "Q6_K"])
def test_a_denoiser_and_a_text_encoder_of_gguf(kind, pipes, folders, dump, tmp_path):
    """Original and llama.cpp's names; the reference computes on the package's values (its own
    loader of GGUF multiplies in float16)."""
    pipe, folder = pipes(BASE), folders(BASE)

    def file(part, rename, architecture):
        tensors, values = {}, {}
        for i, (name, v) in enumerate(sorted(getattr(pipe, part).state_dict().items())):
            tensors[name] = values[name] = v.numpy()
            if v.dim() == 2 and "relative" not in name and v.shape[1] % 256 == 0:
                data, values[name] = encoded(kind, v.numpy(), i)
                tensors[name] = (kind, data)
            if "scale_shift" in name:  # as ggml's own tools write it
                tensors[name] = v.numpy()[0]
            if name == "patch_embedding.weight":
                tensors[name] = v.flatten(0, 1).numpy()
        return (write_gguf(tmp_path / f"{part}.gguf", rename(tensors), architecture),
                {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in values.items()})

    denoiser, values = file("transformer", originals.denoiser, "wan")
    text, words = file("text_encoder", lambda s: originals.renamed(s, originals.LLAMA), "t5encoder")
    words["encoder.embed_tokens.weight"] = words["shared.weight"]
    truth = with_weights(pipe, BASE, transformer=values, text_encoder=words)
    got = ours(dump, BASE, folder, [], model_file=denoiser, text_encoder_file=text)
    assert near(got, truth) and not near(got, theirs(pipe, BASE), 1e-3)


def test_files_that_are_not_what_they_should_be(pipes, folders, dump, tmp_path):
    """Each sentence names the file; the right files work (above)."""
    pipe = pipes(SHAPES[0])
    asked = request(SHAPES[0], folders(SHAPES[0]))
    state = originals.denoiser(pipe.transformer.state_dict())

    def refused(word, **files):
        error = dump("generate", dict(asked, **files), ok=False)
        assert word in error, error

    denoiser = write(tmp_path / "wan.safetensors", state)
    vae = write(tmp_path / "vae.safetensors", originals.vae(pipe.vae.state_dict(), pipe.vae.config))
    dump("generate", dict(asked, steps=2, model_file=denoiser, vae_file=vae))
    refused("autoencoder", vae_file=denoiser)
    refused("UMT5", text_encoder_file=vae)
    refused("denoiser", model_file=vae)
    refused("image-to-video", model_file=write(tmp_path / "i2v.safetensors", {
        **state, "blocks.0.cross_attn.k_img.weight": torch.ones(2, 2)}))
    refused("VACE", model_file=write(tmp_path / "vace.safetensors", {
        **state, "vace_blocks.0.after_proj.bias": torch.ones(2)}))
    refused("two names", model_file=write(tmp_path / "twice.safetensors", {
        **state, **pipe.transformer.state_dict()}))
    refused("missing", model_file=str(tmp_path / "nowhere.safetensors"))
    (tmp_path / "wan.pth").write_bytes(b"x")
    refused("pickled", model_file=str(tmp_path / "wan.pth"))
    refused("needs", guidance_2=2.0)
    lone = dict(asked, model_file=denoiser)
    lone.pop("folder")
    assert "--vae-file" in dump("generate", lone, ok=False)
    whole = open(write_gguf(tmp_path / "x.gguf", {"a": np.ones((2, 32), np.float32)}), "rb").read()
    for name, data, word in [("cut", whole[:-70], "beyond"), ("short", whole[:20], "cut off"),
                             ("version", whole[:4] + b"\x09" + whole[5:], "version")]:
        (tmp_path / f"{name}.gguf").write_bytes(data)
        refused(word, model_file=str(tmp_path / f"{name}.gguf"))
    other = write_gguf(tmp_path / "iq.gguf", {"a": ("IQ4_NL", np.zeros((2, 18), np.uint8))})
    refused("type 20", model_file=other)
