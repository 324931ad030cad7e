#!/usr/bin/env python3
"""What a cascade loses in truth against judging all with the dear judge, on the tiny world.

    ./run bench cascade [--prompts 12] [-n 8] [--judge FOLDER]

For each test prompt the shipped generator makes n clips (20 steps, guidance 3). `bestreel rank` chooses among
them: the small judge alone, and cascades in which `pixels` looks first and the small judge at the best k. The
oracle says how good each choice really is. Seconds are those of judging, as the runs recorded them.
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


def choice(videos, prompt, judges, keep, out, threads):
    """The winner's name, seconds and judgements of each judge."""
    options = [word for judge in judges for word in ("-j", judge)] + (["--keep", keep] if keep else [])
    text = run("bestreel", "rank", *videos, "-p", prompt, *options, "--rationale", 160, "--threads", threads, "--out", out,
               "--json", codes=(0, 1))
    rows = [json.loads(line) for line in text.splitlines()]
    stages = rows.pop()["cascade"] if keep else []
    if not keep:  # one judge alone: its seconds are in the store
        with sqlite3.connect(out / "run.sqlite") as store:
            bodies = [json.loads(body) for (body,) in store.execute("select body from events where kind = 'judged'")]
        stages = [dict(saw=len(bodies), seconds=sum(body["result"].get("seconds", 0) for body in bodies))]
    winner = next(pathlib.Path(row["video"]).stem for row in rows if row["winner"])
    return winner, sum(stage["seconds"] for stage in stages), stages[-1]["saw"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--keep", default="1,2,3,4,6", help="what pixels hands on, one cascade each")
    parser.add_argument("--judge", default=CHECKPOINTS / "judge")
    parser.add_argument("--model", default=CHECKPOINTS / "generator")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    keeps = [int(k) for k in args.keep.split(",")]

    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        prompts = test_prompts(args.prompts, work)
        file = work / "prompts.jsonl"
        file.write_text("".join(json.dumps(dict(prompt=p, id=f"p{i:03}", seed=1000 * i)) + "\n"
                                for i, p in enumerate(prompts)))
        run("bestreel", "generate", "--model", args.model, "--judge", "tinyworld-oracle", "--prompts", file, "-n", args.n,
            "--steps", args.steps, "--guidance", 3, "--size", "64x64", "--frames", 17, "--fps", 4, "--threads", args.threads,
            "--out", work / "clips", codes=(0, 1))
        picked, seconds, dear = {}, {}, {}
        random_choice, oracle_choice = [], []
        for i, prompt in enumerate(prompts):
            videos = sorted((work / f"clips/p{i:03}").glob("c*.mp4"))
            truth = truths(prompt, videos)
            random_choice.append(np.mean(list(truth.values())))
            oracle_choice.append(max(truth.values()))
            for name, judges, keep in [("pixels alone", ["pixels"], None), ("the small judge on all", [args.judge], None),
                                       *[(f"pixels, then the small judge on {k}", ["pixels", args.judge], k) for k in keeps]]:
                winner, cost, seen = choice(videos, prompt, judges, keep, work / f"run-{i}-{len(judges)}-{keep}-{judges[0] == 'pixels'}",
                                            args.threads)
                picked.setdefault(name, []).append(truth[winner])
                seconds.setdefault(name, []).append(cost)
                dear.setdefault(name, []).append(0 if name == "pixels alone" else seen)

    base = np.array(picked["the small judge on all"])
    print(f"{len(prompts)} test prompts, {args.n} generated clips each; truth 1..5 by the oracle, 95 % intervals over prompts\n")
    print("| who chooses | truth of the choice | against the small judge on all | small judge's judgements | judging, s a prompt |")
    print("|---|---|---|---|---|")
    print(f"| chance | {np.mean(random_choice):.2f} | {np.mean(random_choice) - base.mean():+.2f} | | |")
    for name, values in picked.items():
        mean, low, high = interval(np.array(values) - base)
        loss = "" if name == "the small judge on all" else f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
        print(f"| {name} | {np.mean(values):.2f} | {loss} | {np.mean(dear[name]):.0f} | {np.mean(seconds[name]):.2f} |")
    print(f"| the oracle | {np.mean(oracle_choice):.2f} | {np.mean(oracle_choice) - base.mean():+.2f} | | |")


if __name__ == "__main__":
    main()
