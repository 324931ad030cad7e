"""The command line of `bestreel` as the parts use it: the one place that knows its flags."""

from common import GENERATOR, JUDGE, PROMPT


def generate(out, *, model=GENERATOR, judges=("pixels", JUDGE), device="cpu", threads=1, n=2, size="64x64", frames=17,
             fps=4, steps=4, guidance=3, dtype="fp32", rationale=24, overlap="auto", trace=None):
    command = ["generate", "--model", model, "--prompt", PROMPT, "-n", n, "--size", size, "--frames", frames,
               "--fps", fps, "--steps", steps, "--guidance", guidance, "--seed", 0, "--device", device, "--threads",
               threads, "--judge-threads", threads, "--model-dtype", dtype, "--dtype", dtype, "--rationale", rationale,
               "--overlap", overlap, "--out", out]
    for judge in judges:
        command += ["--judge", judge]
    return command + (["--trace", trace] if trace else [])


def export(run):
    return ["export", run, "--format", "jsonl"]


def plan(*, device, model=None, judge=None, memory=None):
    command = ["plan", "--device", device]
    for flag, value in (("--model", model), ("--judge", judge), ("--memory", memory)):
        command += [flag, value] if value else []
    return command
