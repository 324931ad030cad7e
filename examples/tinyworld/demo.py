#!/usr/bin/env python3
"""Three prompts, eight candidates each: the small generator makes them, the small judge looks while the
next is made and chooses, and the oracle says afterwards how good the choice is.

    ./run demo            (this script with the repository's root)

Needs nothing beyond Python itself.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

# Of the test split: neither the generator nor the judge was trained on them.
PROMPTS = [
    "a large yellow triangle moves down over a gray background",
    "a small blue circle stays still over a black background",
    "a large green circle moves right over a navy background",
]


def run(*command, codes=(0,)):
    """The JSON lines of stdout, and stderr."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode not in codes:
        sys.exit(f"{done.stderr}[demo] {pathlib.Path(command[0]).name} {command[1]} failed")
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def rows_of(bin, folder, prompt, judged):
    """One row per candidate: its name, the judge's reward, the oracle's truth, whether it was chosen."""
    judged = [one for one in judged if one["reward"] is not None]
    if not judged:
        sys.exit(f"[demo] no candidate could be judged: see {folder / 'report.html'}")
    videos = [folder / f"{one['video']}.mp4" for one in judged]
    truth, _ = run(bin / "bestreel-tinyworld", "oracle", *videos, "--prompt", prompt, "--json")
    return [dict(name=one["video"], reward=one["reward"], truth=real["reward"], chosen=one["winner"])
            for one, real in zip(judged, truth)]


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=root / "build/release/bin")
    parser.add_argument("--out", type=pathlib.Path, default=root / "demo-run")
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="the first so many")
    args = parser.parse_args()

    prompts = PROMPTS[:args.prompts]
    cores = os.cpu_count() or 1
    checkpoints = root / "examples/tinyworld/checkpoints"
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    print(f"{args.n} candidates of {len(prompts)} prompts, {args.steps} steps: made by the tiny generator, judged by "
          "the small judge while the next is made", flush=True)
    summary, reports = [], []
    for number, prompt in enumerate(prompts, 1):
        folder = args.out / f"{number}"
        judged, notes = run(
            args.bin / "bestreel", "generate", "--model", checkpoints / "generator", "--judge", checkpoints / "judge",
            "--prompt", prompt, "-n", args.n, "--steps", args.steps, "--guidance", 3, "--size", "64x64",
            "--frames", 17, "--fps", 4, "--overlap", "on", "--threads", cores - cores // 2,
            "--judge-threads", max(1, cores // 2), "--out", folder, "--json", codes=(0, 1))
        rows = rows_of(args.bin, folder, prompt, judged)
        reports.append(folder / "report.html")
        print(f"\n{prompt}\n{'candidate':>9}  {'judge':>5}  {'truth':>5}")
        for row in sorted(rows, key=lambda row: -row["reward"]):
            print(f"{row['name']:>9}  {row['reward']:5.2f}  {row['truth']:5.2f}"
                  f"{'  <- the judge chose it' if row['chosen'] else ''}")
        print(notes.splitlines()[0], flush=True)
        truth = [row["truth"] for row in rows]
        chosen = next(row["truth"] for row in rows if row["chosen"])
        summary.append((prompt, chosen, sum(truth) / len(truth), max(truth)))

    print("\nthe truth (1 to 5) of the judge's choice, of a random choice (the mean) and of the best there was")
    print(f"{'choice':>6}  {'mean':>5}  {'best':>5}  prompt")
    for prompt, *truths in summary:
        print(f"{truths[0]:6.2f}  {truths[1]:5.2f}  {truths[2]:5.2f}  {prompt}")
    means = [sum(column) / len(summary) for column in list(zip(*summary))[1:]]
    print(f"{means[0]:6.2f}  {means[1]:5.2f}  {means[2]:5.2f}  mean of {len(summary)}")
    print("\nThree prompts are a demonstration and no measurement: ./run bench selection asks forty or more.\n")
    for report in reports:
        print(f"report: {os.path.relpath(report)}")


if __name__ == "__main__":
    main()
