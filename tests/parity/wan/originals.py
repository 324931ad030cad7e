"""Our state dicts under the names of other tools: the original code's, and llama.cpp's."""

import re

DENOISER = [("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
            ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
            ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
            ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
            ("condition_embedder.time_proj", "time_projection.1"), ("attn1.to_out.0", "self_attn.o"),
            ("attn2.to_out.0", "cross_attn.o"), ("attn1.to_", "self_attn."), ("attn2.to_", "cross_attn."),
            ("attn1.", "self_attn."), ("attn2.", "cross_attn."), ("ffn.net.0.proj", "ffn.0"),
            ("ffn.net.2", "ffn.2"), (".norm2.", ".norm3."), ("proj_out", "head.head"),
            (".scale_shift_table", ".modulation")]
TEXT = [("shared", "token_embedding"), ("encoder.final_layer_norm", "norm"),
        (r"encoder.block.(\d+).layer.0.layer_norm", r"blocks.\1.norm1"),
        (r"encoder.block.(\d+).layer.1.layer_norm", r"blocks.\1.norm2"),
        (r"encoder.block.(\d+).layer.0.SelfAttention.relative_attention_bias",
         r"blocks.\1.pos_embedding.embedding"),
        (r"encoder.block.(\d+).layer.0.SelfAttention", r"blocks.\1.attn"),
        (r"encoder.block.(\d+).layer.1.DenseReluDense.wi_0", r"blocks.\1.ffn.gate.0"),
        (r"encoder.block.(\d+).layer.1.DenseReluDense.wi_1", r"blocks.\1.ffn.fc1"),
        (r"encoder.block.(\d+).layer.1.DenseReluDense.wo", r"blocks.\1.ffn.fc2")]
LLAMA = [("shared", "token_embd"), ("encoder.final_layer_norm", "enc.output_norm"),
         (r"encoder.block.(\d+).layer.0.layer_norm", r"enc.blk.\1.attn_norm"),
         (r"encoder.block.(\d+).layer.1.layer_norm", r"enc.blk.\1.ffn_norm"),
         (r"encoder.block.(\d+).layer.0.SelfAttention.relative_attention_bias", r"enc.blk.\1.attn_rel_b"),
         (r"encoder.block.(\d+).layer.0.SelfAttention.(.)", r"enc.blk.\1.attn_\2"),
         (r"encoder.block.(\d+).layer.1.DenseReluDense.wi_0", r"enc.blk.\1.ffn_gate"),
         (r"encoder.block.(\d+).layer.1.DenseReluDense.wi_1", r"enc.blk.\1.ffn_up"),
         (r"encoder.block.(\d+).layer.1.DenseReluDense.wo", r"enc.blk.\1.ffn_down")]


def renamed(state, table):
    out = {}
    for name, value in state.items():
        if name == "encoder.embed_tokens.weight":
            continue
        for ours, theirs in table:
            name = re.sub("^" + ours if ours[0].isalpha() and "block" in ours else ours, theirs, name)
        out[name] = value
    return out


def denoiser(state):
    out = {}
    for name, value in state.items():
        if name == "scale_shift_table":
            name = "head.modulation"
        for ours, theirs in DENOISER:
            name = name.replace(ours, theirs)
        out[name] = value
    return out


def vae(state, config):
    """Wan2.1's levels are one list, Wan2.2's one list each."""
    inner = [(".norm1.", ".residual.0."), (".conv1.", ".residual.2."), (".norm2.", ".residual.3."),
             (".conv2.", ".residual.6."), (".conv_shortcut.", ".shortcut.")]
    outer = [("post_quant_conv", "conv2"), ("quant_conv", "conv1"), ("coder.conv_in", "coder.conv1"),
             ("norm_out", "head.0"), ("conv_out", "head.2"), ("mid_block.resnets.0", "middle.0"),
             ("mid_block.attentions.0", "middle.1"), ("mid_block.resnets.1", "middle.2")]
    blocks, out = config.num_res_blocks, {}
    for name, value in state.items():
        if "resnets" in name or re.match(r"encoder\.down_blocks\.\d+\.(norm|conv)", name):
            for ours, theirs in inner:
                name = name.replace(ours, theirs)
        for ours, theirs in outer:
            if name.startswith(ours) or ours in name and "." + ours in "." + name:
                name = name.replace(ours, theirs)
        if m := re.match(r"encoder\.down_blocks\.(\d+)\.(?:resnets\.(\d+)|downsampler)\.(.*)", name):
            level, index, rest = m.groups()
            name = f"encoder.downsamples.{level}.downsamples.{blocks if index is None else index}.{rest}"
        elif m := re.match(r"encoder\.down_blocks\.(\d+)\.(.*)", name):
            name = f"encoder.downsamples.{m[1]}.{m[2]}"
        elif m := re.match(r"decoder\.up_blocks\.(\d+)\.(?:resnets\.(\d+)|upsampler(?:s\.0)?)\.(.*)", name):
            level, index, rest = m.groups()
            index = blocks + 1 if index is None else int(index)
            name = (f"decoder.upsamples.{level}.upsamples.{index}.{rest}" if config.is_residual else
                    f"decoder.upsamples.{int(level) * (blocks + 2) + index}.{rest}")
        out[name] = value
    return out
