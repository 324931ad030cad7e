#!/usr/bin/env python3
"""Clips from a trained generator, by diffusers' own WanPipeline.

    examples/tinyworld/training/sample.py --model DIR --out DIR [--prompt "a small red circle moves left over a gray
        background" ... | --split dev --count 16] [--seeds 8] [--steps 20] [--guidance 3] [--mp4]

Writes clips.npy (n, 17, 64, 64, 3) uint8, clips.json (prompt and seed of each) and sheet.png. A clip depends on the
model, its prompt, its seed and the settings alone, not on its batch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from training import world  # noqa: E402
from training.common import contact_sheet  # noqa: E402

LATENT = (16, 5, 8, 8)


def load(model: Path):
    from diffusers import WanPipeline

    pipe = WanPipeline.from_pretrained(str(model), torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def prompts_of(split: str, seed: int, count: int) -> list[str]:
    """`count` different prompts of a split."""
    found: dict[str, None] = {}
    while len(found) < count:
        _, samples = world.samples(seed, 64, pixels=False, split=split, flaws="none")
        found |= {sample["prompt"]: None for sample in samples}
        seed += 64
    return list(found)[:count]


def generate(pipe, prompts, seeds, *, steps=20, guidance=3.0, batch=16) -> np.ndarray:
    """One clip for each (prompt, seed): uint8 (n, 17, 64, 64, 3)."""
    clips = []
    for i in range(0, len(prompts), batch):
        noise = [
            torch.randn(LATENT, generator=torch.Generator().manual_seed(seed)) for seed in seeds[i : i + batch]
        ]
        frames = pipe(
            prompt=list(prompts[i : i + batch]),
            negative_prompt=[""] * len(noise),
            height=world.SIDE,
            width=world.SIDE,
            num_frames=world.FRAMES,
            num_inference_steps=steps,
            guidance_scale=guidance,
            latents=torch.stack(noise),
            output_type="np",
        ).frames
        clips.append((np.clip(frames, 0, 1) * 255).round().astype(np.uint8))
    return np.concatenate(clips)


def truth_table(prompts, clips, seeds: int) -> dict[str, str]:
    """What the oracle says of clips that stand seed by seed within each prompt."""
    answers = [world.oracle(prompt, clip)["truth"] for prompt, clip in zip(prompts, clips)]
    table = np.array([list(answer.values()) for answer in answers]).reshape(-1, seeds, len(answers[0]))
    overall = table.mean(2)  # of the three dimensions
    rows = {f"Truth, {key.replace('_', ' ')}": f"{table[..., i].mean():.2f}" for i, key in enumerate(answers[0])}
    rows["Truth, mean of the three"] = f"{overall.mean():.2f}"
    rows[f"- best of {seeds} seeds"] = f"{overall.max(1).mean():.2f}"
    rows[f"- worst of {seeds} seeds"] = f"{overall.min(1).mean():.2f}"
    for name, chosen in (("one object", False), ("two objects", True)):
        rows_of = [i for i in range(len(table)) if (" and a " in prompts[i * seeds]) == chosen]
        if rows_of:
            rows[f"- {name}: mean, best"] = f"{overall[rows_of].mean():.2f}, {overall[rows_of].max(1).mean():.2f}"
    return rows


def write_mp4(clip: np.ndarray, path: Path) -> None:
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=world.FPS)
        stream.width, stream.height, stream.pix_fmt = clip.shape[2], clip.shape[1], "yuv420p"
        stream.options = {"crf": "12"}
        for frame in clip:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompt", action="append", help="may be given several times")
    parser.add_argument("--split", default="dev", help="without --prompt: prompts of train, dev or test")
    parser.add_argument("--count", type=int, default=8, help="how many of them")
    parser.add_argument("--first", type=int, default=0, help="where in the split to begin (a seed)")
    parser.add_argument("--seeds", type=int, default=8, help="clips for each prompt: seeds 0, 1, ...")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--mp4", action="store_true", help="also PROMPT-SEED.mp4")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("BESTREEL_TRAIN_THREADS", os.cpu_count() or 1)))
    pipe = load(args.model)
    asked = args.prompt or prompts_of(args.split, args.first, args.count)
    jobs = [(prompt, seed) for prompt in asked for seed in range(args.seeds)]
    begin = time.monotonic()
    clips = generate(pipe, [j[0] for j in jobs], [j[1] for j in jobs], steps=args.steps, guidance=args.guidance)
    seconds = time.monotonic() - begin
    args.out.mkdir(parents=True, exist_ok=True)
    np.save(args.out / "clips.npy", clips)
    listing = [{"prompt": prompt, "seed": seed} for prompt, seed in jobs]
    (args.out / "clips.json").write_text(json.dumps(listing, indent=1) + "\n")
    contact_sheet(clips[:: max(1, len(clips) // 16)][:16], args.out / "sheet.png")
    if args.mp4:
        for number, clip in enumerate(clips):
            write_mp4(clip, args.out / f"{number // args.seeds:03d}-{number % args.seeds}.mp4")
    print(f"{len(clips)} clips, {seconds / len(clips):.2f} s each ({args.steps} steps, guidance {args.guidance})")
    for name, value in truth_table([j[0] for j in jobs], clips, args.seeds).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
