"""Checkpoints of full size, made at random: what is timed does not depend on the values.

Names and shapes of the tensors come from the reference libraries, by way of the bundle (references/shapes.json).
"""

import concurrent.futures
import json
import shutil
import struct
import time

import command
import models
from common import Part

DIFFUSERS = "diffusion_pytorch_model.safetensors"
BLOCK = 1 << 25  # numbers made at once


def shard(torch, path, tensors, device, seed):
    """One safetensors file; 2 bytes a number, made on the device and written from pinned memory."""
    header, offset = {}, 0
    for name, shape in tensors:
        count = 1
        for size in shape:
            count *= size
        header[name] = dict(dtype="BF16", shape=shape, data_offsets=[offset, offset + 2 * count])
        offset += 2 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    largest = max(min(BLOCK, (end - begin) // 2) for begin, end in (e["data_offsets"] for e in header.values()))
    host = torch.empty(largest, dtype=torch.bfloat16, pin_memory=device != "cpu")
    generator = torch.Generator(device).manual_seed(seed)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            shape = entry["shape"]
            # As wide as keeps the activations in range; one-dimensional ones scale or shift.
            spread = (max(1, (end - begin) // 2 // shape[0])) ** -0.5 if len(shape) > 1 else 0.02
            left = (end - begin) // 2
            while left:
                count = min(left, BLOCK)
                part = torch.empty(count, dtype=torch.bfloat16, device=device)
                if len(shape) == 1 and ("norm" in name or name.endswith("ln_q.weight")) or "gamma" in name:
                    part.fill_(1)
                else:
                    part.normal_(0, spread, generator=generator)
                host[:count].copy_(part)
                file.write(host[:count].view(torch.uint8).numpy().data)
                left -= count
    return offset


def files(folder, stem, tensors, count):
    """Paths and tensors of `count` shards of like size, and their index."""
    total = sum(map(volume, tensors))
    parts, filled = [[]], 0
    for name, shape in tensors:
        if filled > total * len(parts) / count and len(parts) < count:
            parts.append([])
        parts[-1].append((name, shape))
        filled += volume((name, shape))
    if len(parts) == 1:
        return [(folder / f"{stem}.safetensors", parts[0])]
    names = [f"{stem}-{i + 1:05}-of-{len(parts):05}.safetensors" for i in range(len(parts))]
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(dict(
        metadata=dict(total_size=2 * total),
        weight_map={name: file for file, part in zip(names, parts) for name, _ in part})))
    return [(folder / name, part) for name, part in zip(names, parts)]


def volume(tensor):
    count = 1
    for size in tensor[1]:
        count *= size
    return count


def main():
    part = Part()
    part.needs_references()
    import torch
    shapes = json.loads((part.references / "shapes.json").read_text())["toy" if part.toy else "full"]
    total = sum(2 * volume(tensor) for tensors in shapes.values() if isinstance(tensors, list) for tensor in tensors)
    free = shutil.disk_usage(part.models).free
    if free < 1.05 * total:
        part.skip(f"{part.models} has {free / 1e9:.0f} GB free and the weights need {total / 1e9:.0f}")
    judge, generator = models.configs(part.models, part.toy)
    # For runs of the whole program: the same with a text encoder of one layer, which loads at once.
    quick = part.models / "generator-quick"
    shutil.copytree(generator, quick)
    for room in ("transformer", "vae"):
        (quick / room / DIFFUSERS).symlink_to(generator / room / DIFFUSERS)
    models.sizes.edit(quick / "text_encoder/config.json", **shapes["quick_text_config"])
    count = 1 if part.toy else 4
    begin, written = time.monotonic(), 0
    # What most parts need first: the limit may come before the rest.
    for folder, room, stem, tensors in ((judge, "", "model", "judge"), (generator, "transformer", "", "transformer"),
                                        (generator, "vae", "", "vae"), (quick, "text_encoder", "model", "quick_text"),
                                        (generator, "text_encoder", "model", "text_encoder")):
        work = files(folder / room, stem or "diffusion_pytorch_model", shapes[tensors], count if stem else 1)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(shard, torch, path, inside, part.device, seed)
                    for seed, (path, inside) in enumerate(work)]
            written += sum(job.result() for job in jobs)
        if room in ("", "text_encoder"):
            (folder / "ready").touch()
    seconds = time.monotonic() - begin
    part.value("weights written", written / 1e9, "GB")
    part.value("weights written, rate", written / 1e9 / seconds, "GB/s")
    for name, asked in (("plan", dict(model=generator, judge=judge)), ("quick plan", dict(model=quick, judge=judge))):
        done = part.run("bestreel", *command.plan(device="cpu", **asked), timeout=30)
        part.check(f"bestreel {name} reads the folders", done.returncode == 0, done.stderr[-300:])


main()
