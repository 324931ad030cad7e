"""Clips of the small generator for the small judge: sampled once, kept on disk, labelled by the oracle."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch

from . import sample as sampling
from . import wan_parts, world
from .judge_data import Item, labelled, scattered
from .sample import prompts_of

FIRST_TEST_PROMPT = 40_000_000


def test_prompts(count: int) -> list[str]:
    return prompts_of("test", FIRST_TEST_PROMPT, count)


def sample(generator: Path, prompts: list[str], seeds: int, seed: int) -> np.ndarray:
    """(prompts, seeds, 17, 64, 64, 3) uint8; on the CPU, where the same seed gives the same clip."""
    jobs = [(prompt, seed + i) for prompt in prompts for i in range(seeds)]
    with torch.device("cpu"):
        clips = draw(sampling.load(generator), *map(list, zip(*jobs)), steps=20, guidance=3.0)
    return clips.reshape(len(prompts), seeds, *clips.shape[1:])


@torch.no_grad()
def draw(pipe, prompts: list[str], seeds: list[int], steps: int, guidance: float, batch=16) -> np.ndarray:
    """What `sample.generate` draws, several times as fast: the text without its 500 pads, the clip in one piece."""
    attention = wan_parts.use_plain_attention(pipe.transformer)
    mean, std = (torch.tensor(x).view(1, -1, 1, 1, 1) for x in (pipe.vae.config.latents_mean, pipe.vae.config.latents_std))
    clips = []
    for i in range(0, len(prompts), batch):
        asked = prompts[i : i + batch]
        text, attention.pad_bias = wan_parts.embed_prompts(
            pipe.tokenizer, pipe.text_encoder, asked + [wan_parts.NEGATIVE] * len(asked))
        x = torch.stack([
            torch.randn(sampling.LATENT, generator=torch.Generator().manual_seed(s)) for s in seeds[i : i + batch]])
        pipe.scheduler.set_timesteps(steps)
        for t in pipe.scheduler.timesteps:
            flow = pipe.transformer(torch.cat((x, x)), t.float().expand(2 * len(x)), text).sample
            asked_for, plain = flow.chunk(2)
            x = pipe.scheduler.step(plain + guidance * (asked_for - plain), t, x).prev_sample
        y = wan_parts.decode_clips(pipe.vae, x * std + mean).clamp(-1, 1)
        clips.append(((y + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy())
    return np.concatenate(clips)


@torch.no_grad()
def through_vae(vae, clips: np.ndarray, shake: float, generator: torch.Generator) -> np.ndarray:
    """Clips as the generator's VAE draws them, with noise of `shake` standard deviations on the latents."""
    x = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    latents = wan_parts.encode_moments(vae, x)[0]
    spread = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    latents = latents + shake * spread * torch.randn(latents.shape, generator=generator)
    y = wan_parts.decode_clips(vae, latents).clamp(-1, 1)
    return ((y + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()


def collect(generator: Path, folder: Path, count: int, seed: int, share_vae: float, chunk=32) -> None:
    """Fills `folder` with chunk files until there are `count` clips; goes on where it was cut off."""
    with torch.device("cpu"):
        _collect(generator, folder, count, seed, share_vae, chunk)


def _collect(generator: Path, folder: Path, count: int, seed: int, share_vae: float, chunk: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pipe = None
    for number in range(-(-count // chunk)):
        path = folder / f"{number:04d}.npz"
        if path.exists():
            continue
        if pipe is None:
            pipe = sampling.load(generator)
        rng = random.Random(seed + number)
        if rng.random() < share_vae:
            clips, labels = scattered(seed + number * chunk, chunk, flaws="mixed")
            prompts = [label["prompt"] for label in labels]
            noise = torch.Generator().manual_seed(seed + number)
            clips = through_vae(pipe.vae, clips, rng.choice((0.0, 0.1, 0.3)), noise)
        else:
            prompts = prompts_of("train", seed + number * 64, chunk)
            settings = dict(steps=rng.choice((8, 12, 20)), guidance=rng.choice((1.5, 3.0, 3.0, 4.0)))
            clips = draw(pipe, prompts, [seed + number * chunk + i for i in range(chunk)], **settings)
        part = path.with_suffix(".part.npz")
        np.savez(part, clips=clips, prompts=json.dumps(prompts))
        part.rename(path)
        print(f"{folder.name}: {number + 1} of {-(-count // chunk)} files of {chunk} clips", flush=True)


class Kept:
    """Items from the files of `collect`, a fifth of them with another prompt than the one they were made for."""

    def __init__(self, folder: Path):
        clips, self.prompts = [], []
        for path in sorted(folder.glob("[0-9]*.npz")):
            if ".part" not in path.name:
                with np.load(path) as file:
                    clips.append(file["clips"])
                    self.prompts += json.loads(str(file["prompts"]))
        if not clips:
            raise FileNotFoundError(f"{folder} holds no clips: the generator must be trained before stage 2 of the judge")
        self.clips, self.known = np.concatenate(clips), {}

    def __call__(self, seed: int, count: int) -> list[Item]:
        items = []
        for i in range(count):
            rng = random.Random(seed + i)
            which = rng.randrange(len(self.clips))
            prompt = self.prompts[which if rng.random() < 0.8 else rng.randrange(len(self.clips))]
            if (which, prompt) not in self.known:
                label = world.oracle(prompt, self.clips[which])
                self.known[which, prompt] = labelled(self.clips[which], prompt, label)
            items.append(self.known[which, prompt])
        return items
