#!/usr/bin/env python3
"""`bestreel` under limits on its address space: where memory ends it says so and ends by itself.

    ./run bench memory-limits [--tries 300] [--step 64]

A command is run without a limit for its peak of address space; then once for each limit below it,
--step KiB apart (ulimit -v), from the peak downwards. Each must be done (0) or say in a sentence what is
missing (1 or 2): no abort, no signal, no hang. Exit status 1 where one did not.
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 60


def program():
    return str(pathlib.Path(os.environ.get("BESTREEL_BIN", ROOT / "build/release/bin")) / "bestreel")


def limited(line, limit):
    """(exit status or "hang", last line of stderr) under `limit` bytes of address space."""
    try:
        done = subprocess.run(line, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    except subprocess.TimeoutExpired:
        return "hang", ""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return done.returncode, lines[-1] if lines else ""


def needed(line, low, high):
    """The least limit, to a MiB, under which the command is done."""
    while high - low > 1 << 20:
        middle = (low + high) // 2
        if limited(line, middle)[0] == 0:
            high = middle
        else:
            low = middle
    return high


def is_good(status, sentence):
    # Below what the dynamic linker needs there is no program yet that could say anything.
    return status == 0 or (status in (1, 2) and sentence.startswith("[")) or "loading shared" in sentence


def commands(folder):
    clips = sorted(folder.glob("*.mp4"))
    return {"score": [program(), "score", *clips, "-p", "x", "-j", "pixels", "--threads", "2"],
            "export": [program(), "export", folder / "run"]}


def prepare(folder):
    for index, source in enumerate(("testsrc2", "smptebars", "mandelbrot")):
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"{source}=size=160x120:rate=8", "-frames:v",
                        "12", "-pix_fmt", "yuv420p", folder / f"{index}.mp4"], check=True)
    subprocess.run([program(), "rank", folder, "-p", "x", "-j", "pixels", "--threads", "1", "--out",
                    folder / "run"], check=True, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=300)
    parser.add_argument("--step", type=int, default=64, help="KiB")
    args = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(folder)
        for what, line in commands(folder).items():
            begin = time.monotonic()
            top = needed([str(word) for word in line], 64 << 20, 16 << 30)
            counts = {}
            for index in range(args.tries):
                limit = top - index * args.step * 1024
                status, sentence = limited([str(word) for word in line], limit)
                counts[status] = counts.get(status, 0) + 1
                if not is_good(status, sentence):
                    bad += 1
                    print(f"{what}: {limit // 1024} KiB: {status}: {sentence}", flush=True)
            print(f"{what}: {args.tries} limits from {top // 1024} KiB down, {args.step} KiB apart: exit statuses "
                  f"{counts}, {time.monotonic() - begin:.0f} s", flush=True)
    print(f"{bad} of them ended by a signal, without a sentence, or not at all")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
