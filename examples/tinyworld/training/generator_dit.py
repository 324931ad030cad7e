"""The generator's main stage: transformer and text encoder, jointly, by flow matching on the VAE's latents.

A clip's latents x and noise e make x_s = (1 - s) x + s e; the model learns e - x at timestep 1000 s, which is
what UniPCMultistepScheduler's flow_prediction expects.
"""

from __future__ import annotations

import copy
import csv
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan, WanPipeline

from . import wan_parts, world
from .common import Loop, seed_all
from .generator_vae import HELD_OUT_SEED, encode_means
from .muon import MuonAdamW, split_parameters

# What AdamW moves: embeddings, tables, the first and the last layer.
ADAMW = ("scale_shift_table", "patch_embedding", "proj_out", "time_", "shared", "embed_tokens", "relative_attention")
LATENT = (16, 5, 8, 8)


class LatentPool:
    """The training clips' latents (not normalised) and prompts, on disk; grows while the training runs."""

    def __init__(self, folder: Path, vae, settings: dict, seed: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.vae, self.settings, self.cursor = vae, settings, seed * 10_000_000 + 3_000_000
        path, self.prompt_path = folder / "latents.f16", folder / "prompts.txt"
        shape = (settings["clips"], *LATENT)
        self.latents = np.memmap(path, np.float16, "r+" if path.exists() else "w+", shape=shape)
        self.prompts = self.prompt_path.read_text().splitlines() if self.prompt_path.exists() else []

    def __len__(self):
        return len(self.prompts)

    def grow(self, count: int) -> None:
        """Renders and encodes `count` more clips, or what is left; sample i is the same in every run."""
        count = min(count, len(self.latents) - len(self))
        if count <= 0:
            return
        clips, prompts = [], []
        while len(clips) < count:
            clip, prompt = self._draw(self.cursor + 4 * (len(self) + len(clips)))
            clips.append(clip)
            prompts.append(prompt)
        begin = len(self)
        self.latents[begin : begin + count] = encode_means(self.vae, np.stack(clips), self.settings["bf16"]).numpy()
        with open(self.prompt_path, "a", encoding="utf-8") as file:
            file.writelines(prompt + "\n" for prompt in prompts)
        self.prompts += prompts

    def _draw(self, seed: int):
        pick = np.random.default_rng(seed)
        flaws = "mixed" if pick.random() < self.settings["flaw_share"] else "none"
        one = pick.random() < self.settings["one_object_share"]
        for shift in range(4):  # mostly enough to meet a prompt of the wanted kind
            _, (sample,) = world.samples(seed + shift, 1, pixels=False, split="train", flaws=flaws)
            if (" and a " not in sample["prompt"]) == one:
                break
        clips, (sample,) = world.samples(seed + shift, 1, split="train", flaws=flaws)
        return clips[0], sample["prompt"]

    def batch(self, count: int):
        picks = np.random.randint(len(self), size=count)
        return torch.from_numpy(self.latents[picks].astype(np.float32)), [self.prompts[i] for i in picks]


class Average:
    """An exponential moving average of the weights: what is sampled from and shipped."""

    def __init__(self, modules: dict, decay: float):
        self.modules, self.decay, self.count = modules, decay, 0
        self.copies = {name: copy.deepcopy(module).eval() for name, module in modules.items()}

    @torch.no_grad()
    def update(self):
        self.count += 1
        weight = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        for name, module in self.modules.items():
            targets, sources = list(self.copies[name].parameters()), [p.detach() for p in module.parameters()]
            torch._foreach_lerp_(targets, sources, weight)

    def state_dict(self):
        return {"count": self.count} | {name: module.state_dict() for name, module in self.copies.items()}

    def load_state_dict(self, state):
        self.count = state["count"]
        for name, module in self.copies.items():
            module.load_state_dict(state[name])


class Flow:
    """Latents in, loss out."""

    def __init__(self, vae, tokenizer, settings: dict):
        self.mean = torch.tensor(vae.config.latents_mean).view(1, 16, 1, 1, 1)
        self.std = torch.tensor(vae.config.latents_std).view(1, 16, 1, 1, 1)
        self.tokenizer, self.settings = tokenizer, settings

    def loss(self, transformer, text_encoder, latents, prompts, uniform, noise):
        shift = self.settings["train_shift"]
        sigma = shift * uniform / (1 + (shift - 1) * uniform)
        x = (latents - self.mean) / self.std
        level = sigma.view(-1, 1, 1, 1, 1)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.settings["bf16"]):
            text, bias = wan_parts.embed_prompts(self.tokenizer, text_encoder, prompts)
            transformer.blocks[0].attn1.processor.pad_bias = bias  # one processor serves all layers
            guess = transformer((1 - level) * x + level * noise, 1000 * sigma, text).sample.float()
        return (guess - (noise - x)).square().mean()


def held_out(vae, count: int = 128):
    clips, samples = world.samples(HELD_OUT_SEED + 1000, count, split="dev", flaws="none")
    generator = torch.Generator().manual_seed(0)
    latents = torch.cat([encode_means(vae, clips[i : i + 16]) for i in range(0, count, 16)])
    uniform = (torch.arange(count) + 0.5) / count
    return latents, [s["prompt"] for s in samples], uniform, torch.randn(count, *LATENT, generator=generator)


def export(folder: Path, vae, tokenizer, text_encoder, transformer, flow_shift: float) -> None:
    """One diffusers folder in bfloat16, put in place by a rename."""
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    parts = [copy.deepcopy(part).to(torch.bfloat16) for part in (vae, text_encoder, transformer)]
    wan_parts.restore_attention(parts[2])
    pipe = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=parts[1],
        transformer=parts[2],
        vae=parts[0],
        scheduler=wan_parts.build_scheduler(flow_shift),
    )
    pipe.save_pretrained(temporary)
    wan_parts.save_tokenizer(tokenizer, temporary / "tokenizer")
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)


def train(config: dict, out: Path, device: torch.device) -> None:
    settings = config["dit"]
    seed_all(config["seed"] + 1)
    vae = AutoencoderKLWan.from_pretrained(out / "vae" / "model").eval()
    tokenizer = wan_parts.build_tokenizer(world.words())
    text_encoder = wan_parts.build_text_encoder(settings["text_encoder"], len(tokenizer))
    transformer = wan_parts.build_transformer(settings["transformer"])
    wan_parts.check_compact_text(transformer, tokenizer, text_encoder, ["a small red circle moves left", ""])
    wan_parts.use_plain_attention(transformer)
    average = Average({"transformer": transformer, "text_encoder": text_encoder}, settings["ema"])
    matrices, others = split_parameters([transformer, text_encoder], also_adamw=ADAMW)
    optimizer = MuonAdamW(
        matrices, others, muon_lr=settings["muon_lr"], adamw_lr=settings["adamw_lr"], weight_decay=settings["decay"]
    )
    flow = Flow(vae, tokenizer, settings)
    examined = held_out(vae)
    pool = LatentPool(out / "latents", vae, settings, config["seed"])
    while len(pool) < min(settings["clips_at_start"], settings["clips"]):
        pool.grow(64)
    print(f"[dit] {len(pool)} clips at the start; parameters {wan_parts.count(transformer, text_encoder):,}", flush=True)

    parts = {"transformer": transformer, "text_encoder": text_encoder, "optimizer": optimizer, "average": average}
    loop = Loop(out / "dit", parts, minutes=settings["minutes"])
    exported = time.monotonic()
    for _ in loop:
        pool.grow(settings["clips_each_step"])
        latents, prompts = pool.batch(settings["batch"])
        dropped = np.random.rand(len(prompts)) < settings["text_dropout"]
        prompts = ["" if drop else prompt for drop, prompt in zip(dropped, prompts)]
        # Stratified levels: less noise in the loss than independent ones.
        uniform = (torch.randperm(len(prompts)) + torch.rand(len(prompts))) / len(prompts)
        loss = flow.loss(transformer, text_encoder, latents, prompts, uniform, torch.randn_like(latents))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        optimizer.step(min(1.0, (loop.step + 1) / 40) * min(1.0, max(0.02, 2 * (1 - loop.fraction))))
        average.update()
        loop.log(loss=loss.item())
        if time.monotonic() - exported > 60 * settings["export_minutes"]:
            finish(out, loop, flow, examined, average, vae, tokenizer, settings)
            exported = time.monotonic()
    finish(out, loop, flow, examined, average, vae, tokenizer, settings)


@torch.no_grad()
def finish(out: Path, loop, flow, examined, average, vae, tokenizer, settings) -> None:
    """The held-out loss of the averaged weights, and the folder as it stands."""
    transformer, text_encoder = average.copies["transformer"], average.copies["text_encoder"]
    losses = [
        flow.loss(transformer, text_encoder, *(part[i : i + 32] for part in examined)).item()
        for i in range(0, len(examined[1]), 32)
    ]
    row = {"step": loop.step, "minutes": round(loop.elapsed / 60, 2), "held_out_loss": round(float(np.mean(losses)), 4)}
    path = out / "dit" / "held_out.csv"
    fresh = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row.keys())
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    export(out / "checkpoint", vae, tokenizer, text_encoder, transformer, settings["flow_shift"])
    shutil.copy(out / "vae" / "latent2rgb.json", out / "checkpoint" / "latent2rgb.json")
    print("[dit]", json.dumps(row), flush=True)
