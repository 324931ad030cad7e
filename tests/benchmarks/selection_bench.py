#!/usr/bin/env python3
"""Does selection work? Truth of what each strategy picks, on the tiny world, prompts never trained on.

    ./run bench selection [--prompts 40] [-n 8] [--steps 20] [--guidance 3] [--judge FOLDER]
                          [--split test|dev] [--only best-of-n,halving,race] [--rungs K,...]

For each prompt the native engine makes n candidates of the same seeds under best-of-n, halving and
race, the small judge chooses, and the oracle says afterwards how good the choice really is. Random
choice is the mean over the candidates. --split dev and --rungs try options of halving on other
prompts than those that are reported. Intervals are 95 %, bootstrap over prompts.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "examples/tinyworld/checkpoints"


def run(program, *arguments, codes=(0,)):
    done = subprocess.run([pathlib.Path(os.environ["BESTREEL_BIN"]) / program, *map(str, arguments)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode not in codes:
        sys.exit(done.stderr)
    return done.stdout


def draw_prompts(split, count, work):
    """Prompts of a split, drawn by the renderer's own grammar."""
    run("bestreel-tinyworld", "render", "--sample", 4 * count, "--split", split, "--seed", 777, "--out", work / "drawn")
    lines = (work / "drawn/clips.jsonl").read_text().splitlines()
    return list(dict.fromkeys(json.loads(line)["prompt"] for line in lines))[:count]


def truths(prompt, videos):
    lines = run("bestreel-tinyworld", "oracle", *videos, "--prompt", prompt, "--json").splitlines()
    return {pathlib.Path(one["video"]).stem: one["reward"] for one in map(json.loads, lines)}


def interval(values):
    rng = np.random.default_rng(0)
    means = np.asarray(values)[rng.integers(0, len(values), (10000, len(values)))].mean(1)
    return np.mean(values), *np.percentile(means, [2.5, 97.5])


def show(name, values):
    mean, low, high = interval(values)
    return f"{name}: {mean:.3f} ({low:.3f} to {high:.3f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3)
    parser.add_argument("--judge", default=CHECKPOINTS / "judge")
    parser.add_argument("--model", default=CHECKPOINTS / "generator")
    parser.add_argument("--split", default="test", choices=("test", "dev"))
    parser.add_argument("--only", default="best-of-n,halving,race", help="best-of-n is always among them")
    parser.add_argument("--rungs", help="of halving")
    args = parser.parse_args()

    strategies = {name: ["--strategy", name] for name in dict.fromkeys(["best-of-n", *args.only.split(",")])}
    if args.rungs and "halving" in strategies:
        strategies["halving"] += ["--rungs", args.rungs]
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        prompts = draw_prompts(args.split, args.prompts, work)
        file = work / "prompts.jsonl"
        file.write_text("".join(json.dumps(dict(prompt=p, id=f"p{i:03}", seed=1000 * i)) + "\n"
                                for i, p in enumerate(prompts)))
        picked, forwards, seconds = {}, {}, {}
        for name, options in strategies.items():
            begin = time.time()
            out = run("bestreel", "generate", "--model", args.model, "--judge", args.judge, "--prompts", file,
                      "-n", args.n, "--steps", args.steps, "--guidance", args.guidance, "--size", "64x64",
                      "--frames", 17, "--fps", 4, "--out", work / name, *options, codes=(0, 1))
            seconds[name] = time.time() - begin
            counts = [float(line.split()[0]) for line in out.splitlines() if " denoiser forwards " in line]
            forwards[name] = float(np.mean(counts))
            picked[name], everything = [], []
            for i, prompt in enumerate(prompts):
                run_folder = work / name / f"p{i:03}"
                rows = list(map(json.loads, run("bestreel", "export", run_folder, "--format", "jsonl").splitlines()))
                truth = truths(prompt, sorted(run_folder.glob("c*.mp4")))
                winner = next(pathlib.Path(row["video"]).stem for row in rows if row["winner"])
                picked[name].append(truth[winner])
                everything.append(list(truth.values()))
            if name == "best-of-n":
                random_choice = [float(np.mean(t)) for t in everything]
                oracle_choice = [max(t) for t in everything]

    best = np.array(picked["best-of-n"])
    print(f"{len(prompts)} {args.split} prompts, n = {args.n}, {args.steps} steps, guidance {args.guidance:g}; truth 1..5 by "
          "the oracle, mean over prompts with its 95 % interval\n")
    print("| choice | truth | denoiser forwards | seconds a prompt |\n|---|---|---|---|")
    others = [name for name in strategies if name != "best-of-n"]
    rows = [("random", random_choice, None), ("best-of-n by the small judge", picked["best-of-n"], "best-of-n"),
            *((name, picked[name], name) for name in others), ("best-of-n by the oracle", oracle_choice, None)]
    for label, values, name in rows:
        mean, low, high = interval(values)
        cost = f"{forwards[name]:.0f} | {seconds[name] / len(prompts):.1f}" if name else " | "
        print(f"| {label} | {mean:.3f} ({low:.3f} to {high:.3f}) | {cost} |")
    print()
    print(show("best-of-n minus random, paired", best - random_choice))
    share = (best.mean() - np.mean(random_choice)) / (np.mean(oracle_choice) - np.mean(random_choice))
    print(f"of the way from random to the oracle's choice: {share:.0%}")
    for name in others:
        print(f"{show(f'{name} minus best-of-n, paired', np.array(picked[name]) - best)} at "
              f"{forwards[name] / forwards['best-of-n']:.0%} of the forwards")


if __name__ == "__main__":
    main()
