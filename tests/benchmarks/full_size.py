#!/usr/bin/env python3
"""The VideoScore2 engine at full size: Qwen2.5-VL-7B's geometry with random bf16 weights (16.6 GB).

    ./run bench full-size [--scratch DIR] [--dtype fp32|bf16] [--tokens 32]

Writes the checkpoint to a scratch folder that it deletes, judges one 480x832 clip of 81 frames at
16 per second (10 frames seen, 2,550 video tokens) without and with a rationale, and prints time and
peak memory. Random weights cost what real ones cost; their scores mean nothing.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import struct
import subprocess
import sys
import tempfile

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


def score(program, folder, clip, rationale, arguments):
    command = [program, "score", clip, "--prompt", "a test pattern", "--judge", folder, "--json",
               "--template", folder / "template.txt", "--rationale", str(rationale),
               "--dtype", arguments.dtype, "--threads", str(arguments.threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"[bench] bestreel score failed: {done.stderr or done.stdout}")
    return json.loads(done.stdout)


def main():
    root = pathlib.Path(__file__).parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", default=tempfile.gettempdir())
    parser.add_argument("--dtype", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tokenizer", default=root.parent / "shared/data/qwen2_5_tokenizer", type=pathlib.Path,
                        help="folder of Qwen2.5's own tokenizer.json")
    arguments = parser.parse_args()
    if not (arguments.tokenizer / "tokenizer.json").exists():
        raise SystemExit(f"[bench] SKIPPED: {arguments.tokenizer}/tokenizer.json is missing: pass --tokenizer FOLDER")
    if shutil.disk_usage(arguments.scratch).free < 20e9:
        raise SystemExit(f"[bench] SKIPPED: {arguments.scratch} has less than 20 GB free: pass --scratch DIR")
    program = pathlib.Path(os.environ["BESTREEL_BIN"]) / "bestreel"
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = pathlib.Path(scratch)
        size = write_checkpoint(folder, arguments.tokenizer)
        clip = folder / "clip.mp4"
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=832x480:r=16", "-frames:v", "81",
                        "-pix_fmt", "yuv420p", clip], check=True)
        short = score(program, folder, clip, "none", arguments)
        long = score(program, folder, clip, arguments.tokens, arguments)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
        more = len(long["output_tokens"]) - len(short["output_tokens"])
        per_token = (long["seconds"] - short["seconds"]) / more
        print(f"weights {size / 1e9:.2f} GB bf16, activations {arguments.dtype}, {arguments.threads} threads")
        print(f"grid {short['grid_thw']}, prompt {len(short['prompt_tokens'])} tokens")
        print(f"scores without a rationale: {short['seconds']:.1f} s ({len(short['output_tokens'])} forced tokens)")
        print(f"each further token: {per_token:.2f} s")
        print(f"peak resident memory, mapped weights included: {peak:.1f} GiB")


if __name__ == "__main__":
    main()
