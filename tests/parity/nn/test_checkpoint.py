"""Our checkpoints against files that the `safetensors` library wrote."""
import hashlib
import json

import pytest
import torch
from conftest import probe
from safetensors.torch import save_file

NAMES = {torch.float32: "Float", torch.float16: "Half", torch.bfloat16: "BFloat16"}


def expected(tensors):
    def line(name, t):
        digest = hashlib.sha256(t.contiguous().view(torch.uint8).numpy().tobytes() if t.numel() else b"")
        return f"{name} {NAMES[t.dtype]} [{', '.join(map(str, t.shape))}] {digest.hexdigest()}\n"
    return "".join(line(name, tensors[name]) for name in sorted(tensors))


def ours(*arguments):
    result = probe("checkpoint_probe", *arguments)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


def tensors(dtype, tied):
    generator = torch.Generator().manual_seed(7)
    shapes = {"embed.weight": (31, 8), "norm.weight": (8,), "odd": (3, 5, 1), "empty": (0, 4), "é": (2,)}
    if not tied:
        shapes["lm_head.weight"] = (31, 8)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("tied", [True, False])
def test_single_file(tmp_path, dtype, tied):
    saved = tensors(dtype, tied)
    save_file(saved, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert ours(tmp_path) == expected(saved)


def test_mixed_dtypes(tmp_path):
    saved = {f"{i}.{name}": t for i, dtype in enumerate(NAMES) for name, t in tensors(dtype, False).items()}
    save_file(saved, tmp_path / "model.safetensors")
    assert ours(tmp_path) == expected(saved)


def test_shards(tmp_path):
    saved = tensors(torch.bfloat16, False)
    stem, weight_map = "diffusion_pytorch_model", {}
    for i, names in enumerate((sorted(saved)[::2], sorted(saved)[1::2])):
        file = f"{stem}-{i + 1:05d}-of-00002.safetensors"
        save_file({name: saved[name] for name in names}, tmp_path / file)
        weight_map.update(dict.fromkeys(names, file))
    (tmp_path / f"{stem}.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert ours(tmp_path, stem) == expected(saved)
    (tmp_path / file).unlink()
    result = probe("checkpoint_probe", tmp_path, stem)
    assert result.returncode == 1 and file in result.stderr.decode()
