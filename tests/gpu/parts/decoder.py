"""The video decoder in fp32 as it is, in fp32 without TF32, and in bf16: time, and what the frames lose."""

from common import Part, Sampler

part = Part()
part.needs_models("generator-quick")
size = dict(width=32, height=32, frames=5) if part.toy else dict(width=832, height=480, frames=81)
made = {}
# NVIDIA_TF32_OVERRIDE=0 forbids TF32 to cuBLAS and cuDNN, whatever a program asks for.
for name, dtype, environment in (("fp32, no TF32", "fp32", dict(NVIDIA_TF32_OVERRIDE="0")), ("fp32", "fp32", {}),
                                 ("bf16", "bf16", {})):
    out = part.models / f"frames-{dtype}-{len(made)}"
    part.prefix = f"{name}: "
    with Sampler(part, name):
        part.speed("wan_speed", dict(folder=part.models / "generator-quick", steps=20, dtype="bf16", vae_dtype=dtype,
                                     rounds=1 if part.toy else 2, what=["decode"], out=out, **size), **environment)
    made[name] = out
part.prefix = ""

import numpy as np  # noqa: E402

exact = np.fromfile(made["fp32, no TF32"], np.uint8)
part.check("frames were decoded", exact.size == 3 * size["width"] * size["height"] * size["frames"])
part.check("frames are no single colour", exact.std() > 1, f"standard deviation {exact.std():.1f} levels")
for name, path in made.items():
    frames = np.fromfile(path, np.uint8)
    path.unlink()
    if name == "fp32, no TF32" or not part.check(f"{name}: as many frames", frames.size == exact.size):
        continue
    away = np.abs(frames.astype(np.int16) - exact)
    part.value(f"{name}: frames beside exact fp32, largest difference", int(away.max()), "levels of 256")
    part.value(f"{name}: frames beside exact fp32, mean difference", float(away.mean()), "levels of 256")
