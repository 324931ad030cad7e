#!/usr/bin/env python3
"""Reference values of the small checkpoints, and shapes of the large ones: references.py OUT

Written where the pinned reference libraries are (tests/requirements.txt), carried in the bundle:
    judge.json, *.mkv      prompts, answers and digit distributions by transformers, greedy, fp32
    sampler.json, *.f32    latents after each step and frames by diffusers, fp32
    shapes.json            names and shapes of the tensors of Qwen2.5-VL-7B, Wan2.1-1.3B, its VAE and UMT5-XXL
"""

import json
import os
import pathlib
import re
import sys
import tempfile

os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

import models
from common import GENERATOR, JUDGE, PROMPT, ROOT

sys.path.insert(0, str(ROOT / "tests/parity/wan"))
LABELS = ("visual quality", "text-to-video alignment", "physical/common-sense consistency")
BUDGET = 200
STEPS = 8


def write_clip(path, seed):
    """A square that moves over noise, in lossless RGB: decoders differ by a level on anything else."""
    import av
    rng = np.random.default_rng(seed)
    frames = np.repeat(rng.integers(60, 196, (1, 64, 64, 3), np.uint8), 17, 0)
    for i, frame in enumerate(frames):
        frame[24:40, 2 * i:2 * i + 16] = rng.integers(0, 256, 3) if i == 0 else frames[0, 24, 0]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def judge_values(out):
    """What the reference writes about two clips, and the digits' distributions."""
    from qwen_vl_utils import process_vision_info
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
    clips = [write_clip(out / f"clip{seed}.mkv", seed) for seed in (0, 1)]
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(JUDGE, torch_dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(JUDGE)
    card = (JUDGE / "README.md").read_text()
    template = re.search(r'VS2_QUERY_TEMPLATE = Template\("""(.*?)"""\)', card, re.S).group(1)
    digits = torch.tensor([processor.tokenizer.convert_tokens_to_ids(str(d)) for d in range(1, 6)])
    videos = []
    for clip in clips:
        conversation = [{"role": "user", "content": [
            {"type": "video", "video": str(clip), "fps": 2.0},
            {"type": "text", "text": template.replace("$t2v_prompt", PROMPT)}]}]
        text = processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        # Its default of 14 is the large model's.
        _, frames = process_vision_info(conversation, image_patch_size=processor.video_processor.patch_size)
        inputs = processor(text=[text], videos=frames, fps=2.0, return_tensors="pt")
        with torch.no_grad():
            done = model.generate(**inputs, max_new_tokens=BUDGET, do_sample=False, output_logits=True,
                                  return_dict_in_generate=True)
        written = done.sequences[0, inputs["input_ids"].shape[1]:]
        pieces = [processor.tokenizer.decode(written[:i + 1]) for i in range(len(written))]
        probabilities = []
        for label in LABELS:
            at = next(i for i, piece in enumerate(pieces) if re.search(re.escape(label) + r"\s*:\s*\d$", piece))
            probabilities.append(done.logits[at][0][digits].float().softmax(-1).tolist())
        videos.append(dict(video=clip.name, prompt=PROMPT, prompt_tokens=inputs["input_ids"][0].tolist(),
                           output_tokens=written.tolist(), probabilities=probabilities))
    (out / "judge.json").write_text(json.dumps(dict(budget=BUDGET, videos=videos)))


def sampler_values(out):
    """Latents after each step and the frames of one prompt, in fp32."""
    import checkpoints
    import test_pipeline
    shape = checkpoints.Shape("shipped", width=64, height=64, frames=17, guidance=3.0, prompt=PROMPT, negative="")
    test_pipeline.STEPS = STEPS
    seen = test_pipeline.reference(shape, GENERATOR)
    torch.stack(seen["latents"]).numpy().astype(np.float32).tofile(out / "latents.f32")
    np.ascontiguousarray(seen["frames"].transpose(0, 3, 1, 2)).tofile(out / "frames.u8")
    (out / "sampler.json").write_text(json.dumps(dict(request=dict(
        prompt=PROMPT, negative="", seed=test_pipeline.SEED, width=64, height=64, frames=17, steps=STEPS, guidance=3.0))))


def tensors(model, rename=lambda name: name, skip=()):
    return [[rename(name), list(tensor.shape)] for name, tensor in model.state_dict().items() if name not in skip]


def shapes_of(judge, generator):
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, UMT5Config, UMT5EncoderModel

    def hub(name):
        return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")

    text = json.loads((generator / "text_encoder/config.json").read_text())
    quick = dict(num_layers=1, vocab_size=json.loads((GENERATOR / "text_encoder/config.json").read_text())["vocab_size"])
    tied = ("encoder.embed_tokens.weight",)
    with torch.device("meta"):
        return dict(
            judge=tensors(Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_pretrained(judge)), hub),
            transformer=tensors(WanTransformer3DModel.from_config(WanTransformer3DModel.load_config(generator / "transformer"))),
            vae=tensors(AutoencoderKLWan.from_config(AutoencoderKLWan.load_config(generator / "vae"))),
            text_encoder=tensors(UMT5EncoderModel(UMT5Config(**text)), skip=tied),
            quick_text=tensors(UMT5EncoderModel(UMT5Config(**(text | quick))), skip=tied), quick_text_config=quick)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    judge_values(out)
    sampler_values(out)
    shapes = {}
    for kind in ("full", "toy"):
        with tempfile.TemporaryDirectory() as scratch:
            shapes[kind] = shapes_of(*models.configs(pathlib.Path(scratch), kind == "toy"))
    (out / "shapes.json").write_text(json.dumps(shapes))


if __name__ == "__main__":
    main()
