"""Judging while denoising on one device: `bestreel generate` with overlap off, on, on, off.

Four candidates each; the two kinds must export the same bytes. The ledger's line and the time lines go into the
JSON file (they open in ui.perfetto.dev).
"""

import json
import re
import time

import command
from common import Part, Sampler

part = Part()
part.needs_models("judge", "generator-quick")
asked = dict(model=part.models / "generator-quick", judges=("pixels", part.models / "judge"), device=part.device,
             threads=part.threads, dtype="bf16")
if part.toy:
    asked |= dict(n=2, size="32x32", frames=9, steps=2, rationale=4)
else:
    asked |= dict(n=4, size="832x480", frames=33, steps=14, rationale=200, guidance=5, fps=16)
exports, seconds = [], {}
kinds = ("off", "on") if part.toy else ("off", "on", "on", "off")
for i, overlap in enumerate(kinds):
    name = f"{overlap}, {'first' if overlap not in seconds else 'again'}"
    out, trace = part.work / f"overlap-{i}", part.work / f"overlap-{i}.trace.json"
    with Sampler(part, name):
        begin = time.perf_counter()
        done = part.run("bestreel", *command.generate(out, overlap=overlap, trace=trace, **asked))
        seconds.setdefault(overlap, []).append(time.perf_counter() - begin)
    # What a model of random weights writes is scored all the same.
    if not part.check(f"{name}: generate ends well", done.returncode == 0, done.stderr[-600:]):
        continue
    part.value(f"{name}: whole process", seconds[overlap][-1], "s")
    ledger = re.search(r".*denoiser forwards in.*", done.stdout)
    part.value(f"{name}: ledger", ledger.group(0) if ledger else "none")
    text = trace.read_text().rstrip().rstrip("]").rstrip().rstrip(",").lstrip("[")
    spans = [event for event in json.loads(f"[{text}]") if event.get("ph") == "X"]
    part.data(f"{name}: time line", [[e["name"], e.get("tid"), e["ts"], e["dur"]] for e in spans[:5000]])
    made = part.run("bestreel", *command.export(out))
    exports.append(made.stdout.replace(str(out), "RUN"))
    part.check(f"{name}: exports", made.returncode == 0 and len(made.stdout.splitlines()) >= asked["n"], made.stderr[-300:])
part.check("overlap changes no byte of the exports", len(exports) == len(kinds) and len(set(exports)) == 1,
           f"{len(set(exports))} kinds of {len(exports)}")
if len(exports) == len(kinds):
    part.value("off over on, whole processes", min(seconds["off"]) / min(seconds["on"]), "times")
