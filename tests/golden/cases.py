"""What is compared: the table of cases, and the differences that are there on purpose.

The words of the options are the keys of FLAGS in program.py, or a flag's own name where no generation of the
program has another. In braces: what materials.py makes, or lies in examples/tinyworld/checkpoints.
"""

import dataclasses
import fnmatch

# (cases as a pattern, what differs: one of compare.FACETS, why it is meant to). One that is listed and does
# not differ is reported, and fails: the list says what is, not what might be.
EXPECTED_DIFFERENCES = []

SEED = 11
PROMPT = "a large red circle moves right over a gray background"
GENERATE = {
    "model": "{generator}", "judge": ["{judge}"], "prompt": PROMPT, "n": 4, "seed": SEED, "judge-seed": SEED,
    "size": "64x64", "frames": 17, "fps": 4, "steps": 6, "guidance": 3, "threads": 1, "overlap": "off",
    "lossless": True,
}
RANK = {"judge": ["{judge}"], "prompt": PROMPT, "threads": 1}

BF16 = {"model-dtype": "bf16", "vae-dtype": "bf16", "dtype": "bf16"}
INT8 = {"judge": ["{own_judge}"], "quantize": "int8"}
SAMPLES = {"samples": 3, "temperature": 0.8, "judge-seed": SEED}  # one seed in `generate`, where older flags are one
HALVING = {"strategy": "halving", "n": 6, "rungs": "2,4", "finalists": 2}
RACE = {"strategy": "race", "n": 5, "rungs": "2,4"}
PREVIEWS = {"preview-decoder": "{preview_decoder}"}
CHEAP_FIRST = {"judge": ["pixels", "{judge}"], "cascade": "2"}

MADE = ("frames", "expected", "reward", "order", "winner")
JUDGED = ("expected", "reward", "order", "winner")


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    command: str
    options: dict
    holds: tuple  # the facets of which there must be something to compare
    unlike: str | None  # a case whose results must be others: else the options say nothing
    unlike_in: str


def made(name, changes, holds=(), unlike="best-of-n", unlike_in="frames"):
    return Case(name, "generate", GENERATE | changes, MADE + tuple(holds), unlike, unlike_in)


def ranked(name, changes, holds=("tokens",), unlike="rank", unlike_in="expected"):
    return Case(name, "rank", RANK | changes, JUDGED + tuple(holds), unlike, unlike_in)


CASES = [
    made("best-of-n", {}, ["tokens"], unlike=None),
    made("best-of-n-threads", {"threads": 2}, ["tokens"], unlike=None),
    made("best-of-n-overlap", {"overlap": "on", "judge-threads": 1}, ["tokens"], unlike=None),
    made("best-of-n-no-guidance", {"guidance": 1}, ["tokens"]),
    made("best-of-n-negative-prompt", {"negative-prompt": "a green square"}, ["tokens"]),
    made("best-of-n-one-frame", {"frames": 1}, ["tokens"]),
    made("best-of-n-euler", {"model": "{euler}"}, ["tokens"]),
    made("best-of-n-flow-sde", {"stochastic": "flow-sde"}, ["tokens"]),
    made("best-of-n-cps", {"stochastic": "cps", "sde-eta": 0.5}, ["tokens"], unlike="best-of-n-flow-sde"),
    made("best-of-n-ddim", {"stochastic": "ddim", "sde-eta": 1}, ["tokens"], unlike="best-of-n-flow-sde"),
    made("best-of-n-euler-ddim", {"model": "{euler}", "stochastic": "ddim"}, ["tokens"], unlike="best-of-n-euler"),
    made("best-of-n-bf16", BF16, ["tokens"]),
    made("best-of-n-lora", {"lora": ["{lora}:0.8"]}, ["tokens"]),
    made("best-of-n-int8", INT8, ["tokens"], unlike_in="expected"),
    made("best-of-n-samples-width-1", SAMPLES | {"judge-slots": 1}, ["tokens"], unlike_in="expected"),
    made("best-of-n-samples-width-8", SAMPLES | {"judge-slots": 8}, ["tokens"], unlike_in="expected"),
    made("best-of-n-from-file", {"judge-from": "file"}, ["tokens"], unlike_in="expected"),
    made("best-of-n-two-judges", {"judge": ["{judge}", "tinyworld-oracle"], "combine": "weights",
                                  "judge-weights": "1,2"}, ["tokens"], unlike_in="reward"),
    made("best-of-n-rank-mean", {"judge": ["{judge}", "pixels"], "combine": "rank-mean"}, ["tokens"],
         unlike_in="reward"),
    made("halving", HALVING, ["tokens", "previews"]),
    made("halving-preview-decoder", HALVING | PREVIEWS, ["tokens", "previews"], unlike="halving", unlike_in="previews"),
    made("halving-lag", HALVING | {"lag": 1}, ["tokens", "previews"], unlike=None),
    made("halving-reduction-factor", HALVING | {"rungs": "3", "finalists": 1, "reduction-factor": 3},
         ["tokens", "previews"], unlike="halving", unlike_in="previews"),
    made("halving-euler-bf16", HALVING | PREVIEWS | BF16 | {"model": "{euler}"}, ["tokens", "previews"],
         unlike="halving-preview-decoder", unlike_in="previews"),
    made("halving-flow-sde", HALVING | PREVIEWS | {"stochastic": "flow-sde"}, ["tokens", "previews"],
         unlike="halving-preview-decoder", unlike_in="previews"),
    made("race", RACE, ["tokens", "previews"], unlike=None),
    made("race-preview-decoder", RACE | PREVIEWS, ["tokens", "previews"], unlike="race", unlike_in="previews"),
    made("race-cps", RACE | PREVIEWS | {"stochastic": "cps"}, ["tokens", "previews"], unlike="race-preview-decoder",
         unlike_in="previews"),
    made("cascade", CHEAP_FIRST, ["tokens"], unlike_in="expected"),
    made("cascade-three", {"judge": ["pixels", "tinyworld-oracle", "{judge}"], "cascade": "3,2"}, ["tokens"],
         unlike="cascade", unlike_in="expected"),
    ranked("rank", {}, unlike=None),
    ranked("rank-width-1", {"judge-slots": 1}, unlike=None),
    ranked("rank-width-8", {"judge-slots": 8}, unlike=None),
    ranked("rank-bf16", {"dtype": "bf16"}),
    ranked("rank-int8", INT8),
    ranked("rank-samples-width-1", SAMPLES | {"judge-slots": 1}),
    ranked("rank-samples-width-8", SAMPLES | {"judge-slots": 8}),
    ranked("rank-no-rationale", {"rationale": "none"}),
    ranked("rank-from-file", {"judge-from": "file"}),
    ranked("rank-pixels", {"judge": ["pixels"]}, holds=()),
    ranked("rank-oracle", {"judge": ["tinyworld-oracle"]}, holds=()),
    ranked("rank-weights", {"judge": ["pixels", "{judge}"], "combine": "weights", "judge-weights": "3,1"}),
    ranked("rank-cascade", CHEAP_FIRST | {"cascade": "4"}),
    ranked("rank-cascade-three", {"judge": ["pixels", "tinyworld-oracle", "{judge}"], "cascade": "4,2"},
           unlike="rank-cascade"),
]


def selected(patterns):
    """Those whose names one of the patterns with commas fits; KeyError names a pattern that fits none."""
    wanted = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    for pattern in wanted:
        if not any(fnmatch.fnmatch(case.name, pattern) for case in CASES):
            raise KeyError(pattern)
    return [case for case in CASES if not wanted or any(fnmatch.fnmatch(case.name, pattern) for pattern in wanted)]


def reason(case, facet):
    """Why this difference is meant; None: it is not."""
    return next((why for pattern, what, why in EXPECTED_DIFFERENCES
                 if what == facet and fnmatch.fnmatch(case.name, pattern)), None)
