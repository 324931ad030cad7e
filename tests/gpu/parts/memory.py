"""What is said when memory runs out, and what `bestreel plan` says about this device."""

import command
from common import Part

part = Part()
for name, asked in (("plan", dict(device=part.device)), ("plan with 24G", dict(device=part.device, memory="24G"))):
    models = {"judge": part.models / "judge", "model": part.models / "generator"}
    done = part.run("bestreel", *command.plan(**asked, **{k: v for k, v in models.items() if (v / "ready").exists()},
                                              **({} if (models["judge"] / "ready").exists() else {"judge": "pixels"})),
                    timeout=20)
    part.data(name, done.stdout + done.stderr)
    part.check(f"{name} ends", done.returncode in (0, 1), f"status {done.returncode}: {done.stderr[-300:]}")
    if part.device == "cuda":
        part.check(f"{name} speaks of the GPU's memory", "GPU" in done.stdout or "cuda" in done.stdout, done.stdout[-300:])

if part.device == "cuda":
    import torch
    # All but 600 MiB, of which a context takes most, are taken: the small models do not fit.
    free, _ = torch.cuda.mem_get_info()
    kept = [torch.empty(max(0, free - (600 << 20)), dtype=torch.uint8, device="cuda")]
    part.value("memory left free", torch.cuda.mem_get_info()[0] >> 20, "MiB")
    out = part.work / "memory-run"
    done = part.run("bestreel", *command.generate(out, device="cuda", size="256x256", frames=33), timeout=25)
    said = done.stdout + done.stderr
    part.data("generate without memory", said)
    if done.returncode == 0:
        part.value("generate fitted all the same: nothing is shown about a full device", 0)
    else:
        part.check("memory that runs out is one sentence", done.returncode == 1 and "memory" in said, said[-400:])
        part.check("it is not called a fault to report", "please report" not in said, said[-400:])
    del kept
