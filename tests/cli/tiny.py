"""What the tests of `bestreel generate` share: the shipped tiny generator, few steps, small files."""

import json
import pathlib
import shutil
import struct

ROOT = pathlib.Path(__file__).resolve().parents[2]
GENERATOR = ROOT / "examples/tinyworld/checkpoints/generator"
PROMPT = "a large red circle moves left over a gray background"
USUAL = {"--model": GENERATOR, "--size": "64x64", "--frames": 17, "--fps": 4, "--steps": 6, "--guidance": 2,
         "--judge": "tinyworld-oracle", "--threads": 1}


def options(*override):
    """The usual options, some of them replaced: an option may be given once."""
    chosen = USUAL | dict(zip(override[::2], override[1::2]))
    return [word for pair in chosen.items() for word in pair]


SMALL = options()


def export(bestreel, run):
    done = bestreel("export", run, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def files_of(run):
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.mp4"))}


def without_paths(rows, run):
    return json.loads(json.dumps(rows).replace(str(run), "RUN"))


def copied(folder):
    """The generator's files, to be spoilt."""
    shutil.copytree(GENERATOR, folder)
    return folder


def spoil(folder, part, tensor, value=b"\xc0\x7f", at=0):
    """Writes `value` (by default bfloat16's NaN) over number `at` of a tensor's bfloat16 numbers."""
    (path,) = (folder / part).glob("*.safetensors")
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8:8 + length])[tensor]
    assert entry["dtype"] == "BF16"
    begin = 8 + length + entry["data_offsets"][0] + 2 * at
    data[begin:begin + len(value)] = value
    path.unlink()  # another process may have it mapped
    path.write_bytes(data)
