"""What the small judge learns from: clips with a prompt, a rationale and a truth, as batches of tensors."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

from . import natural, world
from .judge_model import DIMENSIONS, LABELS, LOOKED, MERGE, PATCH, SIDE, TEMPORAL, VIDEO_TOKENS, prompt_ids

SIZES, COLOURS = ("small", "large"), ("red", "green", "blue", "yellow", "purple", "white")
SHAPES, BACKGROUNDS = ("circle", "square", "triangle"), ("black", "gray", "navy", "brown")
MOTIONS = ("still", "left", "right", "up", "down", "bounce")
KINDS = len(SIZES) * len(COLOURS) * len(SHAPES)
# Words of a rationale that are always there; the others say something.
FRAME_WORDS = frozenset(("objects", "object", ":", ".", ",", "background", "visual", "physics", "<think>", " "))
PHYSICAL = ("teleport", "deform", "vanish", "pulse", "jerk")
DEGREES = {"slight": 0.33, "clear": 0.67, "strong": 1.0}
FLAW = re.compile(r"(slight|clear|strong) (\w+)")
NO_FLAW = "visual : none . physics : none ."
# qwen-vl-utils at 2 fps looks at these of 17 frames at 4 fps.
LOOKED_AT = np.linspace(0, world.FRAMES - 1, LOOKED).round().astype(int)
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]) * 255
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711]) * 255
# qwen-vl-utils enlarges a frame to at least 128 tokens of 16 x 16 pixels.
ENLARGED = 192


@dataclass
class Item:
    frames: np.ndarray  # (8,64,64,3) uint8
    prompt: str
    rationale: str
    truth: tuple[float, float, float]
    scored: tuple[float, float, float] = (1.0, 1.0, 1.0)  # 0: this dimension means nothing here
    seen: list = field(default_factory=list)  # (size, colour, shape, motion)
    background: str = ""


def _resample() -> torch.Tensor:
    """What enlarging and shrinking again does to one axis, as a matrix."""
    unit = torch.eye(SIDE)[None, None]
    size = dict(mode="bicubic", antialias=True, align_corners=False)
    up = F.interpolate(unit, (ENLARGED, SIDE), **size)
    return F.interpolate(up, (SIDE, SIDE), **size)[0, 0]


RESAMPLE = _resample()


def to_patches(frames: torch.Tensor) -> torch.Tensor:
    """(B,8,64,64,3) uint8 -> (B, 4, 64, 384), as the processor and the C++ engine make them."""
    x = frames.permute(0, 1, 4, 2, 3).float()
    x = RESAMPLE.to(x.device) @ x @ RESAMPLE.T.to(x.device)
    x = (x - MEAN.to(x.device).view(3, 1, 1)) / DEVIATION.to(x.device).view(3, 1, 1)
    n, t, side = x.shape[0], LOOKED // TEMPORAL, SIDE // PATCH // MERGE
    x = x.view(n, t, TEMPORAL, 3, side, MERGE, PATCH, side, MERGE, PATCH)
    x = x.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9)
    return x.reshape(n, t, side * side * MERGE * MERGE, 3 * TEMPORAL * PATCH * PATCH)


class Batcher:
    """From items to tensors."""

    def __init__(self, tokenizer, video_token: int):
        self.tokenizer, self.video_token = tokenizer, video_token
        self.digits = [tokenizer.encode(str(i))[0] for i in range(1, 6)]
        self.labels = [tokenizer.encode(label) for label in LABELS]
        if any(len(label) != 1 for label in self.labels):
            raise ValueError("the three labels must be one token each")
        self.end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        words = {word for word in FRAME_WORDS} | {" " + word for word in FRAME_WORDS}
        self.frame = {tokenizer.encode(word)[0] for word in words if word.strip()} | set(tokenizer.encode(" "))
        self.known = {}

    def question(self, prompt: str) -> list[int]:
        if prompt not in self.known:
            before, after = prompt_ids(self.tokenizer, prompt)
            self.known[prompt] = before + [self.video_token] * VIDEO_TOKENS + after
        return self.known[prompt]

    def answer(self, rationale: str, truth) -> tuple[list[int], list[int]]:
        """Ids and the three places of the digits in them."""
        ids = self.tokenizer.encode(f"<think>{rationale}</think>")
        places = []
        for label, value in zip(self.labels, truth):
            ids += label
            places.append(len(ids))
            ids.append(self.digits[int(min(5, max(1, round(value)))) - 1])
        return ids + [self.end], places

    def text(self, items: list[Item], rationales=None, blind=None):
        """ids (B,L), weight (B,L) and places (B,3): what is predicted *at* a position is the next id.

        `blind` (a list of booleans) marks rows whose rationale overlooks the flaws: nothing is learned from its
        words, but the digits after it must then be read from the video.
        """
        questions = [self.question(item.prompt) for item in items]
        texts = list(rationales or [item.rationale for item in items])
        known = {}
        for i in (i for i, yes in enumerate(blind or ()) if yes):
            head = texts[i].split("visual :")[0]
            texts[i] = head + NO_FLAW
            known[i] = len(self.tokenizer.encode("<think>" + head.rstrip()))
        answers = [self.answer(text, item.truth) for text, item in zip(texts, items)]
        length = max(len(q) + len(a) for q, (a, _) in zip(questions, answers))
        ids = torch.full((len(items), length), self.tokenizer.pad_token_id)
        weight = torch.zeros(len(items), length)
        places = torch.zeros(len(items), 3, dtype=torch.long)
        for i, (q, (a, p)) in enumerate(zip(questions, answers)):
            ids[i, : len(q) + len(a)] = torch.tensor(q + a)
            weight[i, len(q) - 1 : len(q) + len(a) - 1] = torch.tensor(
                [0.3 if token in self.frame else 3.0 for token in a[: p[0] - 2]] + [0.3] * (len(a) - p[0] + 2))
            if i in known:
                weight[i, len(q) - 1 + known[i] : len(q) + p[0] - 3] = 0
            places[i] = torch.tensor(p) + len(q) - 1  # predicted there
            weight[i, places[i]] = 0
        return ids, weight, places

    @staticmethod
    def soft(items: list[Item]) -> torch.Tensor:
        """(B,3,5): the two digits beside the truth, so that their mean is the truth."""
        truth = torch.tensor([item.truth for item in items]).clamp(1, 5)
        return (1 - (truth[..., None] - torch.arange(1, 6)).abs()).clamp(min=0)


def aux_targets(items: list[Item]):
    """What the throw-away heads learn: which objects are there, how they move, background, truth."""
    there, moves = torch.zeros(len(items), KINDS), torch.zeros(len(items), len(MOTIONS))
    ground = torch.full((len(items),), -100)
    known = torch.zeros(len(items), 1)
    for i, item in enumerate(items):
        for size, colour, shape, motion in item.seen:
            known[i] = 1
            if shape in SHAPES and size in SIZES and colour in COLOURS:
                place = (SIZES.index(size) * len(COLOURS) + COLOURS.index(colour)) * len(SHAPES)
                there[i, place + SHAPES.index(shape)] = 1
            if motion in MOTIONS:
                moves[i, MOTIONS.index(motion)] = 1
        if item.background in BACKGROUNDS and item.seen:
            ground[i] = BACKGROUNDS.index(item.background)
    visual = torch.tensor([[(i.truth[0] - 3) / 2] + degrees(i.rationale, natural.VISUAL) for i in items])
    physical = torch.tensor([[(i.truth[2] - 3) / 2] + degrees(i.rationale, PHYSICAL) for i in items])
    scored = torch.tensor([[item.scored[0], item.scored[2]] for item in items])
    return there, moves, ground, visual, physical, scored, known


def degrees(rationale: str, kinds) -> list[float]:
    """How strong a rationale says that each kind of flaw is, 0..1."""
    said = {kind: DEGREES[degree] for degree, kind in FLAW.findall(rationale)}
    return [said.get(kind, 0.0) for kind in kinds]


def scattered(seed: int, count: int, **options):
    """world.samples with seeds far from each other, so that neighbours share no random numbers."""
    clips, labels = [], []
    for i in range(count):
        z = (seed + i + 1) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 29)) * 0x94D049BB133111EB % 2**64
        clip, label = world.samples(z ^ (z >> 32), 1, **options)
        clips.append(clip)
        labels += label
    return np.concatenate(clips), labels


def rendered(seed: int, count: int, split="train", chroma=0.5) -> list[Item]:
    """Clips of the renderer with the oracle's labels."""
    clips, labels = scattered(seed, count, split=split, chroma=chroma, labels=True)
    return [labelled(clip, label["prompt"], label) for clip, label in zip(clips, labels)]


def labelled(clip, prompt: str, label: dict) -> Item:
    truth = tuple(label["truth"][name] for name in DIMENSIONS)
    return Item(clip[LOOKED_AT], prompt, label["rationale"], truth, seen=[tuple(s) for s in label["seen"]],
                background=label["background"])


def in_motion(seed: int, count: int, words) -> list[Item]:
    """Natural pictures with visual flaws; only visual quality is scored."""
    items = []
    for i in range(count):
        rng = random.Random(seed + i)
        flaws = natural.random_flaws(rng)
        clip = natural.clip_of(rng.choice(natural.TRAIN), rng, LOOKED_AT)
        clip = world.damage(clip, flaws, seed + i) if flaws else clip
        truth = (natural.truth_of(flaws), 3.0, 3.0)
        items.append(Item(clip, natural.caption(rng, words), natural.rationale_of(flaws), truth, (1.0, 0.0, 0.0)))
    return items


class Source:
    """Batches of items of which half were in a batch a while ago: drawing and judging clips takes time.

    A batch depends on its step alone, so that a run that was cut off goes on with the same batches.
    """

    def __init__(self, make, seed: int, again=100):
        self.make, self.seed, self.again, self.kept = make, seed, again, {}

    def _fresh(self, step: int, count: int) -> list[Item]:
        if step not in self.kept:
            self.kept[step] = self.make(self.seed + step * count, count)
        return self.kept[step]

    def __call__(self, step: int, count: int) -> list[Item]:
        if step < self.again:
            return self._fresh(step, count // 2) + self.make(self.seed - (step + 1) * count, count - count // 2)
        items = self._fresh(step, count // 2) + self._fresh(step - self.again, count // 2)
        del self.kept[step - self.again]
        return items
