"""The judge at full size on this device: load, vision tower, prefill and decode, beside transformers.

At full size a clip of 10,200 patches, 2,618 tokens; a decode step reads the language model's weights once.
"""

from common import Part, Sampler

part = Part()
part.needs_models("judge")
folder = part.models / "judge"
if part.toy:
    sizes = dict(grid=[2, 8, 8], steps=4, rounds=1, widths=[1, 4], capacities=[2])
else:
    sizes = dict(grid=[5, 34, 60], steps=48, rounds=3, widths=[1, 4, 8], capacities=[4])
request = dict(folder=folder, **sizes)

with Sampler(part, "engine, bf16"):
    part.prefix = "engine, bf16: "
    ours = part.speed("judge_speed", dict(request, dtype="bf16"))
part.prefix = "transformers, bf16: "
theirs = part.pythons("judge_reference.py", request)
part.prefix = ""
for name in theirs.keys() & ours.keys():
    if theirs[name] and ours[name] and not name.startswith("load"):
        part.value(f"{name}: engine over transformers", ours[name] / theirs[name], "times the value")

# What is lost without bf16, and what the order of attention's backends does to the decode step.
if not part.toy:
    less = dict(request, widths=[request["widths"][0]], capacities=[], rounds=1)
    part.prefix = "engine, bf16, cuDNN's attention last: "
    part.speed("judge_speed", dict(less, dtype="bf16"), TORCH_CUDNN_SDPA_DEPRIORITIZED="1")
    part.prefix = "engine, fp32 on the same weights: "
    part.speed("judge_speed", dict(less, dtype="fp32"))
