"""Small random checkpoints of the real architecture, saved by the reference library itself."""

import json
import os
import pathlib
from dataclasses import dataclass, field

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2TokenizerFast,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

SYSTEM = "You are a helpful assistant."
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]
# The split pattern of the Qwen2 tokenizers.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
           r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXTS = [
    "\n<think>\nThe video is sharp and the motion is smooth.</think>\n\n(1) visual quality: 4\n"
    "(2) text-to-video alignment: 3\n(3) physical/common-sense consistency: 4\n",
    "You are an expert for evaluating AI-generated videos. Visual Quality: 5, score 3/5, good.",
    "A red circle moves left over a green background while the camera stays still.",
] * 4

# ChatML with Qwen's vision marks, as published with the models, written for these tests.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n" + SYSTEM +
    "<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'video' or 'video' in content %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


@dataclass
class Shape:
    """One checkpoint; the defaults are small and regular, each case bends a few of them."""

    name: str
    hidden: int = 64
    heads: int = 4
    kv_heads: int = 2
    layers: int = 3
    intermediate: int = 96
    sections: tuple = (2, 3, 3)
    v_hidden: int = 48
    v_heads: int = 3
    depth: int = 4
    v_intermediate: int = 68
    window: int = 112
    full: tuple = (1, 3)
    tokens_per_second: int = 2
    tied: bool = False
    dtype: str = "float32"
    shard: str = "5GB"
    flat: bool = False  # the layout of config.json before transformers 4.52
    grid: tuple = (2, 8, 8)
    rope_theta: float = 1e6
    repetition_penalty: float = 1.2
    max_positions: int = 16384
    seed: int = 0


def make_tokenizer():
    raw = Tokenizer(models.BPE())
    raw.normalizer = normalizers.NFC()
    raw.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=480, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    raw.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return Qwen2TokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>",
                              pad_token="<|endoftext|>", unk_token=None)


def save(shape: Shape, folder: pathlib.Path) -> pathlib.Path:
    tokenizer = make_tokenizer()
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=len(tokenizer) + 13, hidden_size=shape.hidden,
            intermediate_size=shape.intermediate, num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
            max_position_embeddings=shape.max_positions, rms_norm_eps=1e-6,
            rope_theta=shape.rope_theta, initializer_range=0.1, tie_word_embeddings=shape.tied,
            rope_scaling={"type": "mrope", "mrope_section": list(shape.sections)}),
        vision_config=dict(
            depth=shape.depth, hidden_size=shape.v_hidden, num_heads=shape.v_heads,
            intermediate_size=shape.v_intermediate, out_hidden_size=shape.hidden,
            window_size=shape.window, fullatt_block_indexes=list(shape.full),
            tokens_per_second=shape.tokens_per_second, initializer_range=0.1),
        image_token_id=token("<|image_pad|>"), video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"), tie_word_embeddings=shape.tied)
    torch.manual_seed(shape.seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    with torch.no_grad():  # norms and biases that could not be confused with their absence
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model = model.to(getattr(torch, shape.dtype))
    model.generation_config = GenerationConfig(
        repetition_penalty=shape.repetition_penalty, do_sample=True, temperature=1e-6,
        eos_token_id=[token("<|im_end|>"), token("<|endoftext|>")],
        pad_token_id=token("<|endoftext|>"))
    model.save_pretrained(folder, max_shard_size=shape.shard)
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(), tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(), chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    if shape.flat:
        path = folder / "config.json"
        flat = json.loads(path.read_text())
        text = flat.pop("text_config")
        text.pop("model_type")
        path.write_text(json.dumps({**text, **flat}))
    return folder


def processor(folder):
    return Qwen2_5_VLProcessor.from_pretrained(folder)


def reference(folder, dtype="float32"):
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, torch_dtype=getattr(torch, dtype)).eval()


def prompt_ids(tokenizer, grid, text="A red circle moves left. Score 1 to 5: 3"):
    """A question with as many video tokens as the grid has merged patches."""
    t, h, w = grid
    return tokenizer.encode(
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>"
        + "<|video_pad|>" * (t * h * w // 4)
        + f"<|vision_end|>{text}<|im_end|>\n<|im_start|>assistant\n")
