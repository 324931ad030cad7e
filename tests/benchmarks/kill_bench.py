#!/usr/bin/env python3
"""`bestreel generate` killed by SIGKILL at random instants and begun again with the same command.

    ./run bench kill [--kills 30] [--strategy best-of-n|halving|race|cascade|all] [--seed 6]

For each strategy one run is left alone; another is killed, each time at an instant drawn from the whole
of an undisturbed run's time (so some kills fall into loading, some into the last files), and begun again
until it comes to its end; then the next run, until there were --kills kills. Winner, scores, every file's
bytes and the list of files must be those of the run that was left alone. Exit status 1 where anything
differs.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "examples/tinyworld/checkpoints"
PROMPT = "a large red circle moves left over a gray background"
STRATEGIES = {
    "best-of-n": [],
    "halving": ["--rungs", "2,4"],
    "race": ["--rungs", "2,4"],
    "cascade": ["--judge", CHECKPOINTS / "judge", "--cascade", "2"],
}


def program():
    return str(pathlib.Path(os.environ.get("BESTREEL_BIN", ROOT / "build/release/bin")) / "bestreel")


def command(strategy, out):
    return [program(), "generate", "--model", CHECKPOINTS / "generator", "--judge", "tinyworld-oracle",
            "--prompt", PROMPT, "-n", "6", "--size", "64x64", "--frames", "17", "--fps", "4", "--steps", "8",
            "--guidance", "2", "--threads", "1", "--lossless", "--strategy", strategy, *STRATEGIES[strategy],
            "--out", out]


def words(line):
    return [str(word) for word in line]


def export(run):
    lines = subprocess.run(words([program(), "export", run, "--format", "jsonl"]), capture_output=True, text=True,
                           check=True).stdout
    return json.loads(f"[{','.join(lines.splitlines())}]".replace(str(run), "RUN"))


def files(run):
    """By name, with its bytes; three hold clocks or the last process: only that they are there."""
    return {str(path.relative_to(run)): b"" if path.name in ("report.html", "run.sqlite", "run.lock") else path.read_bytes()
            for path in sorted(run.rglob("*")) if path.is_file()}


def kill_once(line, seconds):
    """True if the process was still there to be killed."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def differences(run, reference):
    rows, expected = export(run), export(reference)
    found = []
    winner = [row["video"] for row in rows if row["winner"]]
    if winner != [row["video"] for row in expected if row["winner"]]:
        found.append(f"another winner ({winner})")
    if rows != expected:
        found.append("other scores")
    mine, theirs = files(run), files(reference)
    changed = [name for name in theirs if name in mine and mine[name] != theirs[name]]
    for what, names in (("missing", theirs.keys() - mine.keys()), ("left behind", mine.keys() - theirs.keys()),
                        ("other bytes", changed)):
        if names:
            found.append(f"{what}: {', '.join(sorted(names))}")
    return winner, found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--strategy", choices=[*STRATEGIES, "all"], default="best-of-n")
    parser.add_argument("--seed", type=int, default=6)
    args = parser.parse_args()
    instants = random.Random(args.seed)
    chosen = STRATEGIES if args.strategy == "all" else [args.strategy]
    failed = False
    print(f"{'strategy':10} {'undisturbed':>11} {'kills':>6} {'runs':>5} {'files':>6} {'winner':>7}  result")
    for strategy in chosen:
        with tempfile.TemporaryDirectory() as folder:
            reference, run = pathlib.Path(folder) / "reference", pathlib.Path(folder) / "run"
            begin = time.monotonic()
            subprocess.run(words(command(strategy, reference)), check=True, stdout=subprocess.DEVNULL)
            whole = time.monotonic() - begin
            line = words(command(strategy, run))
            kills, runs, found = 0, 0, []
            while True:
                if kills < args.kills and kill_once(line, instants.uniform(0.02, 1) * whole):
                    kills += 1
                    continue
                # It came to its end (or is let to): compared, and another one begins.
                done = subprocess.run(line, capture_output=True, text=True)
                if done.returncode != 0:
                    sys.exit(f"[bench] the run did not come to its end after {kills} kills:\n{done.stderr}")
                runs += 1
                winner, different = differences(run, reference)
                found += different
                if kills == args.kills:
                    break
                shutil.rmtree(run)
            failed = failed or bool(found)
            print(f"{strategy:10} {whole:9.1f} s {kills:6} {runs:5} {len(files(run)):6} "
                  f"{winner[0] if winner else '-':>7}  {'; '.join(found) or 'equal'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
