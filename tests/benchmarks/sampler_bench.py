"""The native Wan engine beside diffusers: same weights, threads and dtype, in turns.

    sampler_bench.py BIN [--rounds N] [--threads N] [--full-size]

CPU seconds of the process, not of the wall, so that a busy machine does not blur them. Text encoder
on one prompt, one denoiser forward (of 20 steps with guidance), decoder on the result; the least of
the rounds. --full-size is Wan 1.3B's geometry with random weights at 272 x 480 x 17 frames (about
30 GB of memory and disk for the text encoder alone, which is therefore kept small).
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "parity" / "wan"))
import checkpoints  # noqa: E402

TINY = checkpoints.Shape(
    "tiny", heads=4, head_dim=64, layers=6, ffn=768, freq_dim=256, base_dim=16, dim_mult=(1, 2, 4),
    temporal=(True, True), patch=2, res_blocks=2, d_model=128, text_heads=4, d_kv=32, width=64,
    height=64, frames=17, guidance=3.0)
FULL = checkpoints.Shape(
    "full", heads=12, head_dim=128, layers=30, ffn=8960, freq_dim=256, base_dim=96, res_blocks=2,
    d_model=4096, text_heads=64, d_kv=64, text_layers=1, width=480, height=272, frames=17,
    guidance=5.0)


def timed(call, rounds):
    call()
    seconds = []
    for _ in range(rounds):
        begin = time.process_time()
        call()
        seconds.append(time.process_time() - begin)
    return min(seconds)


@torch.no_grad()
def reference(shape, folder, steps, rounds):
    from diffusers import WanPipeline
    pipe = WanPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    result = dict(encode=timed(lambda: pipe.encode_prompt(
        shape.prompt, shape.negative, max_sequence_length=512), rounds))
    positive, negative = pipe.encode_prompt(shape.prompt, shape.negative, max_sequence_length=512)
    latents = {}

    def denoise():
        latents["x"] = pipe(
            prompt_embeds=positive, negative_prompt_embeds=negative, height=shape.height,
            width=shape.width, num_frames=shape.frames, num_inference_steps=steps,
            guidance_scale=shape.guidance, generator=torch.Generator("cpu").manual_seed(7),
            output_type="latent").frames

    result["forward"] = timed(denoise, rounds) / (2 * steps)
    result["decode"] = timed(lambda: pipe.vae.decode(latents["x"], return_dict=False), rounds)
    return result


def native(binary, shape, folder, steps, rounds, threads):
    with tempfile.TemporaryDirectory() as out:
        request = dict(folder=str(folder), prompt=shape.prompt, negative=shape.negative, seed=7,
                       width=shape.width, height=shape.height, frames=shape.frames, steps=steps,
                       guidance=shape.guidance, threads=threads, repeat=rounds)
        path = pathlib.Path(out) / "request.json"
        path.write_text(json.dumps(request))
        subprocess.run([binary, "generate", path, out], check=True)
        got = json.loads((pathlib.Path(out) / "result.json").read_text())
    return dict(encode=min(got["encode_cpu"]), forward=min(got["denoise_cpu"]) / got["forwards"],
                decode=min(got["decode_cpu"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--full-size", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    shape, steps = (FULL, 1) if asked.full_size else (TINY, 20)
    with tempfile.TemporaryDirectory() as scratch:
        folder = checkpoints.pipeline(shape, scratch)
        pairs = []
        for _ in range(2 if not asked.full_size else 1):
            theirs = reference(shape, folder, steps, asked.rounds)
            ours = native(asked.bin / "wan_dump", shape, folder, steps, asked.rounds, asked.threads)
            pairs.append((theirs, ours))
    print(f"fp32, {asked.threads} threads, {shape.width}x{shape.height}x{shape.frames}, "
          f"CPU milliseconds")
    print(f"{'':8} {'diffusers':>10} {'native':>10} {'ratio':>7}")
    for part in ("encode", "forward", "decode"):
        theirs, ours = (min(pair[i][part] for pair in pairs) * 1e3 for i in (0, 1))
        ratios = [pair[0][part] / pair[1][part] for pair in pairs]
        print(f"{part:8} {theirs:10.1f} {ours:10.1f} {statistics.median(ratios):6.2f}x")


if __name__ == "__main__":
    main()
