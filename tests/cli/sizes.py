"""Checkpoints of other sizes than the shipped ones: configs alone, or with random weights."""

import json
import pathlib
import shutil
import struct

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
JUDGE = ROOT / "examples/tinyworld/checkpoints/judge"
GENERATOR = ROOT / "examples/tinyworld/checkpoints/generator"


def edit(path, **changes):
    config = json.loads(path.read_text())
    for key, value in changes.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(config))


def rewrite(path, shape_of):
    """The tensors of a file with other shapes, bfloat16 noise."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, offset, parts = {}, 0, []
    noise = (np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32) * 0.02).view(np.uint32) >> 16
    noise = noise.astype(np.uint16)
    for name, entry in json.loads(data[8:8 + length]).items():
        if name == "__metadata__":
            continue
        shape = shape_of(name, entry["shape"])
        count = int(np.prod(shape))
        header[name] = dict(dtype="BF16", shape=shape, data_offsets=[offset, offset + 2 * count])
        parts.append((count, "norm" in name or "ln_q" in name))
        offset += 2 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.unlink()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for count, ones in parts:
            file.write((np.full(count, 0x3F80, np.uint16) if ones else np.resize(noise, count)).tobytes())


def large_judge(folder):
    """The shipped judge with a wider language model: 250 MB in bfloat16."""
    shutil.copytree(JUDGE, folder)
    edit(folder / "config.json", text_config=dict(hidden_size=1152, intermediate_size=8192, num_attention_heads=36),
         vision_config=dict(out_hidden_size=1152))

    def shape(name, old):
        new = {192: 1152} if name.startswith("visual.") else {192: 1152, 512: 8192}
        return [new.get(n, n) for n in old]

    rewrite(folder / "model.safetensors", shape)
    return folder


def large_generator(folder):
    """The shipped generator with a wider denoiser: 310 MB in bfloat16."""
    shutil.copytree(GENERATOR, folder)
    edit(folder / "transformer/config.json", num_attention_heads=40, ffn_dim=5120)

    def shape(name, old):
        new = [{256: 1280, 768: 5120, 1536: 7680}.get(n, n) for n in old]
        return [1280, 256] if name == "condition_embedder.time_embedder.linear_1.weight" else new

    rewrite(folder / "transformer/diffusion_pytorch_model.safetensors", shape)
    return folder


def bare(source, folder):
    """Its config files without its weights."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def full_size_judge(folder):
    """Qwen2.5-VL-7B's geometry, no weights."""
    bare(JUDGE, folder)
    edit(folder / "config.json",
         text_config=dict(hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
                          num_key_value_heads=4, vocab_size=152064, max_position_embeddings=128000,
                          rope_scaling=dict(type="mrope", mrope_section=[16, 24, 24]), layer_types=["full_attention"] * 28),
         vision_config=dict(depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, out_hidden_size=3584,
                            patch_size=14, fullatt_block_indexes=[7, 15, 23, 31]))
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        edit(folder / name, patch_size=14, min_pixels=3136, max_pixels=12845056)
    return folder


def full_size_generator(folder):
    """Wan2.1-T2V-1.3B's geometry, no weights."""
    bare(GENERATOR, folder)
    edit(folder / "transformer/config.json", num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30,
         text_dim=4096, rope_max_seq_len=1024)
    edit(folder / "vae/config.json", base_dim=96, dim_mult=[1, 2, 4, 4], num_res_blocks=2, patch_size=None,
         temperal_downsample=[False, True, True], in_channels=3, out_channels=3, scale_factor_spatial=8,
         scale_factor_temporal=4)
    edit(folder / "text_encoder/config.json", d_model=4096, d_ff=10240, num_heads=64, d_kv=64, num_layers=24,
         vocab_size=256384)
    return folder
