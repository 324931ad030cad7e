"""What changes a pixel, as a text: equal texts, equal videos. A run is gone on with under an equal one only."""

import hashlib
import json

import torch

SAMPLES = 16  # values per tensor: another checkpoint, LoRA or dtype shows, and reading it takes no time


def _add_module(digest, module):
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tuple(getattr(tensor, 'shape', ()))} {getattr(tensor, 'dtype', '')}".encode())
        if not isinstance(tensor, torch.Tensor) or tensor.is_meta or tensor.numel() == 0:
            continue
        values = tensor.detach().reshape(-1)[:: max(1, tensor.numel() // SAMPLES)][:SAMPLES]
        digest.update(values.double().cpu().numpy().tobytes())


def _plain(value):
    """An argument as JSON; tensors and pictures by their content."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), list(value.shape),
                hashlib.sha256(value.detach().double().cpu().numpy().tobytes()).hexdigest()]
    if hasattr(value, "tobytes"):
        return hashlib.sha256(value.tobytes()).hexdigest()
    return repr(value)


def identity_of(pipe, call, fps):
    digest = hashlib.sha256()
    config = {key: value for key, value in dict(pipe.config).items() if key != "_name_or_path"}
    digest.update(json.dumps(config, sort_keys=True, default=repr).encode())
    for name, part in sorted(pipe.components.items()):
        digest.update(f"{name} {type(part).__name__}".encode())
        if isinstance(part, torch.nn.Module):
            _add_module(digest, part)
        elif name == "scheduler":
            digest.update(json.dumps(dict(part.config), sort_keys=True, default=repr).encode())
    arguments = json.dumps(call, sort_keys=True, default=_plain, ensure_ascii=False)
    if len(arguments) > 400:
        arguments = hashlib.sha256(arguments.encode()).hexdigest()[:16]
    return f"diffusers/{type(pipe).__name__}/{digest.hexdigest()[:16]} {arguments} fps={fps[0]}/{fps[1]}"
