#!/usr/bin/env python3
"""What works on this device, what is wrong, and how fast it is: in parts, each under its own limit.

    tests/gpu/first_run.sh [--parts a,b] [--device cpu|cuda] [--bundle FILE.tar.xz | --bin DIR] [--out DIR]

Each part is PASS, FAIL or SKIPPED with a reason. OUT receives first_run.json and first_run.md, written anew
after each part, so that a run that is cut off has told what it had. With --device cpu the sizes are toys: it
shows that the parts work, and measures nothing.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
import common
import report

# Name, seconds on a GPU, seconds with toy sizes, what it answers.
PARTS = [
    ("bundle", 25, 120, "the programs start with this machine's libraries"),
    ("tests", 60, 120, "device tests, and the small judge and sampler beside this machine's CPU"),
    ("reference", 40, 120, "the small checkpoints beside transformers 4.53.3 and diffusers 0.35.2"),
    ("attention", 40, 120, "attention backends at the shapes that the models ask for"),
    ("weights", 40, 120, "weights of full size, made at random on the device"),
    ("judge", 90, 120, "the judge: load, tower, prefill, decode, beside transformers"),
    ("denoiser", 60, 120, "text encoder and denoiser, beside diffusers"),
    ("decoder", 40, 120, "the video decoder in fp32, TF32 and bf16"),
    ("overlap", 140, 120, "judging while denoising, on against off"),
    ("memory", 30, 120, "what is said when memory runs out, and what plan says"),
    ("sanitizer", 40, 120, "compute-sanitizer over the device tests"),
]


def unpack(bundle, work):
    """The folder of the bundle; its manifest says what it holds."""
    if bundle.is_dir():
        return bundle.resolve()
    folder = work / "bundle"
    folder.mkdir()
    done = subprocess.run(["tar", "-xf", str(bundle), "-C", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        import lzma  # where there is no xz
        import tarfile
        with lzma.open(bundle) as packed, tarfile.open(fileobj=packed) as tar:
            tar.extractall(folder, filter="fully_trusted")
    return folder


def roomiest(folders):
    """The first with room for the weights; else the one with the most."""
    free = {folder: shutil.disk_usage(folder).free for folder in folders if os.path.isdir(folder)}
    return next((folder for folder, room in free.items() if room > 35e9), max(free, key=free.get))


def run_part(name, limit, context_file, out, parts=common.HERE / "parts"):
    """One part in a process group of its own: {"state", "why", "seconds", "values", "checks", "data"}."""
    result = dict(name=name, state="FAIL", why="", seconds=0.0, limit=limit, values=[], checks=[], data={})
    path = ":".join(filter(None, [str(common.HERE), os.environ.get("PYTHONPATH")]))
    environment = dict(os.environ, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
    begin = time.monotonic()
    errors = open(out / f".{name}.stderr", "w+")
    child = subprocess.Popen([sys.executable, str(parts / f"{name}.py"), str(context_file)], text=True,
                             stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, env=environment,
                             start_new_session=True)
    late = threading.Event()

    def stop():
        late.set()
        os.killpg(child.pid, signal.SIGKILL)

    timer = threading.Timer(limit, stop)
    timer.start()
    skip = None
    for line in child.stdout:
        try:
            one = json.loads(line)
        except ValueError:
            continue  # a library's own words
        if "skip" in one:
            skip = one["skip"]
        elif "check" in one:
            result["checks"].append(one)
        elif "data" in one:
            result["data"][one["data"]] = one["content"]
        else:
            result["values"].append(one)
    code = child.wait()
    timer.cancel()
    if not late.is_set():
        try:
            os.killpg(child.pid, signal.SIGKILL)  # what it may have left running
        except ProcessLookupError:
            pass
    result["seconds"] = round(time.monotonic() - begin, 1)
    errors.seek(0)
    said = errors.read()[-4000:]
    errors.close()
    (out / f".{name}.stderr").unlink()
    failed = [check["check"] for check in result["checks"] if not check["ok"]]
    if late.is_set():
        result["why"] = f"stopped at its limit of {limit} s: what it had measured is below"
    elif code != 0:
        result["why"] = f"ended with status {code}: " + (said.strip().splitlines() or ["it said nothing"])[-1]
    elif failed:
        result["why"] = f"{len(failed)} of {len(result['checks'])} checks failed: " + "; ".join(failed[:4])
    elif skip:
        result["state"], result["why"] = "SKIPPED", skip
    elif not result["checks"]:
        result["why"] = "it checked nothing"
    else:
        result["state"], result["why"] = "PASS", f"{len(result['checks'])} checks"
    if result["state"] == "FAIL" and said.strip():
        result["data"]["stderr"] = said
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(name for name, *_ in PARTS), help="with commas; all where not given")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--bundle", type=pathlib.Path, default=common.ROOT / "build/gpu/bundle.tar.xz",
                       help="what tests/gpu/bundle.sh made, packed or staged")
    where.add_argument("--bin", type=pathlib.Path, help="programs of a build on this machine, instead of a bundle")
    parser.add_argument("--references", type=pathlib.Path, help="with --bin: the folder that references.py wrote")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(os.environ.get("OUT") or "first-run"))
    parser.add_argument("--limit", type=float, default=480, help="seconds in all: parts that do not fit are skipped")
    parser.add_argument("--scratch", type=pathlib.Path, default=None, help="for 31 GB of weights (/dev/shm, where it has so much)")
    args = parser.parse_args()
    known = {name: part for name, *part in PARTS}
    asked = args.parts.split(",")
    if unknown := [name for name in asked if name not in known]:
        parser.error(f"--parts must be of {', '.join(known)}, but got {', '.join(unknown)}")
    if not args.bin and not args.bundle.exists():
        parser.error(f"{args.bundle} is missing: make it by tests/gpu/bundle.sh, or pass --bin DIR")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    toy = args.device == "cpu"
    begin = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    scratch = args.scratch or roomiest(["/dev/shm", tempfile.gettempdir()])
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory(dir=scratch) as models:
        work = pathlib.Path(work)
        bundle = None if args.bin else unpack(args.bundle, work)
        context = dict(
            device=args.device, toy=toy, work=str(work), models=models, bundle=str(bundle or ""),
            bin=str(bundle / "bin" if bundle else args.bin.resolve()),
            libraries=common.libraries(bundle) if bundle else "",
            references=str(bundle / "references" if bundle else args.references.resolve() if args.references else ""),
            threads=max(1, min(8, len(os.sched_getaffinity(0)) // 2)))
        context_file = work / "context.json"
        context_file.write_text(json.dumps(context))
        run = report.Run(args, context)
        for name in (name for name in known if name in asked):
            left = args.limit - (time.monotonic() - begin)
            limit = min(known[name][1 if toy else 0], left)
            if left < 10:
                run.add(dict(name=name, state="SKIPPED", why=f"{left:.0f} s of --limit were left", seconds=0.0, limit=0,
                             values=[], checks=[], data={}), known[name][2])
            else:
                run.add(run_part(name, round(limit), context_file, args.out), known[name][2])
    print(f"{time.monotonic() - begin:.0f} s; results: {args.out / 'first_run.md'}, {args.out / 'first_run.json'}")
    return 1 if any(part["state"] == "FAIL" for part in run.parts) else 0


if __name__ == "__main__":
    sys.exit(main())
