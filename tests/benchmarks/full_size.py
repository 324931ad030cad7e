#!/usr/bin/env python3
"""The VideoScore2 engine at full size: Qwen2.5-VL-7B's geometry with random bf16 weights (16.6 GB).

    ./run bench judge --full-size [--scratch DIR] [--dtype fp32|bf16] [--rounds 1] [--steps 16]
                      [--grid 2,26,46] [--widths 1,4,8,16] [--rank] [--no-int8] [--no-reference]
                      [--layers 28 --depth 32]

Writes the checkpoint to a scratch folder that it deletes, and measures load, peak memory, the vision
tower, prefill and decode at several batch widths: the engine, the engine with int8 weights, and
transformers 4.53.3 with the same weights, threads and, with --dtype bf16, activations (its own fp32
would take 33 GB). Two such processes do not fit into 24 GB, so they run one at a time, in turn,
--rounds times; the medians are printed. The engine decodes through the batch that the judge uses.
Memory is the greatest resident set, mapped weights included. --rank also ranks 8 clips with reasons
of 300 tokens, which takes minutes; the reference's time for the same, one by one, is estimated from
its rates. --layers and --depth shrink the model for a short try. Random weights cost what real ones
cost; their scores mean nothing.
"""

import argparse
import copy
import json
import os
import pathlib
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "parity/videoscore2"))
import checkpoints

CONFIG = dict(
    architectures=["Qwen2_5_VLForConditionalGeneration"], hidden_size=3584, num_hidden_layers=28,
    num_attention_heads=28, num_key_value_heads=4, intermediate_size=18944, vocab_size=152064,
    rms_norm_eps=1e-6, rope_theta=1e6, max_position_embeddings=128000, tie_word_embeddings=False,
    rope_scaling={"type": "mrope", "mrope_section": [16, 24, 24]}, vision_start_token_id=151652,
    vision_end_token_id=151653, vision_token_id=151654, image_token_id=151655,
    video_token_id=151656, bos_token_id=151643, eos_token_id=151645, torch_dtype="bfloat16",
    vision_config=dict(depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16,
                       out_hidden_size=3584, patch_size=14, spatial_merge_size=2,
                       temporal_patch_size=2, window_size=112, fullatt_block_indexes=[7, 15, 23, 31],
                       tokens_per_second=2, in_channels=3))


def shapes():
    """Names and shapes as the Hub's shards have them."""
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**CONFIG))
    for name, tensor in model.state_dict().items():
        yield name.replace("model.visual.", "visual.").replace("model.language_model.", "model."), tuple(tensor.shape)


def write_weights(folder):
    tensors = list(shapes())
    header, offset = {}, 0
    for name, shape in tensors:
        size = 2 * int(np.prod(shape))
        header[name] = dict(dtype="BF16", shape=shape, data_offsets=[offset, offset + size])
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    # One block of noise, repeated from a moving start: what is timed does not depend on the values.
    noise = (np.random.default_rng(0).standard_normal(1 << 24, dtype=np.float32) * 0.02).view(np.uint32) >> 16
    noise = np.tile(noise.astype(np.uint16), 2)
    start = 0
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors:
            count = int(np.prod(shape))
            if "norm" in name or name.endswith("ln_q.weight"):
                file.write(np.full(count, 0x3F80, np.uint16).tobytes())  # 1.0
                continue
            while count > 0:
                part = min(count, 1 << 24)
                file.write(noise[start:start + part].data)
                start = (start + part + 12345) % (1 << 24)
                count -= part
    return offset


def write_checkpoint(folder, tokenizer):
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl", **CONFIG}))
    (folder / "generation_config.json").write_text(json.dumps(
        dict(repetition_penalty=1.05, temperature=0.7, do_sample=True, eos_token_id=[151645, 151643])))
    (folder / "preprocessor_config.json").write_text(json.dumps(dict(
        min_pixels=3136, max_pixels=12845056, patch_size=14, temporal_patch_size=2, merge_size=2,
        image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711])))
    shutil.copyfile(tokenizer / "tokenizer.json", folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": checkpoints.CHAT_TEMPLATE}))
    (folder / "template.txt").write_text("Judge this video, made for: $t2v_prompt\n")
    return write_weights(folder)


def request_of(args, folder):
    """Ids of a prompt around the video's tokens; patches are noise."""
    rng = np.random.default_rng(1)
    video = int(np.prod(args.grid)) // 4
    ids = rng.integers(1000, 100000, 30).tolist() + [151652] + [151656] * video + [151653] + \
        rng.integers(1000, 100000, 20).tolist()
    patches = rng.standard_normal((int(np.prod(args.grid)), 1176), dtype=np.float32)
    patches.tofile(folder / "patches")
    (folder / "ids.json").write_text(json.dumps(ids))
    return len(ids)


def reference(args):
    torch.set_num_threads(args.threads)
    folder = pathlib.Path(args.folder)
    begin = time.perf_counter()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, torch_dtype=torch.bfloat16).eval()
    model.generation_config.eos_token_id = None
    result = dict(load=time.perf_counter() - begin)
    ids = torch.tensor([json.loads((folder / "ids.json").read_text())])
    patches = torch.from_numpy(np.fromfile(folder / "patches", np.float32)).view(-1, 1176)
    grid = torch.tensor([args.grid])
    with torch.inference_mode():
        begin = time.perf_counter()
        model.visual(patches.to(torch.bfloat16), grid_thw=grid)
        result["vision"] = time.perf_counter() - begin
        begin = time.perf_counter()
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values_videos=patches,
                             video_grid_thw=grid, second_per_grid_ts=torch.tensor([1.0]), do_sample=False,
                             max_new_tokens=1, return_dict_in_generate=True)
        result["prefill"] = time.perf_counter() - begin
        length, delta = ids.shape[1], int(model.model.rope_deltas)
        for width in args.widths:
            cache = copy.deepcopy(out.past_key_values)
            cache.batch_repeat_interleave(width)
            token = torch.ones(width, 1, dtype=torch.long)

            def step(i):
                past = length + i
                logits = model(input_ids=token, past_key_values=cache, use_cache=True,
                               attention_mask=torch.ones(width, past + 1, dtype=torch.long),
                               position_ids=torch.full((3, width, 1), past + delta),
                               cache_position=torch.tensor([past])).logits
                return logits[:, -1:].argmax(-1)

            token = step(0)  # warms up
            begin = time.perf_counter()
            for i in range(1, args.steps + 1):
                token = step(i)
            result[f"decode {width}"] = width * args.steps / (time.perf_counter() - begin)
    result["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps(result))


def engine(args):
    folder, binary = pathlib.Path(args.folder), pathlib.Path(os.environ["BESTREEL_BIN"])
    out = folder / "out"
    out.mkdir(exist_ok=True)
    request = out / "request.json"
    request.write_text(json.dumps(dict(
        folder=str(folder), ids=json.loads((folder / "ids.json").read_text()), patches=str(folder / "patches"),
        grid=args.grid, steps=args.steps, widths=args.widths, dtype=args.dtype, seconds_per_grid=1.0,
        every_logit=False, repeat=1, threads=args.threads, int8=args.who == "int8", time_vision=True)))
    begin = time.perf_counter()
    subprocess.run([binary / "engine_dump", "forward", request, out], check=True)
    wall = time.perf_counter() - begin
    found = json.loads((out / "result.json").read_text())
    result = dict(load=found["load_seconds"], vision=found["vision_seconds"], prefill=min(found["prefill_seconds"]),
                  memory=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9, wall=wall)
    for width, rate in zip(args.widths, found["batch_tokens_per_second"]):
        result[f"decode {width}"] = rate
    print(json.dumps(result))


def read_bandwidth(args):
    done = subprocess.run([pathlib.Path(os.environ["BESTREEL_BIN"]) / "decode_bench", str(args.threads), "3", "5",
                           "none"], check=True, capture_output=True, text=True)
    return max(json.loads(line)["best"] for line in done.stdout.splitlines())


def rank(args, folder):
    """Seconds for 8 clips with reasons of 300 tokens."""
    clips = folder / "clips"
    clips.mkdir()
    # As many frames as the grid has, two a second.
    t, h, w = args.grid
    for i in range(8):
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s={w * 14}x{h * 14}:r=8", "-vf",
                        f"hue=h={40 * i}", "-frames:v", str(t * 8), "-pix_fmt", "yuv420p", clips / f"{i}.mp4"],
                       check=True)
    command = [pathlib.Path(os.environ["BESTREEL_BIN"]) / "bestreel", "rank", clips, "--prompt", "a test pattern",
               "--judge", folder, "--template", folder / "template.txt", "--rationale", "300", "--dtype", args.dtype,
               "--threads", str(args.threads), "--out", folder / "run", "--judge-slots", "8"]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"[bench] bestreel rank failed: {done.stderr or done.stdout}")
    return time.perf_counter() - begin


def table(args, rows, bandwidth, decode_bytes):
    names = {"reference": "transformers 4.53.3, bf16", "engine": f"engine, {args.dtype}", "int8": f"engine, {args.dtype}, int8"}
    whos = [who for who in names if rows.get(who)]

    def median(who, what):
        return statistics.median(row[what] for row in rows[who])

    print("| | " + " | ".join(names[who] for who in whos) + " |")
    print("|---" * (len(whos) + 1) + "|")
    for what, unit in (("load", "s"), ("vision", "s"), ("prefill", "s"), ("memory", "GB")):
        name = {"prefill": "prefill, vision included", "memory": "peak memory"}.get(what, what)
        print(f"| {name}, {unit} | " + " | ".join(f"{median(who, what):.1f}" for who in whos) + " |")
    first = " | ".join(f"{median(who, 'load') + median(who, 'prefill'):.1f}" for who in whos)
    print(f"| start to first token, s | {first} |")
    for width in args.widths:
        cells = []
        for who in whos:
            rate = median(who, f"decode {width}")
            used = rate / width * decode_bytes[who]
            cells.append(f"{rate:.2f} ({used / bandwidth / 1e9:.0%}"
                         + (f", {rate / median('reference', f'decode {width}'):.2f}x)" if rows.get("reference") else ")"))
        print(f"| decode at batch {width}, tokens/s (part of the read bandwidth, times the reference) | " +
              " | ".join(cells) + " |")
    print(f"read bandwidth, {args.threads} threads: {bandwidth:.1f} GB/s; a step reads "
          f"{decode_bytes['engine'] / 1e9:.2f} GB, {decode_bytes['int8'] / 1e9:.2f} GB in int8")
    if rows.get("reference"):
        one = median("reference", "prefill") + 320 / median("reference", f"decode {args.widths[0]}")
        print(f"8 clips with 300 tokens of reasons, reference one by one, estimated from its rates: {8 * one:.0f} s")


def main():
    root = pathlib.Path(__file__).parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", default=tempfile.gettempdir())
    parser.add_argument("--dtype", default="bf16", choices=("fp32", "bf16"), help="the engine's activations")
    parser.add_argument("--steps", type=int, default=16, help="decoded at each width")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--grid", default="2,26,46", help="patches in time, height, width: 598 video tokens")
    parser.add_argument("--widths", default="1,4,8,16")
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--rank", action="store_true")
    parser.add_argument("--no-int8", action="store_true")
    parser.add_argument("--no-reference", action="store_true")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tokenizer", default=root.parent / "shared/data/qwen2_5_tokenizer", type=pathlib.Path,
                        help="folder of Qwen2.5's own tokenizer.json")
    parser.add_argument("--who", default="")
    parser.add_argument("--folder", default="")
    args = parser.parse_args()
    args.grid = [int(x) for x in args.grid.split(",")]
    args.widths = [int(x) for x in args.widths.split(",")]
    os.environ.setdefault("BESTREEL_BIN", str(root / "build/release/bin"))
    if args.who:
        return reference(args) if args.who == "reference" else engine(args)

    CONFIG["num_hidden_layers"] = args.layers
    CONFIG["vision_config"]["depth"] = args.depth
    if not (args.tokenizer / "tokenizer.json").exists():
        raise SystemExit(f"[bench] SKIPPED: {args.tokenizer}/tokenizer.json is missing: pass --tokenizer FOLDER")
    need = sum(int(np.prod(shape)) for _, shape in shapes()) * (2 if args.no_int8 else 3) + 1e9
    if shutil.disk_usage(args.scratch).free < need:
        raise SystemExit(f"[bench] SKIPPED: {args.scratch} must have {need / 1e9:.0f} GB free: pass --scratch DIR")
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = pathlib.Path(scratch)
        size = write_checkpoint(folder, args.tokenizer)
        tokens = request_of(args, folder)
        print(f"weights {size / 1e9:.2f} GB bf16, {args.threads} threads, {int(np.prod(args.grid))} patches, "
              f"prompt {tokens} tokens", flush=True)
        whos = [who for who in ("reference", "engine", "int8")
                if not (args.no_reference and who == "reference") and not (args.no_int8 and who == "int8")]
        rows = {who: [] for who in whos}
        for _ in range(args.rounds):
            for who in whos:
                command = [sys.executable, __file__, "--who", who, "--folder", str(folder), "--threads",
                           str(args.threads), "--steps", str(args.steps), "--dtype", args.dtype,
                           "--grid", ",".join(map(str, args.grid)), "--widths", ",".join(map(str, args.widths))]
                if who == "int8" and not rows["int8"]:  # converts, which is not what is timed
                    begin = time.perf_counter()
                    subprocess.run([*command, "--steps", "1", "--widths", "1"], check=True, stdout=subprocess.DEVNULL)
                    print(f"first start with int8 weights, conversion included: {time.perf_counter() - begin:.0f} s")
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                rows[who].append(json.loads(done.stdout.strip().splitlines()[-1]))
                print(f"  {who}: {json.dumps({k: round(v, 2) for k, v in rows[who][-1].items()})}", flush=True)
        decoder = sum(int(np.prod(shape)) for name, shape in shapes()
                      if "visual" not in name and "embed_tokens" not in name)
        # int8: a byte a weight and four for each group of 128.
        table(args, rows, read_bandwidth(args), {"reference": 2 * decoder, "engine": 2 * decoder,
                                                 "int8": decoder * (1 + 4 / 128)})
        if args.rank:
            print(f"8 clips with 300 tokens of reasons, bestreel rank, measured: {rank(args, folder):.0f} s")


if __name__ == "__main__":
    main()
