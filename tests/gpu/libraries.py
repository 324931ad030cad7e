#!/usr/bin/env python3
"""Fills STAGE/lib for the programs in STAGE/bin and the modules that they open, which lie in STAGE/lib already:
libraries.py STAGE LIST [elsewhere]

What LIST names is copied. Every other library that is asked for becomes an empty stub of the same name, since
libav and OpenCV drag in some 120 that no call of ours reaches. The symbols that are then missing are defined by
one library, libmissing.so: each prints its name and exits. Writes STAGE/manifest.json. At the end every program
must pass `ldd -r` with nothing but the stage and this machine's torch. With `elsewhere`, for another machine, the
build must have CUDA and may ask for nothing newer than glibc 2.35.
"""

import importlib.util
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

# What any Linux with glibc and a C++ compiler's runtime has.
SYSTEM = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux", "libgcc_s.so", "libstdc++.so")
NEWEST = {"GLIBC": (2, 35), "GLIBCXX": (3, 4, 30)}
MISSING = """
#include <stdio.h>
#include <unistd.h>
static void missing(const char* name) {
  fprintf(stderr, "[bundle] %s was called, but its library is a stub here\\n", name);
  _exit(70);
}
"""


def run(*command, **more):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **more).stdout


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-dW", path))


def version_needs(path):
    """{library: {version, ...}} as the file asks for them."""
    found, library = {}, None
    for line in run("readelf", "-VW", path).splitlines():
        if match := re.search(r"Version: 1\s+File: (\S+)", line):
            library = found.setdefault(match.group(1), set())
        elif library is not None and (match := re.search(r"Name: (\S+)\s+Flags", line)):
            library.add(match.group(1))
        elif "Version symbols section" in line or "Version definition section" in line:
            library = None
    return found


def search_path():
    """Name to path of what this machine's loader finds."""
    found, kind = {}, {"x86_64": "x86-64", "aarch64": "AArch64"}[platform.machine()]
    for line in run("ldconfig", "-p").splitlines():
        if match := re.match(rf"\s*(\S+) \(libc6,{kind}.*\) => (\S+)", line):
            found.setdefault(match.group(1), match.group(2))
    return found


def torch_folders():
    site = pathlib.Path(importlib.util.find_spec("torch").origin).parents[1]
    return [site / "torch/lib", *sorted(site.glob("nvidia/*/lib"))]


def collect(stage, whole):
    """Copies what `whole` names; returns the names of the stubs."""
    here = search_path()
    torch = {path.name for folder in torch_folders() for path in folder.iterdir()}
    todo = [*(stage / "bin").iterdir(), *(stage / "lib").iterdir()]
    seen, stubs = set(), set()
    while todo:
        for name in needed(todo.pop()):
            if name in seen or name in torch or name.startswith(SYSTEM):
                continue
            seen.add(name)
            if name.split(".so")[0].rstrip("-0123456789.") not in whole and name.split(".so")[0] not in whole:
                stubs.add(name)
                continue
            if name not in here:
                raise SystemExit(f"[bundle] {name} is missing on this machine: run ./run setup test")
            target = stage / "lib" / name
            shutil.copyfile(pathlib.Path(here[name]).resolve(), target)
            run("strip", "--strip-unneeded", target)
            todo.append(target)
    return stubs


def write_stubs(stage, stubs, symbols):
    """The empty ones carry the versions that are asked of them, or each start would warn."""
    work = stage / "stubs"
    work.mkdir()
    source = work / "missing.c"
    source.write_text(MISSING + "".join(f'void {s}(void) {{ missing("{s}"); }}\n' for s in sorted(symbols)))
    shared = ["-shared", "-Os", "-w", "-fno-builtin", "-Wl,-z,noseparate-code", "-Wl,--build-id=none", "-s"]
    run("cc", *shared, "-fPIC", "-Wl,-soname,libmissing.so", source, "-o", stage / "lib/libmissing.so")
    (work / "empty.c").write_text("")
    versions = {}
    for path in [*(stage / "bin").iterdir(), *(stage / "lib").iterdir()]:
        for name, names in version_needs(path).items():
            versions.setdefault(name, set()).update(names)
    for name in sorted(stubs):
        script = work / "versions"
        script.write_text("".join(f"{version} {{ }};\n" for version in sorted(versions.get(name, ()))))
        more = [f"-Wl,--version-script={script}"] if versions.get(name) else []
        run("cc", *shared, "-nostdlib", f"-Wl,-soname,{name}", *more, work / "empty.c", "-Wl,--no-as-needed",
            stage / "lib/libmissing.so", "-o", stage / "lib" / name)
    shutil.rmtree(work)


def missing_symbols(stage, program):
    path = ":".join(map(str, [stage / "lib", *torch_folders()]))
    done = subprocess.run(["ldd", "-r", program], capture_output=True, text=True,
                          env=dict(os.environ, LD_LIBRARY_PATH=path))
    said = done.stdout + done.stderr
    lost = re.findall(r"(\S+) => not found", said)
    if lost or done.returncode != 0:
        raise SystemExit(f"[bundle] {program.name} does not start: {', '.join(lost) or said[-500:]}")
    warned = [line for line in said.splitlines() if "no version information" in line]
    return set(re.findall(r"(?:undefined symbol:|symbol) (\w+)[,\s]", said)), warned


def newest_versions(stage, elsewhere):
    """The newest glibc and libstdc++ that anything asks for; too new a one is an error that names who asks."""
    found = {}
    for path in [*(stage / "bin").iterdir(), *(stage / "lib").iterdir()]:
        for names in version_needs(path).values():
            for name in names:
                kind, _, digits = name.partition("_")
                if kind in NEWEST and re.fullmatch(r"[\d.]+", digits):
                    version = tuple(map(int, digits.split(".")))
                    found[kind] = max(found.get(kind, ()), version)
                    if elsewhere and version > NEWEST[kind]:
                        raise SystemExit(f"[bundle] {path.name} asks for {name}, newer than {NEWEST[kind]}: "
                                         "build on an older system")
    return {kind: ".".join(map(str, version)) for kind, version in found.items()}


def main():
    stage = pathlib.Path(sys.argv[1])
    lines = [line.strip() for line in open(sys.argv[2])]
    elsewhere = sys.argv[3:] == ["elsewhere"]
    if elsewhere and "libtorch_cuda.so" not in needed(stage / "bin/bestreel"):
        raise SystemExit("[bundle] bestreel was built without CUDA: configure where nvcc is found")
    programs = [*sorted((stage / "bin").iterdir()), *sorted((stage / "lib").iterdir())]
    stubs = collect(stage, {line for line in lines if line and not line.startswith("#")})
    for path in (path for folder in torch_folders() for path in folder.glob("*.so*")):
        if spoilt := stubs.intersection(needed(path)):
            raise SystemExit(f"[bundle] torch's {path.name} asks for {', '.join(spoilt)}, which may be no stub: "
                             f"name it in {sys.argv[2]}")
    write_stubs(stage, stubs, set())
    symbols = set().union(*(missing_symbols(stage, program)[0] for program in programs))
    write_stubs(stage, stubs, symbols)
    for program in programs:
        left, warned = missing_symbols(stage, program)
        if left or warned:
            raise SystemExit(f"[bundle] {program.name}: {len(left)} symbols are missing all the same "
                             f"({', '.join(sorted(left)[:5])}) {'; '.join(warned[:3])}")
    real = sorted(path.name for path in (stage / "lib").iterdir() if path.name not in stubs)
    torch = importlib.util.find_spec("torch").origin
    version = re.search(r"__version__.*?'(.+?)'", (pathlib.Path(torch).parent / "version.py").read_text()).group(1)
    try:
        commit = run("git", "-C", pathlib.Path(__file__).parent, "describe", "--always", "--dirty").strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    manifest = dict(commit=commit, programs=[path.name for path in programs], libraries=real, stubs=len(stubs),
                    missing_symbols=len(symbols), newest=newest_versions(stage, elsewhere), torch=version)
    (stage / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"[bundle] {len(real)} libraries, {len(stubs)} stubs, {len(symbols)} symbols that no call reaches; asks for "
          + ", ".join(f"{kind} {version}" for kind, version in manifest["newest"].items()))


if __name__ == "__main__":
    main()
