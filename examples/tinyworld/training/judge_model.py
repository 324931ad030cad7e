"""The small judge: transformers' Qwen2.5-VL class, its tokenizer, its folder, and a fast forward.

transformers computes each temporal patch of each clip in a call of its own; with hundreds of small clips
that is most of the time. `Fast` computes the same with the same weights, many clips at once; a test holds
the two together.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.nn import functional as F
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2TokenizerFast,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

SYSTEM = "Judge."
QUERY = "Asked: $t2v_prompt"  # the query template of the model card
LABELS = (
    "\n\n(1) visual quality: ",
    "\n(2) text-to-video alignment: ",
    "\n(3) physical/common-sense consistency: ",
)
DIMENSIONS = ("visual_quality", "text_alignment", "physical_consistency")
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
# The split pattern of the Qwen2 tokenizers.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# ChatML with Qwen's vision marks.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n" + SYSTEM + "<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'video' or 'video' in content %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

PATCH, MERGE, TEMPORAL = 8, 2, 2
SIDE, LOOKED = 64, 8  # pixels and frames after the processor
GRID = (LOOKED // TEMPORAL, SIDE // PATCH, SIDE // PATCH)
VIDEO_TOKENS = GRID[0] * GRID[1] * GRID[2] // MERGE**2


def make_tokenizer(words: list[str], texts: list[str]) -> Qwen2TokenizerFast:
    """Byte-level BPE in which every word of `words` is one token, with and without a space before it.

    The marks of the answer are tokens of their own, so that an answer is the rationale and six tokens.
    """
    raw = Tokenizer(models.BPE())
    raw.normalizer = normalizers.NFC()
    raw.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    raw.decoder = decoders.ByteLevel()
    # Every distinct piece is seen often enough to be merged into one token before rare letter pairs are.
    pieces = [" " + w for w in words] + words + ["system", "user", "assistant", "\n", " ", SYSTEM]
    corpus = [piece for piece in pieces for _ in range(20)] + list(texts)
    raw.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=4096, min_frequency=15, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    raw.add_tokens([AddedToken(t, special=False, normalized=False) for t in ("<think>", "</think>", *LABELS)])
    raw.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return Qwen2TokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None)


def make_model(tokenizer, settings: dict) -> Qwen2_5_VLForConditionalGeneration:
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=-(-len(tokenizer) // 16) * 16, rms_norm_eps=1e-6, rope_theta=1e4,
            max_position_embeddings=2048, tie_word_embeddings=False, hidden_act="silu",
            rope_scaling={"type": "mrope", "mrope_section": settings["mrope_section"]}, **settings["text"]),
        vision_config=dict(
            patch_size=PATCH, spatial_merge_size=MERGE, temporal_patch_size=TEMPORAL, tokens_per_second=2,
            window_size=112, fullatt_block_indexes=list(range(settings["vision"]["depth"])),
            out_hidden_size=settings["text"]["hidden_size"], **settings["vision"]),
        image_token_id=token("<|image_pad|>"), video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"), vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=False)
    model = Qwen2_5_VLForConditionalGeneration(config)
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2 and "embed_tokens" not in name:
            flat = parameter.data.view(parameter.shape[0], -1)
            torch.nn.init.xavier_uniform_(flat)
    model.generation_config = GenerationConfig(
        do_sample=False, repetition_penalty=1.0,
        eos_token_id=[token("<|im_end|>"), token("<|endoftext|>")], pad_token_id=token("<|endoftext|>"))
    return model


def save_folder(model, tokenizer, folder: Path) -> None:
    """As transformers saves a checkpoint, weights in bfloat16; the model card is written by the caller."""
    half = Qwen2_5_VLForConditionalGeneration(model.config)
    half.load_state_dict(model.state_dict())
    half.generation_config = model.generation_config
    half.to(torch.bfloat16).save_pretrained(folder)
    # One size for every clip: qwen-vl-utils enlarges small frames, this brings them back.
    sizes = dict(
        min_pixels=SIDE * SIDE, max_pixels=SIDE * SIDE, patch_size=PATCH, merge_size=MERGE,
        temporal_patch_size=TEMPORAL, size={"shortest_edge": SIDE * SIDE, "longest_edge": SIDE * SIDE})
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes), tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**sizes), chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    for path in Path(folder).iterdir():
        path.chmod(0o644)


def prompt_ids(tokenizer, prompt: str) -> tuple[list[int], list[int]]:
    """Token ids before and after the video."""
    before = tokenizer.encode(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>")
    query = tokenizer.encode(QUERY.replace("$t2v_prompt", prompt), split_special_tokens=True)
    after = tokenizer.encode("<|vision_end|>") + query
    return before, after + tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n")


def rms(x, weight):
    y = x.float()
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)
    return y.to(x.dtype) * weight


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Fast:
    """The forward of a Qwen2_5_VLForConditionalGeneration on many clips of one size at once.

    Weights are read at each `begin`, cast to `dtype`; gradients reach the model's own parameters.
    """

    def __init__(self, model, tokenizer, dtype=torch.float32, length=512):
        self.model, self.dtype = model, dtype
        config = model.config
        self.text, self.vision = config.text_config, config.vision_config
        self.before = len(prompt_ids(tokenizer, "a")[0])
        self._rotary(length)
        self.begin()

    def begin(self):
        self.p = {name: value.to(self.dtype) for name, value in self.model.named_parameters()}

    def _rotary(self, length):
        device = next(self.model.parameters()).device
        grid = torch.tensor([GRID], device=device)
        angles = self.model.model.visual.rot_pos_emb(grid)[: GRID[1] * GRID[2]]
        angles = torch.cat((angles, angles), -1)
        self.v_cos, self.v_sin = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        ids = torch.full((1, length), 0, device=device)
        ids[:, self.before - 1] = self.model.config.vision_start_token_id
        ids[:, self.before : self.before + VIDEO_TOKENS] = self.model.config.video_token_id
        seconds = torch.tensor([float(TEMPORAL) / 2.0], device=device)
        positions, _ = self.model.model.get_rope_index(ids, video_grid_thw=grid, second_per_grid_ts=seconds)
        dummy = torch.zeros(1, 1, 1, device=device)
        cos, sin = self.model.model.language_model.rotary_emb(dummy, positions)
        sections = self.text.rope_scaling["mrope_section"] * 2
        mix = [
            torch.cat([part[i % 3] for i, part in enumerate(x.split(sections, -1))], -1)[0] for x in (cos, sin)
        ]
        self.cos, self.sin = mix[0].to(self.dtype), mix[1].to(self.dtype)
        self.mask = torch.full((length, length), float("-inf"), device=device).triu(1).to(self.dtype)

    def see(self, patches):
        """patches (B, t, h*w, 3*2*8*8) -> (B, video tokens, hidden)."""
        p, count, heads = self.p, patches.shape[0], self.vision.num_heads
        patches = patches.flatten(0, 1).to(self.dtype)
        x = F.linear(patches, p["model.visual.patch_embed.proj.weight"].flatten(1))
        for i in range(self.vision.depth):
            b = f"model.visual.blocks.{i}."
            y = rms(x, p[b + "norm1.weight"])
            qkv = F.linear(y, p[b + "attn.qkv.weight"], p[b + "attn.qkv.bias"])
            qkv = qkv.view(*qkv.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
            q, k = rotate(qkv[:2], self.v_cos, self.v_sin)
            y = attend(q, k, qkv[2], None)
            x = x + F.linear(y, p[b + "attn.proj.weight"], p[b + "attn.proj.bias"])
            y = rms(x, p[b + "norm2.weight"])
            gate = F.linear(y, p[b + "mlp.gate_proj.weight"], p[b + "mlp.gate_proj.bias"])
            up = F.linear(y, p[b + "mlp.up_proj.weight"], p[b + "mlp.up_proj.bias"])
            x = x + F.linear(F.silu(gate) * up, p[b + "mlp.down_proj.weight"], p[b + "mlp.down_proj.bias"])
        m = "model.visual.merger."
        x = rms(x, p[m + "ln_q.weight"]).reshape(count, VIDEO_TOKENS, -1)
        x = F.gelu(F.linear(x, p[m + "mlp.0.weight"], p[m + "mlp.0.bias"]))
        return F.linear(x, p[m + "mlp.2.weight"], p[m + "mlp.2.bias"])

    def embed(self, ids):
        return F.embedding(ids, self.p["model.language_model.embed_tokens.weight"])

    def think(self, x, cache=None, places=None, mask=None):
        """x (B, L, hidden) -> hidden states, causal from place 0.

        `cache` is a list that grows by layer; with it, one further token per row at `places` (B) and an
        additive `mask` (B, 1, 1, keys).
        """
        p, size = self.p, x.shape[1]
        heads, groups = self.text.num_attention_heads, self.text.num_key_value_heads
        if places is None:
            cos, sin, mask = self.cos[:size], self.sin[:size], self.mask[:size, :size]
        else:
            cos, sin = (z[places][:, None, None] for z in (self.cos, self.sin))
        for i in range(self.text.num_hidden_layers):
            b = f"model.language_model.layers.{i}."
            y = rms(x, p[b + "input_layernorm.weight"])
            names = [f"{b}self_attn.{n}_proj." for n in "qkv"]
            weight = torch.cat([p[n + "weight"] for n in names])
            qkv = F.linear(y, weight, torch.cat([p[n + "bias"] for n in names]))
            qkv = qkv.view(*qkv.shape[:2], heads + 2 * groups, -1).transpose(1, 2)
            qk = rotate(qkv[:, : heads + groups], cos, sin)
            q, k, v = qk[:, :heads], qk[:, heads:], qkv[:, heads + groups :]
            if cache is not None:
                if len(cache) > i:
                    k, v = torch.cat((cache[i][0], k), 2), torch.cat((cache[i][1], v), 2)
                    cache[i] = (k, v)
                else:
                    cache.append((k, v))
            k, v = (z.repeat_interleave(heads // groups, 1) for z in (k, v))
            x = x + F.linear(attend(q, k, v, mask), p[b + "self_attn.o_proj.weight"])
            y = rms(x, p[b + "post_attention_layernorm.weight"])
            gate = F.linear(y, p[b + "mlp.gate_proj.weight"])
            y = F.silu(gate) * F.linear(y, p[b + "mlp.up_proj.weight"])
            x = x + F.linear(y, p[b + "mlp.down_proj.weight"])
        return rms(x, p["model.language_model.norm.weight"])

    def logits(self, hidden):
        return F.linear(hidden, self.p["lm_head.weight"]).float()

    def place(self, ids, seen):
        """Embeddings of ids (B, L) with what was seen in the video's place."""
        x = self.embed(ids)
        return torch.cat((x[:, : self.before], seen, x[:, self.before + VIDEO_TOKENS :]), 1)


@torch.no_grad()
def write(fast: Fast, patches, questions: list[list[int]], end: set[int], limit=110) -> list[list[int]]:
    """Greedy answers, up to a token of `end`, for many clips at once."""
    lengths = torch.tensor([len(q) for q in questions])
    most, count = int(lengths.max()), len(questions)
    ids = torch.zeros(count, most, dtype=torch.long)
    for row, question in zip(ids, questions):
        row[: len(question)] = torch.tensor(question)
    cache: list = []
    hidden = fast.think(fast.place(ids, fast.see(patches)), cache)
    token = fast.logits(hidden[torch.arange(count), lengths - 1]).argmax(-1)
    beyond = torch.arange(most)[None] >= lengths[:, None]
    mask = torch.zeros(count, most).masked_fill(beyond, float("-inf")).view(count, 1, 1, most).to(fast.dtype)
    tokens, open_ = [token], torch.ones(count, dtype=torch.bool)
    for step in range(limit):
        open_ &= ~torch.isin(token, torch.tensor(sorted(end)))
        if not open_.any():
            break
        mask = torch.cat((mask, torch.zeros(count, 1, 1, 1, dtype=mask.dtype)), -1)
        hidden = fast.think(fast.embed(token[:, None]), cache, lengths + step, mask)
        token = fast.logits(hidden[:, 0]).argmax(-1)
        tokens.append(token)
    answers = []
    for row in torch.stack(tokens, 1).tolist():
        cut = next((i for i, t in enumerate(row) if t in end), len(row))
        answers.append(row[:cut])
    return answers


def attend(q, k, v, mask):
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
