"""Natural pictures in motion: what ships in scikit-image, panned and zoomed, with visual flaws.

Nothing is downloaded. The pictures of `TEST` are never trained on.
"""

from __future__ import annotations

import functools
import random
from pathlib import Path

import numpy as np
from PIL import Image

from . import world

TRAIN = (
    "astronaut.png", "brick.png", "cell.png", "clock_motion.png", "coins.png", "color.png", "grass.png", "gravel.png",
    "ihc.png", "moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png", "retina.jpg", "text.png",
)  # fmt: skip
TEST = ("chelsea.png", "coffee.png", "camera.png", "rocket.jpg", "hubble_deep_field.jpg")
VISUAL = ("noise", "blur", "flicker", "blocking")


@functools.cache
def picture(name: str) -> Image.Image:
    import skimage.data

    path = Path(skimage.data.__file__).parent / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: install scikit-image 0.25, whose package holds its pictures")
    return Image.open(path).convert("RGB")


def clip_of(name: str, rng: random.Random, times=range(world.FRAMES)) -> np.ndarray:
    """A window that moves over the picture and changes its size a little, at some of 17 frames."""
    image = picture(name)
    side = min(image.size)
    first = rng.uniform(0.35, 0.85) * side
    last = first * rng.uniform(0.8, 1.15)
    if last > side:
        last = side
    corners = [[rng.uniform(0, edge - size) for edge in image.size] for size in (first, last)]
    frames = []
    for t in times:
        a = t / (world.FRAMES - 1)
        size = first + a * (last - first)
        x, y = (corners[0][k] + 0.5 * a * (corners[1][k] - corners[0][k]) for k in range(2))
        x, y = min(x, image.width - size), min(y, image.height - size)
        frames.append(np.asarray(image.resize((world.SIDE, world.SIDE), Image.LANCZOS, (x, y, x + size, y + size),
                                              reducing_gap=2.0)))
    return np.stack(frames)


def random_flaws(rng: random.Random) -> list[dict]:
    kinds = rng.sample(VISUAL, rng.choice((0, 1, 1, 1, 2)))
    return [{"kind": kind, "severity": rng.uniform(0.1, 1)} for kind in kinds]


def truth_of(flaws) -> float:
    """The oracle's scale, from the flaws that were put in: what it measures itself is the tiny world's."""
    good = 1.0
    for flaw in flaws:
        good *= 1 - flaw["severity"]
    return 1 + 4 * good


def caption(rng: random.Random, words) -> str:
    """Natural clips come with any text; none of it matters here."""
    text = [rng.choice(words) for _ in range(rng.randint(2, 10))]
    if rng.random() < 0.3:
        text.insert(rng.randrange(len(text)), "".join(rng.choice("abcdefghijklmnoprstuvw") for _ in range(5)))
    return " ".join(text)


def rationale_of(flaws) -> str:
    """In the words of the oracle."""
    degree = [(0.34, "slight"), (0.67, "clear"), (9, "strong")]
    said = [
        f"{next(word for limit, word in degree if flaw['severity'] < limit)} {flaw['kind']}"
        for flaw in sorted(flaws, key=lambda flaw: -flaw["severity"])
    ]
    return f"visual : {' '.join(said) or 'none'} . physics : none ."


def test_pairs() -> list[tuple[str, np.ndarray, np.ndarray, str]]:
    """15 pairs of one clip, the better one first, with what the worse one has more of."""
    steps = ((0.0, 0.45), (0.2, 0.65), (0.35, 0.9))
    pairs = []
    for i in range(15):
        name, (less, more) = TEST[i % len(TEST)], steps[i // len(TEST)]
        kind = VISUAL[(i + i // len(TEST)) % len(VISUAL)]
        clean = clip_of(name, random.Random(7000 + i))
        better = world.damage(clean, [{"kind": kind, "severity": less}] if less else [], 7000 + i)
        worse = world.damage(clean, [{"kind": kind, "severity": more}], 8000 + i)
        pairs.append((name, better, worse, f"{kind} {less:g} / {more:g}"))
    return pairs
