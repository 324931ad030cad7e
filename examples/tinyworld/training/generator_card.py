"""The generator's model card: what it was trained on, by which command, for how long, and how good it got."""

from __future__ import annotations

import csv
import json
import platform
import shutil
import time
from pathlib import Path

import torch
from safetensors import safe_open

from . import sample
from .common import contact_sheet

CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-video
---
# Bestreel's tiny world: the small Wan generator

Text to video, 17 frames of 64 x 64 at 4 per second: one or two coloured shapes that move over a plain background.
A diffusers `WanPipeline` (AutoencoderKLWan, WanTransformer3DModel, UMT5EncoderModel, T5TokenizerFast,
UniPCMultistepScheduler) with {total:,} parameters, trained from scratch. It is made to be imperfect: seeds of one
prompt differ, and choosing among them is what Bestreel is for.

    a small red circle moves left over a gray background
    a large blue square stays still and a small white triangle falls and bounces over a navy background

```python
from diffusers import WanPipeline
pipe = WanPipeline.from_pretrained("examples/tinyworld/checkpoints/generator")
frames = pipe("a small red circle moves left over a gray background", negative_prompt="", height=64, width=64,
              num_frames=17, num_inference_steps=20, guidance_scale={guidance}).frames[0]
```

## Training
- Data: clips and prompts that the tiny world's renderer draws (examples/tinyworld); nothing else. Only prompts of
  its train split; {flaws:.0f} % of the clips with flaws, {one:.0f} % of the pool aimed at prompts of one object.
- Command: `examples/tinyworld/train.py generator` with training/generator.json, seed {seed}; a single run.
- Machine: {machine}, one thread, shared with other work.

| Stage | Minutes | Steps | Batch |
|---|---|---|---|
| VAE | {vae_minutes:.1f} | {vae_steps} | {crop_batch} crops of {crop} x {crop}, then {vae_batch} clips |
| Transformer and text encoder | {dit_minutes:.1f} | {dit_steps} | {dit_batch} of {clips} cached clips |
{more_rows}
Weights are averaged (decay {ema}) and stored in bfloat16. Classifier-free guidance: the prompt was dropped in
{dropout:.0f} % of the samples; the negative prompt is the empty one.

## Figures, on prompts never trained on
| | |
|---|---|
{figures}

Files beside the pipeline's: `latent2rgb.json` (matrix [16][3] and bias [3] from normalised latents to RGB in 0..1){taew}.

## Limits
It knows the words of its grammar only, and one clip size. Two objects come out worse than one.
"""


def state_of(folder: Path) -> tuple[float, int]:
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=False)
    return state["elapsed"] / 60, state["step"]


def parameters(path: Path) -> int:
    total = 0
    with safe_open(path, "pt") as file:
        for name in file.keys():
            size = 1
            for side in file.get_slice(name).get_shape():
                size *= side
            total += size
    return total


def write(config: dict, out: Path, device: torch.device) -> None:
    checkpoint = out / "checkpoint"
    longer = (out / "decoder" / "figures.json").exists()
    vae = json.loads((out / ("decoder" if longer else "vae") / "figures.json").read_text())
    with open(out / "dit" / "held_out.csv", encoding="utf-8") as file:
        flow = list(csv.DictReader(file))[-1]
    vae_minutes, vae_steps = state_of(out / "vae")
    dit_minutes, dit_steps = state_of(out / "dit")
    sizes = {
        "VAE": parameters(checkpoint / "vae" / "diffusion_pytorch_model.safetensors"),
        "transformer": parameters(checkpoint / "transformer" / "diffusion_pytorch_model.safetensors"),
        "text encoder": parameters(checkpoint / "text_encoder" / "model.safetensors"),
    }
    rows = [
        ("Reconstruction by the VAE", f"{vae['psnr']:.1f} dB"),
        ("- on the objects' pixels", f"{vae['psnr_foreground']:.1f} dB"),
        ("Oracle's truth of rendered clips", spoken(vae["truth_rendered"])),
        ("- after reconstruction", spoken(vae["truth_reconstructed"])),
        ("Held-out flow loss", flow["held_out_loss"]),
        ("RMS error of latent2rgb (0..1)", f"{vae['latent2rgb_rmse']:.3f}"),
        ("Parameters", ", ".join(f"{name} {size:,}" for name, size in sizes.items())),
    ]
    more_rows, taew = "", ""
    if longer:
        minutes, steps = state_of(out / "decoder")
        more_rows = f"| Decoder alone, after that | {minutes:.1f} | {steps} | {config['vae']['batch']} clips |\n"
    if (out / "preview" / "taew.safetensors").exists():
        preview = json.loads((out / "preview" / "figures.json").read_text())
        minutes, steps = state_of(out / "preview")
        batch = config["preview"]["batch"]
        more_rows += f"| Preview decoder | {minutes:.1f} | {steps} | {batch} clips |\n"
        rows.append(("Preview decoder", f"{preview['preview_psnr']:.1f} dB, {preview['preview_parameters']:,} parameters"))
        taew = ", `taew.safetensors` (a preview decoder of normalised latents in TAEHV's layout, frames in 0..1)"
        shutil.copy(out / "preview" / "taew.safetensors", checkpoint / "taew.safetensors")
    extra = out / "evaluation.json"  # the generator's own figures, from the evaluate stage
    if extra.exists():
        rows += list(json.loads(extra.read_text()).items())
    dit, settings = config["dit"], config["vae"]
    card = CARD.format(
        total=sum(sizes.values()),
        guidance=dit["guidance"],
        flaws=100 * dit["flaw_share"],
        one=100 * dit["one_object_share"],
        seed=config["seed"],
        machine=f"{platform.machine()} CPU, torch {torch.__version__}",
        vae_minutes=vae_minutes,
        vae_steps=vae_steps,
        crop_batch=settings["crop_batch"],
        crop=settings["crop"],
        vae_batch=settings["batch"],
        dit_minutes=dit_minutes,
        dit_steps=dit_steps,
        dit_batch=dit["batch"],
        clips=f"{dit['clips']:,}",
        more_rows=more_rows,
        ema=dit["ema"],
        dropout=100 * dit["text_dropout"],
        figures="\n".join(f"| {name} | {value} |" for name, value in rows),
        taew=taew,
    )
    (checkpoint / "README.md").write_text(card, encoding="utf-8")
    print(f"[card] {checkpoint / 'README.md'}", flush=True)


def evaluate(config: dict, out: Path, device: torch.device) -> None:
    """The oracle's truth of what the checkpoint makes of held-out prompts."""
    settings = config["evaluate"]
    prompts = [p for p in sample.prompts_of("dev", 0, settings["prompts"]) for _ in range(settings["seeds"])]
    seeds = list(range(settings["seeds"])) * settings["prompts"]
    pipe = sample.load(out / "checkpoint")
    begin = time.monotonic()
    clips = sample.generate(pipe, prompts, seeds, steps=settings["steps"], guidance=config["dit"]["guidance"])
    seconds = (time.monotonic() - begin) / len(clips)
    title = f"{settings['prompts']} dev prompts, {settings['seeds']} seeds, {settings['steps']} steps"
    rows = {title: f"guidance {config['dit']['guidance']}, {seconds:.2f} s a clip on one busy core"}
    rows |= sample.truth_table(prompts, clips, settings["seeds"])
    (out / "evaluation.json").write_text(json.dumps(rows, indent=1) + "\n")
    contact_sheet(clips[:: settings["seeds"]][:16], out / "evaluation.png")
    print("[evaluate]", json.dumps(rows), flush=True)


def spoken(truth: dict) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value:.2f}" for key, value in truth.items())
