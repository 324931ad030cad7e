"""The native Wan engine beside diffusers: same weights, threads and dtype, in turns.

    ./run bench sampler [--rounds N] [--threads N] [--dtype fp32|bf16]
    ./run bench sampler --full-size [--text-layers L] [--scratch DIR]

First the parts, on random weights in the tiny world's geometry: text encoder on both prompts, one forward
of the denoiser (of 20 steps with guidance), decoder on the result. Then the whole best-of-8 on the shipped
checkpoints: `bestreel generate` beside best_of_8_reference.py, a script that loops diffusers and judges
each file with transformers. --full-size: the parts in Wan2.1-1.3B's geometry with random weights at 272 x
480 x 17 frames, written into a scratch folder that is deleted. Its text encoder has --text-layers of
UMT5-XXL's 24 layers (a layer costs 0.8 GB in fp32), with the whole table of 256,384 words.

Reference and engine are processes of their own, in turn: reference, engine, reference, engine, ... The
least of the rounds is printed, on the wall and in processor seconds (which a busy machine blurs less),
and the median of the ratios round by round.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import torch

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "parity" / "wan"))
import checkpoints  # noqa: E402

TINY = checkpoints.Shape(
    "tiny", heads=4, head_dim=64, layers=6, ffn=768, freq_dim=256, base_dim=16, dim_mult=(1, 2, 4),
    temporal=(True, True), patch=2, res_blocks=2, d_model=128, text_heads=4, d_kv=32, width=64,
    height=64, frames=17, guidance=3.0)
FULL = dict(
    transformer=dict(patch_size=(1, 2, 2), num_attention_heads=12, attention_head_dim=128, in_channels=16,
                     out_channels=16, text_dim=4096, freq_dim=256, ffn_dim=8960, num_layers=30,
                     cross_attn_norm=True, rope_max_seq_len=1024),
    vae=dict(base_dim=96, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True]),
    text=dict(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_heads=64,
              relative_attention_num_buckets=32, relative_attention_max_distance=128,
              feed_forward_proj="gated-gelu"),
    width=480, height=272, frames=17, guidance=5.0)
# The same path in seconds: --full-size --smoke.
SMOKE = dict(
    transformer=FULL["transformer"] | dict(num_attention_heads=2, attention_head_dim=32, text_dim=64, ffn_dim=96,
                                           num_layers=2),
    vae=FULL["vae"] | dict(base_dim=8, num_res_blocks=1),
    text=FULL["text"] | dict(vocab_size=400, d_model=64, d_kv=16, d_ff=96, num_heads=4),
    width=64, height=32, frames=5, guidance=5.0)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def write_full_size(sizes, dtype, text_layers, folder):
    """A pipeline of diffusers' own layout, one part in memory at a time."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    # Tokenizer, scheduler and index are those of a small pipeline.
    pipeline = checkpoints.pipeline(checkpoints.Shape("small"), folder)

    def save(part, make):
        torch.set_default_dtype(dtype)
        model = make()
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(len(part))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:  # norms stay at 1: what is timed does not depend on the values
                    parameter.normal_(0, parameter[0].numel() ** -0.5)
        shutil.rmtree(pipeline / part)
        model.save_pretrained(pipeline / part)
        return sum(parameter.numel() for parameter in model.parameters())

    counts = [save("transformer", lambda: WanTransformer3DModel(**sizes["transformer"])),
              save("text_encoder", lambda: UMT5EncoderModel(UMT5Config(num_layers=text_layers, **sizes["text"]))),
              save("vae", lambda: AutoencoderKLWan(**sizes["vae"]))]
    return pipeline, counts


def timed(call, rounds, warm_up=True):
    if warm_up:
        call()
    cpu, wall = [], []
    for _ in range(rounds):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - begin_cpu)
    return dict(cpu=min(cpu), wall=min(wall))


@torch.no_grad()
def reference(request):
    """In a process of its own: what it holds in memory and its threads are its own."""
    from diffusers import AutoencoderKLWan, WanPipeline
    torch.set_num_threads(request["threads"])
    dtype = DTYPES[request["dtype"]]
    vae = AutoencoderKLWan.from_pretrained(request["folder"], subfolder="vae", torch_dtype=torch.float32)
    pipe = WanPipeline.from_pretrained(request["folder"], vae=vae, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    prompts = request["prompt"], request["negative"]
    result = dict(encode=timed(lambda: pipe.encode_prompt(*prompts, max_sequence_length=512), request["repeat"]))
    positive, negative = pipe.encode_prompt(*prompts, max_sequence_length=512)
    pipe.text_encoder = None
    latents = {}

    def denoise():
        latents["x"] = pipe(
            prompt_embeds=positive, negative_prompt_embeds=negative, height=request["height"],
            width=request["width"], num_frames=request["frames"], num_inference_steps=request["steps"],
            guidance_scale=request["guidance"], generator=torch.Generator("cpu").manual_seed(7),
            output_type="latent").frames

    whole = timed(denoise, request["repeat"], warm_up=request["steps"] > 1)
    result["forward"] = {clock: seconds / (2 * request["steps"]) for clock, seconds in whole.items()}
    result["decode"] = timed(lambda: pipe.vae.decode(latents["x"].float(), return_dict=False), request["repeat"],
                             warm_up=request["steps"] > 1)
    print(json.dumps(result))


def native(binary, request):
    with tempfile.TemporaryDirectory() as out:
        path = pathlib.Path(out) / "request.json"
        path.write_text(json.dumps(request))
        subprocess.run([binary, "generate", path, out], check=True)
        got = json.loads((pathlib.Path(out) / "result.json").read_text())

    def least(what, share=1):
        return {clock: min(got[f"{what}_{clock}"]) / share for clock in ("cpu", "wall")}

    return dict(encode=least("encode"), forward=least("denoise", got["forwards"]), decode=least("decode"))


def child(who, request):
    done = subprocess.run([sys.executable, __file__, "--who", who], input=json.dumps(request), text=True,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def parts(args, folder, sizes, steps, rounds, repeat):
    request = dict(folder=str(folder), prompt=checkpoints.Shape("").prompt, negative=checkpoints.Shape("").negative,
                   seed=7, steps=steps, threads=args.threads, repeat=repeat, dtype=args.dtype, values=False, **sizes)
    pairs = [(child("reference", request), native(args.bin / "wan_dump", request)) for _ in range(rounds)]
    print(f"{args.dtype} (decoder fp32), {args.threads} threads, {sizes['width']}x{sizes['height']}x{sizes['frames']}, "
          f"{rounds} rounds of {repeat}; milliseconds\n")
    print(f"{'':16} {'diffusers':>22} {'Bestreel':>22} {'times as fast':>15}")
    print(f"{'':16} {'wall':>11}{'processor':>11} {'wall':>11}{'processor':>11} {'wall':>7}{'cpu':>8}")
    for part, name in (("encode", "text encoder"), ("forward", "denoiser forward"), ("decode", "decoder")):
        least = [min(pair[who][part][clock] for pair in pairs) * 1e3 for who in (0, 1) for clock in ("wall", "cpu")]
        ratio = [statistics.median(theirs[part][clock] / ours[part][clock] for theirs, ours in pairs)
                 for clock in ("wall", "cpu")]
        print(f"{name:16} {least[0]:11.1f}{least[1]:11.1f} {least[2]:11.1f}{least[3]:11.1f} {ratio[0]:7.2f}{ratio[1]:8.2f}")


def whole(args):
    """Best-of-8 from a shell: this program, and the script that people write."""
    checkpoint = ROOT / "examples/tinyworld/checkpoints"
    common = ["--prompt", "a large green circle moves right over a navy background", "-n", "8", "--steps", "20",
              "--guidance", "3", "--size", "64x64", "--frames", "17", "--fps", "4", "--seed", "0",
              "--threads", str(args.threads)]
    rows = []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as work:
            command = ["--model", str(checkpoint / "generator"), "--judge", str(checkpoint / "judge"), *common]
            begin = time.perf_counter()
            done = subprocess.run([sys.executable, HERE / "best_of_8_reference.py", *command, "--out", f"{work}/theirs"],
                                  stdout=subprocess.PIPE, text=True, check=True)
            theirs = dict(json.loads(done.stdout.splitlines()[-1]), whole=time.perf_counter() - begin)
            begin = time.perf_counter()
            done = subprocess.run([args.bin / "bestreel", "generate", *command, "--out", f"{work}/ours", "--json"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            ours = dict(whole=time.perf_counter() - begin, winner=next(
                row["video"] for row in map(json.loads, done.stdout.splitlines()) if row["winner"]))
        rows.append((theirs, ours))
    print(f"\nbest-of-8, shipped checkpoints, 20 steps, fp32, {args.threads} threads, {args.rounds} rounds; seconds\n")
    print(f"{'':36} {'least':>7} {'times as fast':>14}")
    mine = min(ours["whole"] for _, ours in rows)
    for what, name in (("whole", "diffusers, then transformers"), ("loops", "of it without imports and loading")):
        ratio = statistics.median(theirs[what] / ours["whole"] for theirs, ours in rows)
        print(f"{name:36} {min(theirs[what] for theirs, _ in rows):7.1f} {ratio:13.2f}x")
    print(f"{'bestreel generate, start to report':36} {mine:7.1f}")
    print(f"winner: {rows[0][0]['winner']} by the script, {rows[0][1]['winner']} by Bestreel")


def main():
    if sys.argv[1:2] == ["--who"]:
        return reference(json.load(sys.stdin))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--full-size", action="store_true")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--text-layers", type=int, default=4)
    parser.add_argument("--scratch", default=tempfile.gettempdir())
    args = parser.parse_args()
    if not args.full_size:
        with tempfile.TemporaryDirectory() as scratch:
            folder = checkpoints.pipeline(TINY, scratch)
            sizes = dict(width=TINY.width, height=TINY.height, frames=TINY.frames, guidance=TINY.guidance)
            parts(args, folder, sizes, steps=20, rounds=args.rounds, repeat=3)
        whole(args)
        return
    sizes = SMOKE if args.smoke else FULL
    weight = 2 if args.dtype == "bf16" else 4
    need = 0 if args.smoke else weight * (1.42e9 + 1.05e9 + 0.193e9 * args.text_layers + 0.13e9)
    if shutil.disk_usage(args.scratch).free < 1.2 * need:
        raise SystemExit(f"[bench] SKIPPED: {args.scratch} has less than {1.2 * need / 1e9:.0f} GB free: pass --scratch DIR")
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if available < need:
        print(f"[bench] note: {need / 1e9:.0f} GB of weights and {available / 1e9:.0f} GB of free memory: lower "
              "--text-layers, or take --dtype bf16", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder, counts = write_full_size(sizes, DTYPES[args.dtype], args.text_layers, scratch)
        print(f"random weights: denoiser {counts[0] / 1e9:.2f} G, text encoder {counts[1] / 1e9:.2f} G in "
              f"{args.text_layers} of UMT5-XXL's 24 layers, decoder and encoder {counts[2] / 1e9:.2f} G")
        video = {name: sizes[name] for name in ("width", "height", "frames", "guidance")}
        parts(args, folder, video, steps=1, rounds=args.rounds, repeat=1)


if __name__ == "__main__":
    main()
