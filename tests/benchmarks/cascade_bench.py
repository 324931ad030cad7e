#!/usr/bin/env python3
"""What a cascade loses in truth against judging all with the dear judge, on the tiny world.

    ./run bench cascade [--prompts 12] [-n 8] [--judge FOLDER] [--clips RUNS]

For each test prompt the shipped generator makes n clips (20 steps, guidance 3). `bestreel rank` has `pixels` and
the small judge judge them all, once; what a cascade would choose in which the small judge sees the best k of
`pixels` follows from that (checked against `rank --cascade`). The oracle says how good each choice really is.
Seconds are those of judging, as the runs recorded them.
"""

import argparse
import json
import os
import pathlib
import sqlite3
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from selection_bench import CHECKPOINTS, interval, run, test_prompts, truths


def prompt_of(folder):
    with sqlite3.connect(folder / "run.sqlite") as store:
        return json.loads(store.execute("select body from events where kind = 'run'").fetchone()[0])["prompt"]


def generate(args, work):
    prompts = test_prompts(args.prompts, work)
    file = work / "prompts.jsonl"
    file.write_text("".join(json.dumps(dict(prompt=p, id=f"p{i:03}", seed=1000 * i)) + "\n" for i, p in enumerate(prompts)))
    run("bestreel", "generate", "--model", args.model, "--judge", "tinyworld-oracle", "--prompts", file, "-n", args.n,
        "--steps", args.steps, "--guidance", 3, "--size", "64x64", "--frames", 17, "--fps", 4, "--threads", args.threads,
        "--out", work / "clips", codes=(0, 1))
    return work / "clips"


def rank(videos, prompt, args, out, *more):
    """Name to the results of `pixels` and of the small judge; the winner's name."""
    text = run("bestreel", "rank", *videos, "-p", prompt, "-j", "pixels", "-j", args.judge, "--rationale", 160,
               "--threads", args.threads, "--out", out, "--json", *more, codes=(0, 1))
    rows = [row for row in map(json.loads, text.splitlines()) if "video" in row]
    winner = next(pathlib.Path(row["video"]).stem for row in rows if row["winner"])
    return {pathlib.Path(row["video"]).stem: [one.get("reward") for one in row["results"]] for row in rows}, winner


def seconds_of(out):
    """Mean seconds of a judgement by each judge, as the run recorded them."""
    with sqlite3.connect(out / "run.sqlite") as store:
        bodies = [json.loads(body) for (body,) in store.execute("select body from events where kind = 'judged'")]
    return [float(np.mean([b["result"].get("seconds", 0) for b in bodies if b["judge"] == judge])) for judge in (0, 1)]


def best(rewards, judge, names):
    return max(sorted(names), key=lambda name: rewards[name][judge])


def cascade(rewards, keep):
    names = sorted(rewards, key=lambda name: (-rewards[name][0], name))[:keep]
    return best(rewards, 1, names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--clips", type=pathlib.Path, help="a folder of `generate --prompts` to take the clips from")
    parser.add_argument("--judge", default=CHECKPOINTS / "judge")
    parser.add_argument("--model", default=CHECKPOINTS / "generator")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()

    picked, costs, chance, oracle = {}, [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        folders = sorted(path.parent for path in (args.clips or generate(args, work)).glob("*/run.sqlite"))[:args.prompts]
        for i, folder in enumerate(folders):
            videos, prompt = sorted(folder.glob("c*.mp4")), prompt_of(folder)
            truth = truths(prompt, videos)
            rewards, _ = rank(videos, prompt, args, work / f"all-{i}")
            costs.append(seconds_of(work / f"all-{i}"))
            if i == 0:  # the arithmetic here is that of `rank --cascade`
                assert rank(videos, prompt, args, work / "keep", "--cascade", 3)[1] == cascade(rewards, 3)
            chance.append(np.mean(list(truth.values())))
            oracle.append(max(truth.values()))
            picked.setdefault("the small judge on all", []).append(truth[best(rewards, 1, rewards)])
            picked.setdefault("`pixels` alone", []).append(truth[best(rewards, 0, rewards)])
            for keep in range(2, args.n):
                name = f"`pixels`, then the small judge on {keep}"
                picked.setdefault(name, []).append(truth[cascade(rewards, keep)])

    cheap, dear = np.mean(costs, axis=0)
    base = np.array(picked["the small judge on all"])
    print(f"{len(base)} test prompts, {args.n} generated clips each; truth 1..5 by the oracle; 95 % intervals over prompts\n")
    print("| who chooses | truth of the choice | against the small judge on all | judging a prompt |\n|---|---|---|---|")
    print(f"| chance | {np.mean(chance):.2f} | {np.mean(chance) - base.mean():+.2f} | |")
    for name, values in picked.items():
        mean, low, high = interval(np.array(values) - base)
        loss = "" if name == "the small judge on all" else f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
        seen = args.n if name.endswith("all") else 0 if name.endswith("alone") else int(name.split()[-1])
        cost = seen * dear + (0 if name.endswith("on all") else args.n * cheap)
        print(f"| {name} | {np.mean(values):.2f} | {loss} | {cost:.2f} s |")
    print(f"| the oracle | {np.mean(oracle):.2f} | {np.mean(oracle) - base.mean():+.2f} | |")


if __name__ == "__main__":
    main()
