"""Text encoder and denoiser of Wan2.1-1.3B's size on this device, beside diffusers.

480 x 832 x 81 frames is 32,760 tokens and 283 TFLOP a forward.
"""

import importlib.util

from common import Part, Sampler

part = Part()
part.needs_models("generator-quick")
folder = part.models / "generator-quick"  # a text encoder of one layer
whole = part.models / "generator"
size = dict(width=32, height=32, frames=5) if part.toy else dict(width=832, height=480, frames=81)
request = dict(folder=folder, steps=20, vae_dtype="fp32", **size)

with Sampler(part, "engine, bf16"):
    part.prefix = "engine, bf16: "
    ours = part.speed("wan_speed", dict(request, dtype="bf16", rounds=1 if part.toy else 3, what=["denoise"]))
if part.check("the whole text encoder was written", (whole / "ready").exists()):
    with Sampler(part, "text encoder, bf16"):
        part.speed("wan_speed", dict(request, folder=whole, dtype="bf16", rounds=0, what=["encode"]))
if importlib.util.find_spec("diffusers"):  # the bundle's, or this machine's
    part.prefix = "diffusers, bf16: "
    theirs = part.pythons("wan_reference.py", dict(request, rounds=1 if part.toy else 3))
    part.prefix = ""
    name = "denoiser forward"
    if theirs.get(name):
        part.value(f"{name}: engine over diffusers", ours[name] / theirs[name], "times the time")
else:
    part.prefix = ""
    part.value("no diffusers is here: the engine alone", 0)
if not part.toy:
    part.prefix = "engine, bf16, cuDNN's attention last: "
    part.speed("wan_speed", dict(request, dtype="bf16", rounds=1, what=["denoise"]), TORCH_CUDNN_SDPA_DEPRIORITIZED="1")
    # One step, its first included: it takes 5 to 10 times as long.
    part.prefix = "engine, fp32 on the same weights: "
    part.speed("wan_speed", dict(request, dtype="fp32", rounds=0, what=["denoise"]))
