"""Best-of-n as it is scripted today: diffusers in a loop, files, then the judge in transformers.

Called by sampler_bench.py with the options of `bestreel generate`. Prints one line of JSON: seconds of
the loops (imports and loading not counted), and the winner.
"""

import argparse
import json
import os
import pathlib
import re
import time

os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"

import av
import numpy as np
import torch
from diffusers import WanPipeline
from qwen_vl_utils import process_vision_info
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

LABELS = ("visual quality", "text-to-video alignment", "physical/common-sense consistency")


def write_mp4(frames, path, fps):
    """(F, H, W, 3) in 0..1, as diffusers' export_to_video quantises them (it needs imageio-ffmpeg itself)."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "18"}
        for frame in (frames * 255).astype(np.uint8):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return path


def judge(model, processor, template, clip, prompt):
    """The mean soft score: each digit times its share of the five digits' probability."""
    conversation = [{"role": "user", "content": [
        {"type": "video", "video": str(clip), "fps": 2.0},
        {"type": "text", "text": template.replace("$t2v_prompt", prompt)}]}]
    text = processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    _, videos = process_vision_info(conversation)
    inputs = processor(text=[text], videos=videos, fps=2.0, return_tensors="pt")
    done = model.generate(**inputs, max_new_tokens=1024, do_sample=False, output_scores=True,
                          return_dict_in_generate=True)
    written = done.sequences[0, inputs["input_ids"].shape[1]:]
    digits = torch.tensor([processor.tokenizer.convert_tokens_to_ids(str(d)) for d in range(1, 6)])
    pieces = [processor.tokenizer.decode(written[:i + 1]) for i in range(len(written))]
    found = []
    for label in LABELS:
        for i, piece in enumerate(pieces):
            if re.search(re.escape(label) + r"\s*:\s*\d$", piece):
                shares = torch.softmax(done.scores[i][0][digits].float(), 0)
                found.append(float((shares * torch.arange(1, 6)).sum()))
                break
    return float(np.mean(found)) if len(found) == 3 else float("-inf")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--model", "--judge", "--prompt", "--size", "--out"):
        parser.add_argument(name, required=True)
    for name in ("-n", "--steps", "--frames", "--fps", "--seed", "--threads"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--guidance", type=float, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True)
    width, height = map(int, args.size.split("x"))

    pipe = WanPipeline.from_pretrained(args.model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(args.judge, torch_dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(args.judge)
    card = (pathlib.Path(args.judge) / "README.md").read_text()
    template = re.search(r'VS2_QUERY_TEMPLATE = Template\("""(.*?)"""\)', card, re.S).group(1)

    begin = time.perf_counter()
    clips = []
    with torch.no_grad():
        for k in range(args.n):
            frames = pipe(prompt=args.prompt, negative_prompt="", width=width, height=height, num_frames=args.frames,
                          num_inference_steps=args.steps, guidance_scale=args.guidance,
                          generator=torch.Generator("cpu").manual_seed(args.seed + k)).frames[0]
            clips.append(write_mp4(frames, out / f"c{k:03}.mp4", args.fps))
        made = time.perf_counter() - begin
        rewards = [judge(model, processor, template, clip, args.prompt) for clip in clips]
    seconds = time.perf_counter() - begin
    best = int(np.argmax(rewards))
    print(json.dumps(dict(loops=seconds, trajectory=made, judging=seconds - made, winner=f"c{best:03}", rewards=rewards)))


if __name__ == "__main__":
    main()
