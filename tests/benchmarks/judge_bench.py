#!/usr/bin/env python3
"""Prefill, decode and memory of the VideoScore2 engine beside transformers 4.53.

    ./run bench judge [--grid 5,34,60] [--dtype fp32|bf16] [--threads N] [--rounds 5]
                      [--only kernels|drift|engine] [--full-size ...]

Three parts. `kernels`: how fast the decode step's own kernels read weights of the 7B's shapes at 1 to
16 rows, beside at::linear and beside the best of three plain read loops over the same memory, in
turn. `drift`: what int8 weights change in the digits of the shipped small judge. `engine`: the whole
model. --full-size runs full_size.py instead: the 7B's geometry.

In `engine` both run the same random checkpoint with the same weights, threads and dtype, in processes of their
own, in turn: reference, engine, reference, engine, ... Each process warms up once. Printed are the
medians over the rounds, the median of the ratios round by round, and the machine's own read
bandwidth, which bounds decoding. Peak memory is the process's resident set, mapped weights included.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "parity/videoscore2"))
import checkpoints

SHAPE = dict(hidden=1024, heads=8, kv_heads=2, layers=8, intermediate=2816, sections=(16, 24, 24),
             v_hidden=640, v_heads=8, depth=4, v_intermediate=1708, full=(3,), window=112,
             max_positions=32768)


def read_bandwidth(threads):
    """Bytes a second at which 1 GiB of float32 is read: the best of a sum and of products with a
    vector, which is what a decode step does, eight runs each."""
    torch.set_num_threads(threads)
    data = torch.ones(1 << 16, 1 << 12)
    vector = torch.ones(1 << 12)
    best = float("inf")
    for work in (data.sum, lambda: torch.mv(data, vector)):
        for _ in range(8):
            begin = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - begin)
    return data.numel() * 4 / best


def decode_bytes(folder):
    """Of the weights, those that one decode step reads: not the vision tower, nor the table of
    embeddings, of which it reads a row."""
    total = 0
    for file in pathlib.Path(folder).glob("*.safetensors"):
        with open(file, "rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        total += sum(entry["data_offsets"][1] - entry["data_offsets"][0] for name, entry in header.items()
                     if name != "__metadata__" and "visual" not in name and "embed_tokens" not in name)
    return total


def kernels(args):
    """GB of weights a second, by rows of x."""
    program = pathlib.Path(os.environ.get("BESTREEL_BIN", "build/release/bin")) / "decode_bench"
    done = subprocess.run([program, str(args.threads), str(args.layers), str(args.rounds)], check=True,
                          capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    read = max(row["best"] for row in rows if row["what"] == "read")
    kinds = [("kernel", "fp32", "bf16"), ("kernel", "bf16", "bf16"), ("kernel", "fp32", "int8"),
             ("at::linear", "bf16", "bf16")]
    found = {(row["what"], row["activations"], row["weights"], row["rows"]): row["gb_per_second"] for row in rows}
    print(f"decode kernels, {rows[0]['isa']}, {args.threads} threads: GB/s of weights read (part of the machine's "
          f"{read:.1f} GB/s), median of {args.rounds} rounds"
          + (", processor time" if args.threads == 1 else ""))
    print("| rows | " + " | ".join(f"{what}, {a} x {w}" for what, a, w in kinds) + " |")
    print("|---" * (len(kinds) + 1) + "|")
    for count in sorted({row["rows"] for row in rows if row["rows"]}):
        cells = [found[(*kind, count)] for kind in kinds]
        print(f"| {count} | " + " | ".join(f"{x:.1f} ({x / read:.0%})" for x in cells) + " |")


def drift(args):
    """Scores of the shipped small judge with int8 weights against those with its own bfloat16."""
    root = pathlib.Path(__file__).parents[2]
    sys.path.insert(0, str(root / "examples/tinyworld"))
    from evaluate import DIMENSIONS, write_mp4
    from scipy.stats import spearmanr
    from training.judge_data import scattered

    program = pathlib.Path(os.environ.get("BESTREEL_BIN", "build/release/bin")) / "bestreel"
    clips, labels = scattered(9_000_000, args.clips, split="test", labels=True)
    truth = np.array([[label["truth"][name] for name in DIMENSIONS] for label in labels])
    print(f"int8 weights of the small judge against bf16, {args.clips} rendered clips of the test split, "
          f"{args.dtype} activations")
    print("| reasons | digit probability: mean, greatest change | expected score: mean, greatest change | "
          "equal digits | Spearman with the truth, bf16 to int8 |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        environment = dict(os.environ, XDG_CACHE_HOME=work)
        paths = [pathlib.Path(work, f"{i}.mp4") for i in range(len(clips))]
        for clip, path in zip(clips, paths):
            write_mp4(clip, path)
        # A copy: the int8 file must not appear in the source tree.
        judge = pathlib.Path(work, "judge")
        shutil.copytree(root / "examples/tinyworld/checkpoints/judge", judge)

        def scores(quantize, rationale):
            probabilities, expected, digits = [], [], []
            for label, path in zip(labels, paths):
                done = subprocess.run(
                    [program, "score", path, "--prompt", label["prompt"], "--judge", judge, "--json", "--threads",
                     str(args.threads), "--rationale", rationale, "--dtype", args.dtype, "--quantize", quantize],
                    check=True, capture_output=True, text=True, env=environment)
                rows = json.loads(done.stdout)["dimensions"]
                probabilities.append([row["probabilities"] for row in rows])
                expected.append([row["expected"] for row in rows])
                digits.append([row["score"] for row in rows])
            return np.array(probabilities), np.array(expected), np.array(digits)

        for rationale in ("none", "160"):
            p0, e0, d0 = scores("none", rationale)
            p1, e1, d1 = scores("int8", rationale)
            rho = [np.mean([spearmanr(truth[:, k], e[:, k]).statistic for k in range(truth.shape[1])])
                   for e in (e0, e1)]
            print(f"| {rationale} | {np.abs(p1 - p0).mean():.4f}, {np.abs(p1 - p0).max():.3f} | "
                  f"{np.abs(e1 - e0).mean():.4f}, {np.abs(e1 - e0).max():.3f} | {(d0 == d1).mean():.0%} | "
                  f"{rho[0]:.3f} to {rho[1]:.3f} |")


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reference(args):
    torch.set_num_threads(args.threads)
    model = checkpoints.reference(args.folder, {"fp32": "float32", "bf16": "bfloat16"}[args.dtype])
    model.generation_config.eos_token_id = None
    ids = torch.tensor([json.loads(pathlib.Path(args.work, "ids.json").read_text())])
    patches = torch.from_numpy(np.fromfile(pathlib.Path(args.work, "patches"), np.float32))
    inputs = dict(input_ids=ids, attention_mask=torch.ones_like(ids),
                  pixel_values_videos=patches.view(-1, 1176),
                  video_grid_thw=torch.tensor([args.grid]), second_per_grid_ts=torch.tensor([1.0]))

    def seconds(tokens):
        begin, cpu = time.perf_counter(), time.process_time()
        model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
        return time.perf_counter() - begin, time.process_time() - cpu

    runs = [seconds(1) for _ in range(args.repeat)]
    prefill, cpu = (min(r[i] for r in runs) for i in (0, 1))
    whole = seconds(args.steps + 1)[0] if args.steps else prefill
    print(json.dumps(dict(prefill=prefill, cpu=cpu, memory=peak_mb(),
                          tokens_per_second=args.steps / max(1e-9, whole - prefill))))


def engine(args):
    out = pathlib.Path(args.work, "out")
    out.mkdir(exist_ok=True)
    request = out / "request.json"
    request.write_text(json.dumps(dict(
        folder=args.folder, ids=json.loads(pathlib.Path(args.work, "ids.json").read_text()),
        patches=str(pathlib.Path(args.work, "patches")), grid=args.grid, steps=args.steps,
        dtype=args.dtype, seconds_per_grid=1.0, every_logit=False, repeat=args.repeat,
        threads=args.threads)))
    subprocess.run([pathlib.Path(os.environ.get("BESTREEL_BIN", "build/bin")) / "engine_dump",
                    "forward", request, out], check=True)
    result = json.loads((out / "result.json").read_text())
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps(dict(prefill=min(result["prefill_seconds"]),
                          cpu=min(result["prefill_cpu_seconds"]), memory=memory,
                          tokens_per_second=args.steps / result["decode_seconds"])))


def main():
    if "--full-size" in sys.argv:
        rest = [word for word in sys.argv[1:] if word != "--full-size"]
        os.execv(sys.executable, [sys.executable, str(pathlib.Path(__file__).parent / "full_size.py"), *rest])
    parser = argparse.ArgumentParser()
    parser.add_argument("--grid", default="5,34,60", help="patches in time, height, width")
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--weights", default=None, choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=2, help="prefills in a process, the first warms up")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", choices=["", "kernels", "drift", "engine"])
    parser.add_argument("--layers", type=int, default=3, help="of the 7B's shapes, for the kernels: 0.47 GB each")
    parser.add_argument("--clips", type=int, default=40, help="for the drift")
    parser.add_argument("--who", default="")
    parser.add_argument("--folder", default="")
    parser.add_argument("--work", default="")
    args = parser.parse_args()
    args.grid = [int(x) for x in args.grid.split(",")]
    if args.who:
        return {"engine": engine, "reference": reference}[args.who](args)

    if args.only in ("", "kernels"):
        kernels(args)
    if args.only in ("", "drift"):
        drift(args)
    if args.only in ("", "engine"):
        whole(args)


def whole(args):
    weights = args.weights or {"fp32": "float32", "bf16": "bfloat16"}[args.dtype]
    with tempfile.TemporaryDirectory() as work:
        shape = checkpoints.Shape("bench", dtype=weights, **SHAPE)
        folder = checkpoints.save(shape, pathlib.Path(work, "model"))
        ids = checkpoints.prompt_ids(checkpoints.processor(folder).tokenizer, args.grid)
        pathlib.Path(work, "ids.json").write_text(json.dumps(ids))
        torch.randn(int(np.prod(args.grid)), 1176).numpy().tofile(pathlib.Path(work, "patches"))
        read = decode_bytes(folder)
        size = sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 2**20
        print(f"{int(np.prod(args.grid))} patches, {len(ids)} tokens, weights {size:.0f} MiB "
              f"{weights}, {args.dtype}, {args.threads} threads")
        rows = {"reference": [], "engine": []}
        for _ in range(args.rounds):
            for who, results in rows.items():
                done = subprocess.run(
                    [sys.executable, __file__, "--who", who, "--folder", str(folder), "--work", work,
                     "--grid", ",".join(map(str, args.grid)), "--dtype", args.dtype, "--threads",
                     str(args.threads), "--steps", str(args.steps), "--repeat", str(args.repeat)],
                    check=True, capture_output=True, text=True)
                results.append(json.loads(done.stdout.strip().splitlines()[-1]))

    def median(who, what):
        return statistics.median(row[what] for row in rows[who])

    for who in rows:
        print(f"{who:10} prefill {median(who, 'prefill'):.3f} s ({median(who, 'cpu'):.3f} processor "
              f"seconds), decode {median(who, 'tokens_per_second'):.1f} tokens/s, "
              f"peak {median(who, 'memory'):.0f} MiB")
    for what, name in (("prefill", "prefill: engine takes {:.2f} of the reference's time"),
                       ("tokens_per_second", "decode: engine makes {:.2f} times the reference's tokens/s")):
        ratios = [e[what] / r[what] for r, e in zip(rows["reference"], rows["engine"])]
        print(f"{name.format(statistics.median(ratios))} (from {min(ratios):.2f} to {max(ratios):.2f})")
    bandwidth = read_bandwidth(args.threads)
    used = read * median("engine", "tokens_per_second")
    print(f"read bandwidth of this machine, {args.threads} threads: {bandwidth / 1e9:.1f} GB/s; the "
          f"engine's decode reads weights at {used / 1e9:.1f} GB/s ({used / bandwidth:.0%})")


if __name__ == "__main__":
    main()
