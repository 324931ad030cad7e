"""Runs the cases on two programs and compares their results: called by compare.sh."""

import argparse
import concurrent.futures
import copy
import math
import os
import pathlib
import shutil
import sys
import time

from cases import CASES, EXPECTED_DIFFERENCES, PROMPT, SEED, reason, selected
from materials import prepare
from program import Failed, Program, read_results

FACETS = ("frames", "previews", "tokens", "expected", "reward", "order", "winner")


def numbers_of(value):
    """The numbers of a value, or None where it is something else."""
    values = value if isinstance(value, list) else [value]
    return values if all(isinstance(each, float) for each in values if each is not None) else None


def detail(a, b):
    """How two values differ."""
    ours, theirs = numbers_of(a), numbers_of(b)
    if ours is not None and theirs is not None and len(ours) == len(theirs) and [x is None for x in ours] == [
            x is None for x in theirs]:
        return f"by {max(abs(x - y) for x, y in zip(ours, theirs) if x is not None):.3g}"
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{len(a)} against {len(b)} of them"
        return f"from index {next(i for i, pair in enumerate(zip(a, b)) if pair[0] != pair[1])} of {len(a)}"
    return f"{a} against {b}"


def differences(base, current):
    """Facet to a sentence, of those that differ. Equal is equal to the last bit."""
    found = {}
    for facet in FACETS:
        a, b = base[facet], current[facet]
        if a == b:
            continue
        gone, new = [key for key in a if key not in b], [key for key in b if key not in a]
        other = [key for key in a if key in b and a[key] != b[key]]
        parts = [f"only base has {gone[0]}{f' and {len(gone) - 1} more' if gone[1:] else ''}"] if gone else []
        parts += [f"only current has {new[0]}{f' and {len(new) - 1} more' if new[1:] else ''}"] if new else []
        if other:
            parts.append(f"{len(other)} of {len(a)}, first {other[0]} ({detail(a[other[0]], b[other[0]])})")
        found[facet] = "; ".join(parts)
    return found


def run_case(program, case, materials, folder, **changes):
    """Runs one case afresh and reads its results. `changes` go over the case's options."""
    run = folder / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    options = case.options | changes
    if "{own_judge}" in options["judge"]:  # int8 weights are written beside the checkpoint
        shutil.copytree(materials["judge"], folder / "judge")
    named = materials | {"own_judge": folder / "judge"}
    fill = lambda value: value.format(**named) if isinstance(value, str) else value
    options = {word: [fill(one) for one in value] if isinstance(value, list) else fill(value)
               for word, value in options.items()}
    inputs = [materials["clips"]] if case.command == "rank" else []
    program.checked(case.command, *inputs, *program.words(case.command, options | {"out": run}))
    found = read_results(program, run, options.get("seed", 0))
    empty = [facet for facet in case.holds if not found[facet]]
    if empty:
        raise Failed(f"{program.side}: nothing was found of {', '.join(empty)}: see the readers in program.py")
    return found


def changed(value):
    """The nearest other value."""
    if isinstance(value, float):
        return math.nextafter(value, math.inf)
    return value + 1 if isinstance(value, int) else "another " + value


def doctored(results):
    """Facet to the results with the least change in that facet alone."""
    for facet in FACETS:
        if not results[facet]:
            continue
        other = copy.deepcopy(results)
        key, value = next(iter(other[facet].items()))
        if isinstance(value, list):
            last = value[-1] if value[-1] is not None else value[0]
            at = len(value) - 1 if value[-1] is not None else 0
            value[at] = changed(last)
        else:
            other[facet][key] = changed(value)
        yield facet, other


def control(current, cases, results, materials, folder):
    """Shows that differences are seen: the least change of each facet, and real runs that must differ.
    Yields (name, sentence, whether it was seen)."""
    seen = set()
    for case in cases:
        if case.name not in results:
            continue
        for facet, other in doctored(results[case.name]):
            found = differences(results[case.name], other).keys() == {facet}
            if facet not in seen or not found:
                seen.add(facet)
                yield f"control {facet}", f"the least change in it, made to {case.name}, is reported", found
    for command, changes, what in (("generate", {"seed": SEED + 1, "judge-seed": SEED + 1}, "frames"),
                                   ("rank", {"prompt": PROMPT.replace("red circle", "blue square")}, "expected")):
        case = next((each for each in cases if each.command == command and each.name in results), None)
        if case is None:
            continue
        name = f"control {case.name} with another {next(iter(changes))}"
        found = differences(results[case.name], run_case(current, case, materials, folder / "control", **changes))
        yield name, f"differs in {', '.join(found) or 'nothing'}", what in found


def check_machines(base, current):
    """Results can be equal to the bit only with equal libraries and instruction set."""
    ours, theirs = base.versions(), current.versions()
    if "instruction set" not in ours or "instruction set" not in theirs:
        raise Failed("--version names no instruction set: see versions() in program.py")
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name] != theirs[name]:
            raise Failed(f"{name} must be equal but is {ours[name]} in base and {theirs[name]} in current: "
                         "build both on this machine")
    return ours["instruction set"]


def outcome(case, base, current):
    """(line, whether it is as it should be)."""
    lines, used, good = [], [], True
    for facet, sentence in differences(base, current).items():
        why = reason(case, facet)
        good = good and why is not None
        used += [facet] if why else []
        lines.append(f"{facet}: {sentence}" + (f" [meant: {why}]" if why else ""))
    for facet in FACETS:
        if reason(case, facet) and facet not in used:
            good = False
            lines.append(f"{facet}: is equal but listed in EXPECTED_DIFFERENCES: take it out")
    if not lines:
        count = len(base["frames"]) or len(base["reward"])
        return f"equal ({count} {'videos made' if base['frames'] else 'videos ranked'})", True
    return ("differs as meant; " if good else "DIFFERS ") + "; ".join(lines), good


def main():
    parser = argparse.ArgumentParser(prog="compare.sh")
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--base-bin", type=pathlib.Path, required=True)
    parser.add_argument("--current-bin", type=pathlib.Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    try:
        cases = selected(args.only)
    except KeyError as error:
        print(f"[golden] --only must name cases of --list, but got {error.args[0]}", file=sys.stderr)
        return 2
    base, current = Program("base", args.base_bin), Program("current", args.current_bin)
    begin = time.monotonic()
    try:
        instructions = check_machines(base, current)
    except Failed as error:
        sys.exit(f"[golden] {error}")
    print(f"{len(cases)} of {len(CASES)} cases, {instructions}, {len(EXPECTED_DIFFERENCES)} expected differences",
          flush=True)
    materials = prepare(args.root, args.work / "materials")
    width = max(len(case.name) for case in cases)
    bad, results = [], {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, args.jobs)) as pool:
        running = {(case.name, program.side): pool.submit(run_case, program, case, materials,
                                                          args.work / "runs" / program.side / case.name)
                   for case in cases for program in (base, current)}
        for case in cases:
            try:
                of_base, of_current = [running[case.name, side].result() for side in ("base", "current")]
                line, good = outcome(case, of_base, of_current)
                results[case.name] = of_current
                twin = results.get(case.unlike)
                if twin and twin[case.unlike_in] == of_current[case.unlike_in]:
                    line, good = f"{line}; SAME {case.unlike_in} as {case.unlike}: its options say nothing", False
            except Failed as error:
                line, good = f"FAILED {error}", False
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            print(f"{case.name:{width}}  {line}", flush=True)
            bad += [] if good else [case.name]
    try:
        for name, sentence, seen in control(current, cases, results, materials, args.work / "runs/current"):
            print(f"{name}: {sentence}{'' if seen else ': NOT SEEN'}", flush=True)
            bad += [] if seen else [name]
    except Failed as error:
        print(f"control: FAILED {error}")
        bad.append("control")
    print(f"{len(cases)} cases in {time.monotonic() - begin:.0f} s: " +
          (f"{len(bad)} NOT as they should be: {', '.join(bad)}" if bad else "all as they should be"))
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
