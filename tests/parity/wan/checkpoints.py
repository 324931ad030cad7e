"""Random small WanPipelines, saved by diffusers itself."""

import dataclasses
import pathlib
import tempfile

import sentencepiece
import torch
from diffusers import (AutoencoderKLWan, DPMSolverMultistepScheduler,
                       FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanPipeline,
                       WanTransformer3DModel)
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

WORDS = """a red blue green circle square triangle moves left right up down over the white black
navy background falls and bounces then stops two small large shapes stay still while camera pans
slowly café naïve 红色 圆圈 движется""".split()


@dataclasses.dataclass
class Shape:
    name: str
    seed: int = 0
    # transformer
    heads: int = 2
    head_dim: int = 12
    layers: int = 2
    ffn: int = 40
    freq_dim: int = 32
    cross_attn_norm: bool = True
    two: bool = False
    boundary: float = 0.7
    # vae
    z_dim: int = 16
    base_dim: int = 8
    decoder_base_dim: int | None = None
    dim_mult: tuple = (1, 2, 4, 4)
    res_blocks: int = 1
    temporal: tuple = (False, True, True)
    patch: int | None = None
    residual: bool = False
    # text
    d_model: int = 24
    text_heads: int = 3
    d_kv: int = 8
    text_layers: int = 2
    buckets: int = 32
    # scheduler
    scheduler: str = "unipc"
    shift: float = 3.0
    order: int = 2
    solver_type: str = "midpoint"
    # what is generated
    width: int = 32
    height: int = 32
    frames: int = 9
    guidance: float = 4.0
    guidance_2: float | None = None
    prompt: str = "a red circle moves left over the navy background"
    negative: str = "a blue square"

    @property
    def spatial(self):
        return 2 ** (len(self.dim_mult) - 1) * (self.patch or 1)

    @property
    def temporal_scale(self):
        return 2 ** sum(self.temporal)


SHAPES = [
    Shape("plain"),
    Shape("patchified", seed=1, heads=4, head_dim=16, layers=3, dim_mult=(1, 2, 4),
          temporal=(True, True), patch=2, res_blocks=2, width=48, height=32, frames=17, shift=2.0),
    Shape("one_frame_odd", seed=2, heads=3, head_dim=10, cross_attn_norm=False, width=80, height=48,
          frames=1, guidance=1.0, order=3),
    Shape("two_transformers", seed=3, heads=1, head_dim=24, two=True, guidance=3.0, guidance_2=2.0,
          shift=5.0, frames=5),
    Shape("residual", seed=4, dim_mult=(1, 2, 4, 4), temporal=(False, True, True), patch=2,
          residual=True, z_dim=8, base_dim=8, decoder_base_dim=16, res_blocks=2, width=64, height=32,
          frames=5, shift=7.0),
    Shape("euler", seed=5, scheduler="euler", d_kv=5, text_heads=2, text_layers=3, buckets=16,
          prompt=" ".join(["two large triangle shapes stay still while the camera pans slowly"] * 9)),
    Shape("two_euler", seed=6, scheduler="euler", two=True, boundary=0.5, shift=1.5, frames=13,
          temporal=(True, False, True), width=32, height=48, order=1),
    # Wan2.2 TI2V-5B, smaller: 48 channels, 16 times compression, both autoencoder widths.
    Shape("ti2v_5b", seed=7, dim_mult=(1, 2, 4, 4), temporal=(False, True, True), patch=2,
          residual=True, z_dim=48, base_dim=8, decoder_base_dim=12, res_blocks=2, width=96, height=64,
          frames=9, shift=5.0, scheduler="dpm"),
]


def tokenizer(folder):
    """A unigram model in the layout of google/umt5."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        text = pathlib.Path(scratch) / "corpus.txt"
        torch.manual_seed(0)
        lines = [" ".join(WORDS[i] for i in torch.randint(len(WORDS), (12,))) for _ in range(400)]
        text.write_text("\n".join(lines))
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=f"{scratch}/spiece", vocab_size=160, pad_id=0, eos_id=1,
            unk_id=2, bos_id=-1, pad_piece="<pad>", eos_piece="</s>", unk_piece="<unk>",
            character_coverage=1.0, hard_vocab_limit=False, minloglevel=2)
        (folder / "spiece.model").write_bytes(
            (pathlib.Path(scratch) / "spiece.model").read_bytes())
    return T5TokenizerFast(vocab_file=str(folder / "spiece.model"), extra_ids=0)


def rough(model, seed, skip=()):
    """Random weights that make every part matter: fresh ones leave norms at 1 and biases at 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.dim() < 2 or "gamma" in name or "norm" in name:
            p.data = p.data + 0.2 * noise
        elif "scale_shift_table" in name:
            p.data = 0.3 * noise
        elif "relative_attention_bias" in name:
            p.data = noise
        elif "shared" in name or "embed_tokens" in name:
            p.data = noise
        else:
            p.data = noise / (p[0].numel() ** 0.5)
    return model.eval()


def transformer(shape, seed):
    torch.manual_seed(seed)
    return rough(WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=shape.heads, attention_head_dim=shape.head_dim,
        in_channels=shape.z_dim, out_channels=shape.z_dim, text_dim=shape.d_model,
        freq_dim=shape.freq_dim, ffn_dim=shape.ffn, num_layers=shape.layers,
        cross_attn_norm=shape.cross_attn_norm, rope_max_seq_len=64), seed)


def pipeline(shape, folder):
    folder = pathlib.Path(folder)
    generator = torch.Generator().manual_seed(shape.seed + 100)
    patch = shape.patch or 1
    vae = rough(AutoencoderKLWan(
        base_dim=shape.base_dim, decoder_base_dim=shape.decoder_base_dim, z_dim=shape.z_dim,
        dim_mult=list(shape.dim_mult), num_res_blocks=shape.res_blocks,
        temperal_downsample=list(shape.temporal), is_residual=shape.residual,
        in_channels=3 * patch * patch, out_channels=3 * patch * patch, patch_size=shape.patch,
        scale_factor_spatial=shape.spatial, scale_factor_temporal=shape.temporal_scale,
        latents_mean=torch.randn(shape.z_dim, generator=generator).tolist(),
        latents_std=(0.5 + torch.rand(shape.z_dim, generator=generator)).tolist()), shape.seed + 10)
    tok = tokenizer(folder / "made")
    text = rough(UMT5EncoderModel(UMT5Config(
        vocab_size=len(tok) + 3, d_model=shape.d_model, d_kv=shape.d_kv, d_ff=48,
        num_layers=shape.text_layers, num_heads=shape.text_heads,
        relative_attention_num_buckets=shape.buckets, relative_attention_max_distance=40,
        feed_forward_proj="gated-gelu")), shape.seed + 20)
    if shape.scheduler == "euler":
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shape.shift)
    elif shape.scheduler == "dpm":
        scheduler = DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shape.shift,
            solver_order=shape.order, solver_type=shape.solver_type)
    else:
        scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shape.shift,
            solver_order=shape.order)
    pipe = WanPipeline(
        tokenizer=tok, text_encoder=text, vae=vae, scheduler=scheduler,
        transformer=transformer(shape, shape.seed + 30),
        transformer_2=transformer(shape, shape.seed + 40) if shape.two else None,
        boundary_ratio=shape.boundary if shape.two else None,
        expand_timesteps=shape.z_dim == 48)
    pipe.save_pretrained(folder / "pipeline", max_shard_size="60KB")
    return folder / "pipeline"
