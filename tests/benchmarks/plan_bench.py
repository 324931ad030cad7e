#!/usr/bin/env python3
"""What `bestreel plan` predicts at full size against the peak that is measured.

    ./run bench plan [--scratch DIR] [--dtype bf16|fp32] [--tokens 16]

Writes Qwen2.5-VL-7B's geometry with random bf16 weights (16.6 GB, as ./run bench full-size does) to a scratch
folder that it deletes, plans and scores one 81-frame 832x480 clip, and prints both peaks and both times.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import full_size

# A small parent, so that the peak which a child inherits by its fork is none of ours.
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def main():
    root = pathlib.Path(__file__).parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", default=tempfile.gettempdir())
    parser.add_argument("--dtype", default="bf16", choices=("fp32", "bf16"))
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tokenizer", default=root.parent / "shared/data/qwen2_5_tokenizer", type=pathlib.Path)
    args = parser.parse_args()
    if not (args.tokenizer / "tokenizer.json").exists():
        raise SystemExit(f"[bench] SKIPPED: {args.tokenizer}/tokenizer.json is missing: pass --tokenizer FOLDER")
    if shutil.disk_usage(args.scratch).free < 20e9:
        raise SystemExit(f"[bench] SKIPPED: {args.scratch} has less than 20 GB free: pass --scratch DIR")
    program = str(pathlib.Path(os.environ["BESTREEL_BIN"]) / "bestreel")
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = pathlib.Path(scratch)
        full_size.write_checkpoint(folder, args.tokenizer)
        clip = folder / "clip.mp4"
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=832x480:r=16", "-frames:v", "81",
                        "-pix_fmt", "yuv420p", clip], check=True)
        options = ["--judge", folder, "--prompt", "a test pattern", "--template", folder / "template.txt", "--rationale",
                   args.tokens, "--dtype", args.dtype, "--threads", args.threads]
        options = [str(word) for word in options]
        planned = json.loads(subprocess.run([program, "plan", *options, "--json", clip], capture_output=True, text=True).stdout)
        begin = time.time()
        done = subprocess.run([sys.executable, "-c", MEASURE, program, "score", str(clip), *options], capture_output=True,
                              text=True)
        code, peak = map(int, done.stdout.split())
        if code != 0:
            raise SystemExit(f"[bench] bestreel score failed: {done.stderr}")
        print(f"predicted peak {planned['peak'] / 1e9:.2f} GB, measured {peak / 1e9:.2f} GB: "
              f"{100 * (planned['peak'] / peak - 1):+.1f} %")
        print(f"expected {planned['seconds']['total']:.0f} s at {planned['machine']['flops'] / 1e9:.0f} GFLOP/s and "
              f"{planned['machine']['bytes_per_second'] / 1e9:.0f} GB/s, took {time.time() - begin:.0f} s")


if __name__ == "__main__":
    main()
