"""The parts of a small diffusers WanPipeline, and ways to run them that are fast enough to train on a CPU.

Both shortcuts give what diffusers' own forward gives (train.py checks it before training):
- the VAE works on a whole clip at once instead of frame by frame with a feature cache;
- the text is not padded to 512: all pads are the same zero vector, so one key with the bias
  log(number of pads) stands for them.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from diffusers.models.autoencoders import autoencoder_kl_wan as wan_vae
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

TEXT_LENGTH = 512  # WanPipeline pads every prompt to this, and its cross-attention sees the pads
NEGATIVE = ""

# ---------------------------------------------------------------- VAE

_cached_resample = wan_vae.WanResample.forward


def _whole_clip_resample(self, x, feat_cache=None, feat_idx=[0]):  # noqa: B006 - diffusers' signature
    if feat_cache is not None:
        return _cached_resample(self, x, feat_cache, feat_idx)
    if self.mode == "upsample3d" and x.shape[2] > 1:
        first, rest = x[:, :, :1], x[:, :, 1:]  # the first frame stays one frame, and is not seen by the others
        b, c, t, h, w = rest.shape
        rest = self.time_conv(rest).reshape(b, 2, c, t, h, w)
        x = torch.cat([first, torch.stack((rest[:, 0], rest[:, 1]), 3).reshape(b, c, 2 * t, h, w)], 2)
    b, c, t, h, w = x.shape
    x = self.resample(x.permute(0, 2, 1, 3, 4).reshape(b * t, c, h, w))
    x = x.view(b, t, *x.shape[1:]).permute(0, 2, 1, 3, 4)
    if self.mode == "downsample3d" and t > 1:
        x = torch.cat([x[:, :, :1], self.time_conv(x)], 2)
    return x


wan_vae.WanResample.forward = _whole_clip_resample


def build_vae(settings: dict) -> AutoencoderKLWan:
    patch = settings.get("patch_size")
    channels = 3 * patch * patch if patch else 3
    return AutoencoderKLWan(**settings, in_channels=channels, out_channels=channels)


def encode_moments(vae, clips):
    """(b, 3, 1 + 4k, h, w) in -1..1 -> mean and log variance, each (b, 16, 1 + k, h / 8, w / 8)."""
    patch = vae.config.patch_size or 1
    moments = vae.quant_conv(vae.encoder(wan_vae.patchify(clips, patch)))
    mean, log_variance = moments.chunk(2, dim=1)
    return mean, log_variance.clamp(-30, 20)


def decode_clips(vae, latents):
    """The inverse, not clamped; latents are not normalised."""
    patch = vae.config.patch_size or 1
    return wan_vae.unpatchify(vae.decoder(vae.post_quant_conv(latents)), patch)


@torch.no_grad()
def check_whole_clip(vae) -> None:
    clips = torch.rand(1, 3, 17, 64, 64) * 2 - 1
    mean, _ = encode_moments(vae, clips)
    for name, ours, theirs in (
        ("encode", mean, vae.encode(clips).latent_dist.mean),
        ("decode", decode_clips(vae, mean).clamp(-1, 1), vae.decode(mean).sample),
    ):
        if not torch.allclose(ours, theirs, atol=1e-3, rtol=1e-3):
            raise RuntimeError(f"whole-clip {name} differs from diffusers by {(ours - theirs).abs().max():.3g}")


# ---------------------------------------------------------------- text


def unigram_pieces(words: list[str]) -> list[tuple[str, float]]:
    """By hand: whole words, and characters for all else. T5's ids: pad 0, end 1, unknown 2."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -4.0)]
    pieces += [("\u2581" + word, -2.0) for word in sorted(set(words))]
    return pieces + [(chr(code), -8.0) for code in range(33, 127)]


def build_tokenizer(words: list[str]) -> T5TokenizerFast:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    pieces = unigram_pieces(words)
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0, model_max_length=TEXT_LENGTH)


def sentencepiece_model(pieces: list[tuple[str, float]]) -> bytes:
    """The same pieces as a spiece.model (sentencepiece_model.proto, written field by field)."""

    def varint(value: int) -> bytes:
        out = b""
        value &= (1 << 64) - 1
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    def number(field: int, value: int) -> bytes:
        return varint(field << 3) + varint(value)

    def block(field: int, value: bytes) -> bytes:
        return varint(field << 3 | 2) + varint(len(value)) + value

    normal, unknown, control = 1, 2, 3
    kinds = {"<pad>": control, "</s>": control, "<unk>": unknown}
    out = b""
    for piece, score in pieces:
        entry = block(1, piece.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score)
        out += block(1, entry + number(3, kinds.get(piece, normal)))
    unigram = number(3, 1) + number(4, len(pieces))
    ids = number(40, 2) + number(41, -1) + number(42, 1) + number(43, 0)  # unknown, begin (none), end, pad
    normalizer = block(1, b"identity") + number(3, 1) + number(4, 1) + number(5, 1)
    return out + block(2, unigram + ids) + block(3, normalizer)


def save_tokenizer(tokenizer, folder: Path) -> None:
    """save_pretrained with a spiece.model, without the key that makes transformers rebuild the tokenizer from it."""
    tokenizer.save_pretrained(folder)
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    (folder / "spiece.model").write_bytes(sentencepiece_model([tuple(piece) for piece in vocabulary]))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("add_prefix_space", None)
    path.write_text(json.dumps(config, indent=2) + "\n")


def build_text_encoder(settings: dict, vocabulary: int) -> UMT5EncoderModel:
    # feed_forward_proj "gated-gelu" is what umT5 has; initializer_factor keeps the outputs near 1.
    return UMT5EncoderModel(UMT5Config(**settings, vocab_size=vocabulary, dropout_rate=0.0, use_cache=False))


def embed_prompts(tokenizer, text_encoder, prompts: list[str]):
    """(b, longest + 1, d): the encoder's outputs, zero past each prompt's end; the last row is the one pad that
    stands for all further ones. The second value is that row's weight as an attention bias."""
    tokens = tokenizer(prompts, padding=True, return_tensors="pt")
    mask = tokens.attention_mask
    hidden = text_encoder(tokens.input_ids, attention_mask=mask).last_hidden_state
    hidden = hidden * mask[..., None]
    hidden = torch.cat([hidden, hidden.new_zeros(len(prompts), 1, hidden.shape[2])], 1)
    return hidden, math.log(TEXT_LENGTH - mask.shape[1])


# ---------------------------------------------------------------- transformer


class PlainAttention:
    """WanAttnProcessor with plain matrix products (faster to train than SDPA on a CPU) and the pads' bias."""

    pad_bias = None  # of the last key in cross-attention; None: the text comes with all its pads

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):
        cross = encoder_hidden_states is not None
        source = encoder_hidden_states if cross else hidden_states
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        key = attn.norm_k(attn.to_k(source)).unflatten(2, (attn.heads, -1))
        value = attn.to_v(source).unflatten(2, (attn.heads, -1)).transpose(1, 2)
        if rotary_emb is not None:
            query, key = rotate(query, *rotary_emb), rotate(key, *rotary_emb)
        query, key = query.transpose(1, 2).to(value.dtype), key.transpose(1, 2).to(value.dtype)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        if cross and self.pad_bias is not None:
            bias = scores.new_zeros(scores.shape[-1])
            bias[-1] = self.pad_bias
            scores = scores + bias
        out = scores.float().softmax(-1).to(value.dtype) @ value
        return attn.to_out[0](out.transpose(1, 2).flatten(2, 3))


def rotate(x, cos, sin):
    cos, sin = cos[..., 0::2].to(x.dtype), sin[..., 1::2].to(x.dtype)
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def build_transformer(settings: dict) -> WanTransformer3DModel:
    head = settings["attention_head_dim"]
    if (head // 3) % 2:
        # diffusers cuts its rotary table at d // 3 but fills it by 2 * (d // 6): only equal for some d.
        raise ValueError(f"attention_head_dim {head}: a third of it, rounded down, must be even (32, 48, 128)")
    model = WanTransformer3DModel(**settings)
    embedder = model.condition_embedder
    with torch.no_grad():
        for linear in (embedder.time_proj, embedder.text_embedder.linear_1, embedder.text_embedder.linear_2):
            torch.nn.init.normal_(linear.weight, std=0.02 if linear is embedder.time_proj else 0.06)
            torch.nn.init.zeros_(linear.bias)
        torch.nn.init.zeros_(model.proj_out.weight)
        torch.nn.init.zeros_(model.proj_out.bias)
        for block in model.blocks:
            block.scale_shift_table.mul_(0.3)
            block.scale_shift_table[:, 2::3] += 0.3  # the gates: not shut at the start
    return model


def use_plain_attention(model) -> PlainAttention:
    processor = PlainAttention()
    for block in model.blocks:
        block.attn1.processor = block.attn2.processor = processor
    model.patch_embedding.register_forward_hook(_as_float)
    return processor


def _as_float(module, inputs, output):
    """Under autocast the first layer's output, and with it all the residual sums, would be bfloat16."""
    return output.float()


def restore_attention(model) -> None:
    """diffusers' own attention again."""
    model.patch_embedding._forward_hooks.clear()
    for block in model.blocks:
        block.attn1.processor = block.attn2.processor = block.attn1._default_processor_cls()


@torch.no_grad()
def check_compact_text(model, tokenizer, text_encoder, prompts) -> None:
    """One pad with a bias against 512 - n pads through diffusers' own attention."""
    latents, time = torch.randn(len(prompts), 16, 5, 8, 8), torch.full((len(prompts),), 500.0)
    # proj_out starts at zero, where all would agree.
    kept = model.proj_out.weight.clone()
    torch.nn.init.normal_(model.proj_out.weight, std=0.05)
    text, bias = embed_prompts(tokenizer, text_encoder, prompts)
    processor = use_plain_attention(model)
    processor.pad_bias = bias
    ours = model(latents, time, text).sample
    padded = torch.cat([text, text.new_zeros(len(prompts), TEXT_LENGTH - text.shape[1], text.shape[2])], 1)
    restore_attention(model)
    theirs = model(latents, time, padded).sample
    model.proj_out.weight.copy_(kept)
    if not torch.allclose(ours, theirs, atol=1e-3, rtol=1e-3):
        raise RuntimeError(f"compact text differs from diffusers by {(ours - theirs).abs().max():.3g}")


def build_scheduler(flow_shift: float) -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        num_train_timesteps=1000,
        flow_shift=flow_shift,
        solver_order=2,
        final_sigmas_type="zero",
        timestep_spacing="linspace",
    )


def count(*modules) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())
