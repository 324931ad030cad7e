"""The small checkpoints on this device beside what the reference libraries computed on a CPU.

The reference values were written by references.py with the pinned versions, and travel in the bundle. fp32; on a
GPU convolutions may round their inputs to TF32, so the limits are wider there.
"""

import array
import json

from common import GENERATOR, JUDGE, Part

part = Part()
part.needs_references()
# The tests of parity hold 1e-4 on the CPU.
LIMIT = 1e-4 if part.device == "cpu" else 2e-3


def floats(path):
    values = array.array("f")
    values.frombytes(path.read_bytes())
    return values


def far(ours, theirs):
    """The largest difference, over max(1, largest value)."""
    scale = max(1.0, max(map(abs, theirs)))
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / scale


def dump(program, verb, request):
    folder = part.work / f"reference-{program}"
    folder.mkdir(exist_ok=True)
    (folder / "request.json").write_text(json.dumps(dict(request, device=part.device, threads=part.threads), default=str))
    done = part.run(program, verb, folder / "request.json", folder)
    if not part.check(f"{program} {verb} ends", done.returncode == 0, done.stderr[-800:]):
        return None, folder
    return json.loads((folder / "result.json").read_text()), folder


expected = json.loads((part.references / "sampler.json").read_text())
result, folder = dump("wan_dump", "generate", dict(folder=GENERATOR, values=False, **expected["request"]))
if result:
    theirs = floats(part.references / "latents.f32")
    ours = floats(folder / "latents.f32")
    size = len(theirs) // expected["request"]["steps"]
    part.check("as many latents", len(ours) == len(theirs))
    for step in range(expected["request"]["steps"]):
        one = slice(step * size, (step + 1) * size)
        worst = far(ours[one], theirs[one])
        part.check(f"latents after step {step + 1} equal", worst <= LIMIT, f"{worst:.1e}, allowed {LIMIT:.0e}")
    ours, theirs = (folder / "frames.u8").read_bytes(), (part.references / "frames.u8").read_bytes()
    levels = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    part.value("frames beside diffusers: largest difference", max(levels), "levels of 256")
    part.value("frames beside diffusers: share that differs", sum(map(bool, levels)) / len(levels))
    part.check("frames equal", max(levels) <= (1 if part.device == "cpu" else 3), f"{max(levels)} levels")

expected = json.loads((part.references / "judge.json").read_text())
result, _ = dump("judge_dump", "judge", dict(
    folder=JUDGE, rationale=expected["budget"], slots=2, batch=len(expected["videos"]),
    requests=[dict(video=part.references / one["video"], prompt=one["prompt"]) for one in expected["videos"]]))
if result:
    for one, ours in zip(expected["videos"], result["results"], strict=True):
        name = one["video"]
        if not part.check(f"{name}: is judged", "dimensions" in ours, ours.get("error", "")):
            continue
        part.check(f"{name}: the prompt's ids", ours["prompt_tokens"] == one["prompt_tokens"])
        part.check(f"{name}: the answer's ids", ours["output_tokens"] == one["output_tokens"],
                   f"{len(one['output_tokens'])} tokens")
        for dimension, p in zip(ours["dimensions"], one["probabilities"], strict=True):
            worst = max(abs(a - b) for a, b in zip(dimension["probabilities"], p, strict=True))
            part.check(f"{name}: probabilities of {dimension['name']} equal", worst <= LIMIT,
                       f"{worst:.1e}, allowed {LIMIT:.0e}")
