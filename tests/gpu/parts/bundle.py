"""The programs start here: every library is found, every symbol that is bound at the start too."""

import concurrent.futures
import json
import pathlib
import re
import subprocess

import command
from common import GENERATOR, JUDGE, Part

part = Part()
bundle = part.context["bundle"]
if bundle:
    part.data("manifest", json.loads((pathlib.Path(bundle) / "manifest.json").read_text()))

    def resolve(name):
        return name, subprocess.run(["ldd", "-r", part.bin / name], capture_output=True, text=True,
                                    env=part.environment())

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        resolved = list(pool.map(resolve, sorted(path.name for path in part.bin.iterdir())))
    for name, done in resolved:
        said = done.stdout + done.stderr
        bad = re.findall(r".*(?:not found|undefined symbol).*", said)
        part.check(f"ldd -r {name}", done.returncode == 0 and not bad, "; ".join(line.strip() for line in bad[:5]))
for arguments in (["--version"], ["doctor"]):
    done = part.run("bestreel", *arguments, timeout=30)
    part.check(f"bestreel {arguments[0]}", done.returncode == 0, done.stderr[-300:])
    part.data(f"bestreel {arguments[0]}", done.stdout)
    if arguments[0] == "doctor" and part.device == "cuda":
        part.check("doctor names a GPU", "GiB free of" in done.stdout)

# The demo, with two judges, an mp4 and a report, by the machine's CPU: the libraries are whole enough.
out = part.work / "bundle-demo"
done = part.run("bestreel", *command.generate(out, model=GENERATOR, judges=("pixels", JUDGE), threads=part.threads),
                timeout=60)
part.check("generate with two judges", done.returncode == 0, done.stderr[-400:])
for name, begin in (("best.mp4", b"ftyp"), ("report.html", b"<!")):
    path = out / name
    part.check(f"generate wrote {name}", path.exists() and begin in path.read_bytes()[:64].lower())
