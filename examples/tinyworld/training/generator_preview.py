"""The generator's preview stage: a tiny decoder of latents in the layout of TAEHV (madebyollin/taehv, decoder only).

It reads normalised latents, as WanPipeline holds them, and gives frames in 0..1; of each latent's four frames the
first three of the clip are cut off, so that 5 latents make 17 frames. The layer numbers are TAEHV's: a loader that
takes the widths from the weights' shapes reads it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file
from torch import nn

from . import world
from .common import Loop, contact_sheet, seed_all
from .generator_vae import HELD_OUT_SEED, encode_means, foreground, to_pixels, to_tensor


def conv(channels_in: int, channels_out: int, **options) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, **options)


class Clamp(nn.Module):
    def forward(self, x):
        return torch.tanh(x / 3) * 3


class MemBlock(nn.Module):
    """A residual block that sees the frame before."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Sequential(
            conv(2 * width, width), nn.ReLU(), conv(width, width), nn.ReLU(), conv(width, width)
        )

    def forward(self, x):  # (b, t, c, h, w)
        past = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
        both = torch.cat([x, past], 2).flatten(0, 1)
        return torch.relu(self.conv(both).view_as(x) + x)


class TGrow(nn.Module):
    """One frame becomes `stride` frames."""

    def __init__(self, width: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width, width * stride, 1, bias=False)

    def forward(self, x):  # (b t, c, h, w)
        return self.conv(x).reshape(-1, x.shape[1], *x.shape[2:])


class PreviewDecoder(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        a, b, c, d = 2 * width, width, width, width
        layers = [Clamp(), conv(16, a), nn.ReLU()]
        for here, after, grow in ((a, b, 1), (b, c, 2), (c, d, 2)):
            layers += [MemBlock(here), MemBlock(here), MemBlock(here)]
            layers += [nn.Upsample(scale_factor=2), TGrow(here, grow), conv(here, after, bias=False)]
        self.decoder = nn.Sequential(*layers, nn.ReLU(), conv(d, 3))

    def forward(self, latents):
        """(b, 16, t, h, w) normalised -> (b, 3, 4 t - 3, 8 h, 8 w) in 0..1, not clamped."""
        batch = len(latents)
        x = latents.transpose(1, 2).flatten(0, 1)
        for layer in self.decoder:
            if isinstance(layer, MemBlock):
                x = layer(x.unflatten(0, (batch, -1))).flatten(0, 1)
            else:
                x = layer(x)
        return x.unflatten(0, (batch, -1)).transpose(1, 2)[:, :, 3:]


def train(config: dict, out: Path, device: torch.device) -> None:
    settings = config["preview"]
    seed_all(config["seed"] + 2)
    vae = AutoencoderKLWan.from_pretrained(out / "vae" / "model").eval()
    mean = torch.tensor(vae.config.latents_mean).view(1, 16, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, 16, 1, 1, 1)
    model = PreviewDecoder(settings["width"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["lr"], weight_decay=0.0)
    loop = Loop(out / "preview", {"model": model, "optimizer": optimizer}, minutes=settings["minutes"])
    for step in loop:
        seed = config["seed"] * 10_000_000 + 6_000_000 + step * 16
        clips, _ = world.samples(seed, settings["batch"], split="train", flaws="none")
        latents = (encode_means(vae, clips, config["vae"]["bf16"]) - mean) / std
        frames = to_tensor(clips)
        weight = 1 + 4 * foreground(frames)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config["vae"]["bf16"]):
            guess = model(latents).float()
        error = guess - (frames + 1) / 2
        loss = (weight * (error.abs() + error.square())).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        warm = min(1.0, (step + 1) / 20)
        optimizer.param_groups[0]["lr"] = settings["lr"] * warm * min(1.0, max(0.02, 2 * (1 - loop.fraction)))
        optimizer.step()
        loop.log(loss=loss.item(), mse=error.detach().square().mean().item())
    weights = {name: p.detach().to(torch.bfloat16).contiguous() for name, p in model.state_dict().items()}
    save_file(weights, out / "preview" / "taew.safetensors")

    clips, _ = world.samples(HELD_OUT_SEED, 32, split="dev", flaws="none")
    with torch.no_grad():
        guess = model((encode_means(vae, clips) - mean) / std).clamp(0, 1)
    error = (guess - (to_tensor(clips) + 1) / 2).square()
    pixels = to_pixels(guess * 2 - 1)
    contact_sheet(np.stack([clips[:4], pixels[:4]], 1).reshape(8, *clips.shape[1:]), out / "preview" / "preview.png")
    figures = {
        "preview_psnr": float((-10 * error.flatten(1).mean(1).log10()).mean()),
        "preview_parameters": sum(p.numel() for p in model.parameters()),
    }
    (out / "preview" / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print("[preview]", json.dumps(figures), flush=True)
