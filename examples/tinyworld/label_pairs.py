#!/usr/bin/env python3
"""Is the oracle's truth what an eye sees? Pairs of generated clips, labelled by looking at them first.

    label_pairs.py draw  --model DIR --out DIR    pair sheets (PNG) and an empty labels.json; no oracle
    label_pairs.py score --model DIR labels.json  makes the same clips again, asks the oracle, compares

A label says which clip of a pair is the better answer to the prompt, on the whole: "a", "b", or
"unsure". Clips are sampled from the generator with the seeds that the file names.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from training import judge_generated, sample, world

PROMPTS, PAIRS_EACH, FIRST_SEED, PER_SHEET = 30, 4, 90_000, 10


def pairs_of_the_test_split():
    return [dict(prompt=prompt, seed_a=seed, seed_b=seed + 1, label="unsure")
            for prompt in judge_generated.test_prompts(PROMPTS)
            for seed in range(FIRST_SEED, FIRST_SEED + 2 * PAIRS_EACH, 2)]


def clips_of(args, pairs):
    if args.clips:  # made before, in the order of the pairs
        return np.load(args.clips).reshape(len(pairs), 2, world.FRAMES, world.SIDE, world.SIDE, 3)
    prompts = [p["prompt"] for p in pairs for _ in range(2)]
    seeds = [p[key] for p in pairs for key in ("seed_a", "seed_b")]
    clips = judge_generated.draw(sample.load(args.model), prompts, seeds, steps=20, guidance=3.0)
    return clips.reshape(len(pairs), 2, *clips.shape[1:])


def draw(args):
    from PIL import Image, ImageDraw

    pairs = pairs_of_the_test_split()
    clips = clips_of(args, pairs)
    args.out.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(pairs), PER_SHEET):
        sheet = Image.new("RGB", (1180, 92 * PER_SHEET), "white")
        pen = ImageDraw.Draw(sheet)
        for row, pair in enumerate(pairs[first : first + PER_SHEET]):
            y = 92 * row
            pen.text((4, y + 4), f"{first + row}: {pair['prompt']}", fill="black")
            for side in range(2):
                strip = np.concatenate(list(clips[first + row, side, ::2]), 1)
                sheet.paste(Image.fromarray(strip), (4 + side * 590, y + 22))
        sheet.save(args.out / f"pairs-{first:03}.png")
    (args.out / "labels.json").write_text("[\n" + ",\n".join(map(json.dumps, pairs)) + "\n]\n")


def score(args):
    pairs = json.loads(args.labels.read_text())
    clips = clips_of(args, pairs)
    sure = agree = 0
    for pair, both in zip(pairs, clips):
        if pair["label"] == "unsure":
            continue
        truth = [np.mean(list(world.oracle(pair["prompt"], clip)["truth"].values())) for clip in both]
        sure += 1
        right = (truth[0] > truth[1]) == (pair["label"] == "a") and truth[0] != truth[1]
        agree += right
        if args.verbose and not right:
            print(f"{pair}: {truth[0]:.2f} {truth[1]:.2f}")
    print(f"{len(pairs)} pairs, the eye is sure of {sure}; the oracle agrees with {agree} ({agree / max(1, sure):.0%})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("draw")
    one.add_argument("--model", type=pathlib.Path, required=True)
    one.add_argument("--out", type=pathlib.Path, required=True)
    two = commands.add_parser("score")
    two.add_argument("--model", type=pathlib.Path, required=True)
    two.add_argument("labels", type=pathlib.Path)
    two.add_argument("--verbose", action="store_true")
    for command in (one, two):
        command.add_argument("--clips", type=pathlib.Path, help="an .npy of these clips, instead of sampling")
    args = parser.parse_args()
    {"draw": draw, "score": score}[args.command](args)


if __name__ == "__main__":
    main()
