"""Best of n for diffusers' video pipelines, through Bestreel's session: see README.md."""

import dataclasses
import fractions
import os
import pathlib

import diffusers
import torch
import transformers

from .host import Host
from .session import BestreelError, Session, usage

__all__ = ["BestreelError", "Candidate", "Outcome", "best_of_n"]


@dataclasses.dataclass(frozen=True)
class Candidate:
    name: str  # "c003"
    seed: int
    end: str  # "finished", "dropped" (by the strategy), "stopped" (by a limit) or "failed"
    step: int  # how far it came
    reason: str  # of "stopped" and "failed", a sentence
    path: str | None  # of its video
    reward: float | None  # None: not finished, or it could not be judged
    rank: int  # 1 = best, 0 = none
    judgement: dict | None  # what the judge said, or {"failure": {"code", "sentence"}}


@dataclasses.dataclass(frozen=True)
class Outcome:
    directory: str  # report.html, run.sqlite, best.mp4, the candidates
    best: str | None  # the path of best.mp4; None: no candidate came to its end and was judged
    winner: Candidate | None
    candidates: list[Candidate]  # as they were begun
    forwards: float  # of the denoiser; each guidance branch counts one
    judgements: int


# Of a judge's options those that say where something lies or how fast it goes.
PLACES = ("template", "device", "judge_slots")


def _new_directory():
    number = 1
    while os.path.lexists(path := f"bestreel-run-{number:03}"):
        number += 1
    return path


def _seeds(n, seeds):
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise usage(f"n must be at least 1, but got {n!r}")
    seeds = list(range(n)) if seeds is None else list(seeds)
    if len(seeds) != n:
        raise usage(f"seeds must be {n}, one for each candidate, but got {len(seeds)}")
    for seed in seeds:
        if not isinstance(seed, int) or not 0 <= seed < 2**64:
            raise usage(f"a seed must be an integer from 0 to 2^64 - 1, but got {seed!r}")
    return seeds


def _judge_option(judge):
    if callable(judge):
        name = getattr(judge, "__name__", type(judge).__name__)
        return {"id": getattr(judge, "id", f"{getattr(judge, '__module__', '')}.{name}"), "name": name}
    if not isinstance(judge, (str, os.PathLike)):
        raise usage("judge must be pixels, tinyworld-oracle, the folder of a VideoScore2 checkpoint or a function, but "
                    f"got {judge!r}")
    text = os.fspath(judge)
    return text if text in ("pixels", "tinyworld-oracle") else str(pathlib.Path(text).absolute())


def best_of_n(pipe, prompt, n, judge, *, strategy="best-of-n", seeds=None, out=None, fps=16, checks=(), lag=0,
              preview=None, judge_options=None, overlap=False, max_forwards=0, max_seconds=0, **call):
    """Makes n candidates of `prompt` with `pipe`, judges each, and returns the Outcome.

    pipe      a diffusers video pipeline, such as WanPipeline; its own arguments follow as keywords (height, width,
              num_frames, num_inference_steps, guidance_scale, negative_prompt, ...)
    judge     "pixels", "tinyworld-oracle", the folder of a VideoScore2 checkpoint, or a function of frames
              (T, H, W, 3) uint8 that returns a number or a dict of numbers, whose mean is the reward: more is better.
              Its attribute `id`, or its name, must change when its judgements do
    strategy  "best-of-n" makes all; "race" stops on the way who is behind the earlier ones, judged on previews of
              the x0 estimate after the steps `checks` (20, 40 and 60 %); decisions take effect `lag` steps later
    seeds     one per candidate, 0 to n - 1 if not given: its initial noise is what diffusers draws for it on the CPU
    out       the run's directory, a new bestreel-run-NNN if not given; the same call on it goes on where it broke off
    fps       of the videos: an integer or a Fraction
    preview   function (pipe, x0 estimate) -> (T, H, W, 3) uint8, for `race`; known for Wan
    judge_options   of the judge, as on the command line: template, dtype, rationale, samples, temperature,
              judge_seed, quantize
    overlap   judge while the next candidate is denoised; on a CPU both would share the cores
    max_forwards, max_seconds   0: no limit; else the run ends there with the best so far

    Raises BestreelError for what is wrong with the call, the judge or the directory. What goes wrong with one
    candidate (latents that are not finite, a judge that fails) is that candidate's: the run goes on. Where memory gives
    out it is made once more, then the run stops, and the same call goes on with it.
    """
    seeds = _seeds(n, seeds)
    if not isinstance(prompt, str) or not prompt.strip():
        raise usage("prompt must not be empty" + ("" if isinstance(prompt, str) else f", but got {prompt!r}"))
    rate = fractions.Fraction(fps).limit_denominator(100_000)
    if rate <= 0:
        raise usage(f"fps must be positive, but got {fps}")
    host = Host(pipe, {"prompt": prompt} | call, preview)
    if strategy == "race" and host.preview is None:
        raise usage(f"race must see previews, which needs a scheduler that predicts flow and Wan's decoder, but got "
                    f"{host.kind}: pass preview=function(pipe, x0) -> frames for another decoder, or use best-of-n")
    fps = [rate.numerator, rate.denominator]
    named = _judge_option(judge)
    recipe = {
        "prompt": prompt, "negative_prompt": call.get("negative_prompt") or "",
        "strategy": strategy, "seeds": seeds, "rungs": list(checks), "lag": lag or None,
        "threads": torch.get_num_threads(),
        "max_forwards": max_forwards or None, "max_seconds": max_seconds or None,
    }
    place = {"judge": [] if isinstance(named, dict) else [named], "overlap": "on" if overlap else "off"}
    for name, value in (judge_options or {}).items():
        if name in recipe or name in place:
            raise usage(f"judge_options must be options of the judge, but got {name}")
        (place if name in PLACES else recipe)[name] = value
    options = {
        "recipe": recipe, "place": place,
        "host": {
            "engine": host.identity(fps), "name": f"diffusers' {host.kind}", "steps": host.steps,
            "forwards_per_step": host.forwards_per_step, "previews": host.preview is not None, "fps": fps,
            "versions": f"diffusers {diffusers.__version__}; transformers {transformers.__version__}; "
                        f"torch {torch.__version__}; {pipe.device}",
            **({"judge": named} if isinstance(named, dict) else {}),
        },
    }
    directory = os.path.abspath(out if out is not None else _new_directory())
    with Session(directory, options, judge) as session:
        host.run(session)
        return _outcome(directory, session.finish())


def _outcome(directory, found):
    candidates = [
        Candidate(one["name"], int(one["noise"].removeprefix("seed(").removesuffix(")")), one["end"], one["step"],
                  one["reason"], one.get("path"), one.get("reward"), one.get("rank", 0), one.get("result"))
        for one in sorted(found["candidates"], key=lambda one: one["name"])
    ]
    winner = next((one for one in candidates if one.name == found["winner"]), None)
    best = os.path.join(directory, "best.mp4") if winner else None
    return Outcome(directory, best, winner, candidates, found["forwards"], found["judgements"])
