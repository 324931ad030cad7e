"""arrows_check.py [TREE]: who may include whom, from the include lines alone.

core <- plugin <- {reward, sampler} <- app <- {cli, adapters/c, adapters/diffusers}. Nothing outside examples/ and
tests/ includes examples/. Of the tree that it is given only lines are read, nothing is built; the control makes a tree
with one wrong line of each kind and must see every one of them fail.
"""

import pathlib
import re
import sys
import tempfile

ARROWS = {
    "core": set(),
    "plugin": {"core"},
    "reward": {"core", "plugin"},
    "sampler": {"core", "plugin"},
    "app": {"core", "plugin", "reward", "sampler"},
    "cli": {"core", "plugin", "reward", "sampler", "app"},
    "adapters": {"core", "plugin", "reward", "sampler", "app"},
    "examples": {"core", "plugin", "reward", "sampler"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([a-z_]+)/', re.MULTILINE)
SUFFIXES = {".h", ".cpp", ".cu", ".cuh", ".in"}


def wrong_arrows(tree):
    wrong, read = [], 0
    for room, allowed in ARROWS.items():
        for path in sorted((tree / room).rglob("*")):
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            read += 1
            for target in INCLUDE.findall(path.read_text(errors="replace")):
                if target in ARROWS.keys() | {"tests"} and target != room and target not in allowed:
                    wrong.append(f"{path.relative_to(tree)} includes {target}/, which {room}/ may not know")
    return wrong, read


def control():
    """One wrong line in each room, and a right one beside it: exactly the wrong ones are named."""
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder)
        for room, allowed in ARROWS.items():
            (tree / room).mkdir()
            right = "".join(f'#include "{name}/a.h"\n' for name in sorted(allowed | {room}))
            (tree / room / "right.h").write_text(right + "#include <vector>\n")
            (tree / room / "wrong.cpp").write_text(f'#include "{"cli" if room == "examples" else "examples"}/a.h"\n')
        (tree / "plugin/second.h").write_text('#pragma once\n  #  include "app/a.h"\n')
        wrong, read = wrong_arrows(tree)
        named = {line.split()[0] for line in wrong}
        expected = {f"{room}/wrong.cpp" for room in ARROWS} | {"plugin/second.h"}
        assert named == expected and len(wrong) == len(expected), (named ^ expected, wrong)
        assert read == 2 * len(ARROWS) + 1


def main():
    tree = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    control()
    wrong, read = wrong_arrows(tree)
    if read < 100:
        sys.exit(f"[arrows] found only {read} files in {tree}")
    if wrong:
        sys.exit("[arrows] " + "\n[arrows] ".join(wrong))
    print(f"the include lines of {read} files follow the arrows")


main()
