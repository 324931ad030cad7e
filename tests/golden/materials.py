"""What the cases need beside the shipped checkpoints. All of it follows from fixed seeds."""

import json
import os
import pathlib
import shutil

import av
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file


def replaced(path, write):
    """`path` as `write` makes it: whole, or not there."""
    if not path.exists():
        part = path.with_name("part-" + path.name)
        shutil.rmtree(part, ignore_errors=True)
        write(part)
        os.replace(part, path)
    return path


def euler(generator, folder):
    """The generator with the Euler solver."""
    shutil.copytree(generator, folder)
    config = folder / "scheduler/scheduler_config.json"
    config.write_text(json.dumps({"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000,
                                  "shift": 3.0}))


def lora(generator, file):
    """Rank 4 on the attention and the MLP of every block."""
    generator_of_numbers = torch.Generator().manual_seed(3)
    tensors = {}
    for shard in sorted((generator / "transformer").glob("*.safetensors")):
        with safe_open(shard, "pt") as weights:
            for name in sorted(weights.keys()):
                if not (name.startswith("blocks.") and name.endswith((".to_q.weight", ".to_v.weight", ".proj.weight"))):
                    continue
                rows, columns = weights.get_slice(name).get_shape()
                stem = "transformer." + name.removesuffix(".weight")
                tensors[stem + ".lora_A.weight"] = torch.randn(4, columns, generator=generator_of_numbers)
                tensors[stem + ".lora_B.weight"] = torch.randn(rows, 4, generator=generator_of_numbers) / columns
    if not tensors:
        raise SystemExit(f"[golden] {generator} has no layers that a LoRA could change")
    save_file(tensors, file)


def clip(flaw):
    """17 RGB frames of a red circle that moves right, with one flaw."""
    numbers = np.random.default_rng(7)
    y, x = np.mgrid[:64, :64]
    for t in range(17):
        centre = {"left": 48 - 2 * t, "still": 32, "jumps": 16 + 2 * t + (16 if t > 8 else 0)}.get(flaw, 16 + 2 * t)
        distance = np.hypot(x - centre, y - 32)
        width = 5 if flaw == "blurred" else 0.7
        inside = np.clip(0.5 - (distance - 12) / (2 * width), 0, 1)[..., None]
        frame = inside * (220, 30, 30) + (1 - inside) * (128, 128, 128)
        if flaw == "flickers":
            frame = frame * (0.75 if t % 2 else 1.15)
        if flaw == "noisy":
            frame = frame + numbers.normal(0, 18, frame.shape)
        yield np.clip(frame, 0, 255).astype(np.uint8)


def clips(folder):
    folder.mkdir()
    for flaw in ("clean", "noisy", "flickers", "left", "still", "jumps", "blurred"):
        with av.open(str(folder / f"{flaw}.mkv"), "w") as file:
            stream = file.add_stream("ffv1", rate=4)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "bgr0"
            for pixels in clip(flaw):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode())


def prepare(root, folder):
    """The materials by their names in cases.py; made where they are not there."""
    checkpoints = pathlib.Path(root) / "examples/tinyworld/checkpoints"
    generator = checkpoints / "generator"
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "generator": generator,
        "judge": checkpoints / "judge",
        "preview_decoder": generator / "taew.safetensors",
        "euler": replaced(folder / "euler", lambda path: euler(generator, path)),
        "lora": replaced(folder / "lora.safetensors", lambda path: lora(generator, path)),
        "clips": replaced(folder / "clips", clips),
    }
