#!/usr/bin/env python3
"""The judge's work by transformers, on the same weights and device: judge_reference.py REQUEST.json"""

import copy
import json
import statistics
import sys
import time

import torch
import transformers
from transformers import Qwen2_5_VLForConditionalGeneration


def tell(name, value, unit):
    print(json.dumps(dict(name=name, value=value, unit=unit)), flush=True)


@torch.inference_mode()
def main():
    request = json.loads(open(sys.argv[1]).read())
    torch.set_num_threads(request["threads"])
    device = torch.device(request["device"])
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)

    def timed(name, work):
        seconds = []
        for _ in range(request["rounds"] + 1):
            wait()
            begin = time.perf_counter()
            result = work()
            wait()
            seconds.append(time.perf_counter() - begin)
        tell(name + ", first call", seconds[0], "s")
        tell(name, statistics.median(seconds[1:]), "s")
        return result

    begin = time.perf_counter()
    since_5 = int(transformers.__version__.split(".")[0]) >= 5
    dtype = "dtype" if since_5 else "torch_dtype"
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        request["folder"], attn_implementation="sdpa", **{dtype: torch.bfloat16}).eval().to(device)
    wait()
    tell("load", time.perf_counter() - begin, "s")
    config = model.config
    grid = torch.tensor([request["grid"]], device=device)
    vision = config.vision_config
    count = int(grid.prod())
    ids = [5] * 30 + [config.video_token_id] * (count // vision.spatial_merge_size ** 2) + [7] * 20
    ids = torch.tensor([ids], device=device)
    patches = torch.randn(count, 3 * vision.temporal_patch_size * vision.patch_size ** 2, device=device,
                          dtype=torch.bfloat16)
    inner = model.model
    timed("vision tower", lambda: inner.visual(patches, grid_thw=grid))
    length = ids.shape[1]
    asked = dict(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values_videos=patches, video_grid_thw=grid,
                 second_per_grid_ts=torch.tensor([1.0], device=device), use_cache=True, logits_to_keep=1)
    if since_5:  # which ids are of the video is the caller's to say
        asked["mm_token_type_ids"] = torch.where(ids == config.video_token_id, 2, 0)
    out = timed("prefill, vision tower included", lambda: model(**asked))
    delta = int(inner.rope_deltas)
    for width in request["widths"]:
        cache = copy.deepcopy(out.past_key_values)
        cache.batch_repeat_interleave(width)
        token = torch.full((width, 1), 5, device=device)

        def step(i, token):
            past = length + i
            logits = model(input_ids=token, past_key_values=cache, use_cache=True,
                           attention_mask=torch.ones(width, past + 1, dtype=torch.long, device=device),
                           position_ids=torch.full((3, width, 1), past + delta, device=device),
                           cache_position=torch.tensor([past], device=device)).logits
            return logits[:, -1:].argmax(-1)

        token = step(0, token)
        token.cpu()
        begin = time.perf_counter()
        for i in range(1, request["steps"] + 1):
            token = step(i, token)
            token.cpu()  # whether the answer has ended is asked after each token
        seconds = time.perf_counter() - begin
        name = f"decode, batch {width}"
        tell(name + ", a step with its token", 1e3 * seconds / request["steps"], "ms")
        tell(name, width * request["steps"] / seconds, "tokens/s")


if __name__ == "__main__":
    main()
