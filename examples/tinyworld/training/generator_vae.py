"""The generator's VAE stage: trains, measures what survives a reconstruction, and puts the latents' statistics
and the linear latent-to-RGB map beside the weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan

from . import world
from .common import Loop, contact_sheet, seed_all
from .muon import MuonAdamW, split_parameters
from .wan_parts import build_vae, check_whole_clip, decode_clips, encode_moments

HELD_OUT_SEED = 1 << 40  # seeds of training samples stay far below


def to_tensor(clips: np.ndarray) -> torch.Tensor:
    """uint8 (b, t, h, w, 3) -> float (b, 3, t, h, w) in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(clips)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def to_pixels(clips: torch.Tensor) -> np.ndarray:
    pixels = ((clips.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 4, 1).numpy()


def foreground(clips: torch.Tensor) -> torch.Tensor:
    """(b, 1, t, h, w): 1 where a pixel is not the frame's median colour."""
    median = clips.flatten(3).median(dim=3).values[..., None, None]
    return ((clips - median).abs().amax(1, keepdim=True) > 0.12).float()


def crop_to_objects(clips: torch.Tensor, side: int) -> torch.Tensor:
    """One side x side window of each clip, around a point of the foreground: the rest is mostly flat."""
    out = []
    for clip, mask in zip(clips, foreground(clips)):
        spots = mask[0].nonzero()
        height, width = clip.shape[2:]
        y, x = spots[torch.randint(len(spots), ())][1:].tolist() if len(spots) else (height // 2, width // 2)
        y = min(max(y - int(torch.randint(side, ())), 0), height - side) // 2 * 2
        x = min(max(x - int(torch.randint(side, ())), 0), width - side) // 2 * 2
        out.append(clip[:, :, y : y + side, x : x + side])
    return torch.stack(out)


def reconstruction_loss(guess, clips, settings) -> torch.Tensor:
    """L1 + L2, heavier on the objects, and L1 on differences between neighbours: edges make the shape."""
    weight = 1 + settings["foreground_weight"] * foreground(clips)
    error = guess - clips
    loss = (weight * (error.abs() + error.square())).mean()
    for axis in (3, 4):
        loss = loss + settings["edge_weight"] * error.diff(dim=axis).abs().mean()
    return loss


def train_batch(cursor: int, count: int, flaw_share: float) -> torch.Tensor:
    """`count` training clips, all of them different from those of any other cursor."""
    flaws = "mixed" if np.random.rand() < flaw_share else "none"
    clips, _ = world.samples(cursor, count, split="train", flaws=flaws)
    return to_tensor(clips)


def train(config: dict, out: Path, device: torch.device) -> dict:
    """Encoder and decoder: first on crops around the objects, then on whole frames."""
    seed_all(config["seed"])
    vae = build_vae(config["vae"]["model"])
    check_whole_clip(vae)
    return optimise(vae.to(device), [vae], config, config["vae"], out / "vae", device)


def train_decoder(config: dict, out: Path, device: torch.device) -> None:
    """The decoder alone, longer: latents stay what they are, so the transformer needs no new training."""
    seed_all(config["seed"] + 3)
    vae = AutoencoderKLWan.from_pretrained(out / "vae" / "model")
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    settings = config["vae"] | config["decoder"]
    optimise(vae.to(device), [vae.decoder, vae.post_quant_conv], config, settings, out / "decoder", device)
    if (out / "checkpoint").is_dir():
        vae.to(torch.bfloat16).save_pretrained(out / "checkpoint" / "vae")


def optimise(vae, modules, config, settings, folder: Path, device) -> dict:
    matrices, others = split_parameters(modules, also_adamw=("conv_in", "conv_out", "gamma"))
    optimizer = MuonAdamW(
        matrices, others, muon_lr=settings["muon_lr"], adamw_lr=settings["adamw_lr"], weight_decay=settings["decay"]
    )
    loop = Loop(folder, {"vae": vae, "optimizer": optimizer}, minutes=settings["minutes"])
    for step in loop:
        cropped = loop.fraction < settings["crop_until"]
        batch = settings["crop_batch"] if cropped else settings["batch"]
        clips = train_batch(settings["first_seed"] + step * 64, batch, settings["flaw_share"])
        if cropped:
            clips = crop_to_objects(clips, settings["crop"])
        clips = clips.to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings["bf16"]):
            mean, log_variance = encode_moments(vae, clips)
            mean, log_variance = mean.float(), log_variance.float()
            latents = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            guess = decode_clips(vae, latents).float()
        loss = reconstruction_loss(guess, clips, settings)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        optimizer.zero_grad()
        (loss + settings["kl_weight"] * divergence).backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        warm = min(1.0, (step + 1) / 30)
        optimizer.step(warm * min(1.0, max(0.02, 2 * (1 - loop.fraction))))
        with torch.no_grad():
            error = (guess.clamp(-1, 1) - clips).square().mean() / 4
        loop.log(loss=loss.item(), kl=divergence.item(), mse=error.item())
    vae.to("cpu").eval()
    return measure(vae, folder, config)


@torch.no_grad()
def encode_means(vae, clips: np.ndarray, bf16: bool = False) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        return encode_moments(vae, to_tensor(clips))[0].float()


@torch.no_grad()
def measure(vae, folder: Path, config: dict, count: int = 64) -> dict:
    """Held-out figures, the contact sheet, the latents' statistics and latent2rgb.json."""
    clips, samples = world.samples(HELD_OUT_SEED, count, split="dev", flaws="none")
    means = torch.cat([encode_means(vae, clips[i : i + 8]) for i in range(0, count, 8)])
    guess = torch.cat([decode_clips(vae, means[i : i + 8]) for i in range(0, count, 8)]).clamp(-1, 1)
    truth = to_tensor(clips)
    error = (guess - truth).square() / 4
    mask = foreground(truth).expand_as(error)
    pixels = to_pixels(guess)
    figures = {
        "psnr": float((-10 * error.flatten(1).mean(1).log10()).mean()),
        "psnr_foreground": float(-10 * ((error * mask).sum() / mask.sum()).log10()),
    }
    for name, shown in (("rendered", clips), ("reconstructed", pixels)):
        answers = [world.oracle(s["prompt"], clip)["truth"] for s, clip in zip(samples, shown)]
        figures[f"truth_{name}"] = {
            key: round(float(np.mean([answer[key] for answer in answers])), 3) for key in answers[0]
        }
    contact_sheet(np.stack([clips[:6], pixels[:6]], 1).reshape(12, *clips.shape[1:]), folder / "reconstructions.png")

    # Statistics over many more clips than the figures, so that a latent has unit variance for the transformer.
    more, _ = world.samples(config["seed"] * 10_000_000 + 9_000_000, 256, split="train", flaws="none")
    latents = torch.cat([encode_means(vae, more[i : i + 8]) for i in range(0, len(more), 8)])
    mean, std = latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))
    std = std.clamp_min(0.05 * float(std.max()))  # a channel that says nothing must not become noise
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
    vae.save_pretrained(folder / "model")

    normalised = (latents - mean[:, None, None, None]) / std[:, None, None, None]
    colours = to_tensor(more)[:, :, ::4] / 2 + 0.5  # the frame that a latent frame begins or ends with
    colours = torch.nn.functional.avg_pool3d(colours, (1, 8, 8)).permute(0, 2, 3, 4, 1).reshape(-1, 3)
    rows = normalised.permute(0, 2, 3, 4, 1).reshape(-1, 16)
    rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
    solution = torch.linalg.lstsq(rows.double(), colours.double()).solution
    figures["latent2rgb_rmse"] = float((rows.double() @ solution - colours).square().mean().sqrt())
    table = {"matrix": solution[:16].tolist(), "bias": solution[16].tolist()}
    (folder / "latent2rgb.json").write_text(json.dumps(table, indent=1) + "\n")
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(f"[{folder.name}]", json.dumps(figures), flush=True)
    return figures
