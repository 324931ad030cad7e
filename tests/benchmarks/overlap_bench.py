#!/usr/bin/env python3
"""Judging while denoising, on against off, on this machine.

    ./run bench overlap [--rounds 3] [-n 8] [--steps 20]

One prompt, n candidates by the shipped generator, judged by the shipped judge, whole processes in turn:
all cores for both sides, and the cores split between them, each with overlap off, on and auto. What auto
does follows from threads and cores: it overlaps where both sides fit.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "examples/tinyworld/checkpoints"


def run(args, threads, judging, overlap, out):
    program = pathlib.Path(os.environ.get("BESTREEL_BIN", ROOT / "build/release/bin")) / "bestreel"
    command = [program, "generate", "--model", CHECKPOINTS / "generator", "--judge", CHECKPOINTS / "judge",
               "--prompt", "a large green circle moves right over a navy background", "-n", args.n, "--steps",
               args.steps, "--guidance", 3, "--size", "64x64", "--frames", 17, "--fps", 4, "--threads", threads,
               "--judge-threads", judging, "--overlap", overlap, "--out", out]
    begin = time.perf_counter()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    hidden = re.search(r"(\d+) % of the judging hidden", done.stdout)
    return seconds, int(hidden.group(1)) if hidden else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    splits = dict.fromkeys([(cores, cores), (max(1, cores - 1), 1), (1, 1)])
    cases = [(threads, judging, overlap) for threads, judging in splits for overlap in ("off", "on", "auto")]
    found = {case: [] for case in cases}
    for _ in range(args.rounds):
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                found[case].append(run(args, *case, pathlib.Path(folder) / "run"))
    print(f"{cores} cores, best-of-{args.n}, {args.steps} steps, {args.rounds} rounds in turn; seconds, whole process\n")
    print(f"{'threads':>7} {'judge':>6} {'overlap':>8} {'median':>7} {'least':>7} {'hidden':>7}")
    for (threads, judging, overlap), rows in found.items():
        seconds = [row[0] for row in rows]
        print(f"{threads:7} {judging:6} {overlap:>8} {statistics.median(seconds):7.2f} {min(seconds):7.2f} "
              f"{statistics.median(row[1] for row in rows):5.0f} %")
    for threads, judging in splits:
        gain = statistics.median(off[0] / on[0] for off, on in zip(found[threads, judging, "off"],
                                                                   found[threads, judging, "on"]))
        auto = "on" if threads + judging <= cores else "off"
        print(f"{threads} + {judging} threads: overlap is {gain:.2f} times as fast as none; auto is {auto}")


if __name__ == "__main__":
    main()
