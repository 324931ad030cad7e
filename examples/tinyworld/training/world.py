"""The tiny world's renderer and oracle, reached through the C API (examples/tinyworld/c_api.h).

There is one renderer and one oracle, in C++; this file only carries numpy arrays in and out. A clip is
uint8 RGB of shape (17, 64, 64, 3), shown at 4 frames per second.
"""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path

import numpy as np

FRAMES, SIDE, FPS = 17, 64, 4
NAME = "libbestreel_tinyworld_c.so"
REPOSITORY = Path(__file__).resolve().parents[3]

_library = None


def find_library() -> Path:
    """BESTREEL_TINYWORLD_LIB, else the newest library under build/; one built with sanitizers cannot be loaded."""
    named = os.environ.get("BESTREEL_TINYWORLD_LIB")
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"BESTREEL_TINYWORLD_LIB names {named}, which is not a file")
        return Path(named)
    built = (path for name in ("release", "debug") for path in (REPOSITORY / "build" / name).glob(f"**/{NAME}"))
    found = sorted(built, key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(
            f"no {NAME} under {REPOSITORY / 'build'}: build the project first (./run build), or set "
            "BESTREEL_TINYWORLD_LIB"
        )
    return found[-1]


def _load():
    global _library
    if _library is None:
        lib = ctypes.CDLL(str(find_library()))
        u8, text, u64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64
        count, size = ctypes.c_int, ctypes.c_size_t
        lib.tw_error.restype = text
        lib.tw_error.argtypes = []
        lib.tw_samples.argtypes = [u64, count, text, u8, text, size]
        lib.tw_render.argtypes = [text, text, u64, u8]
        lib.tw_damage.argtypes = [text, u64, count, count, count, u8]
        lib.tw_oracle.argtypes = [text, u8, count, count, count, text, size]
        lib.tw_words.argtypes = [text, size]
        _library = lib
    return _library


def _check(code: int) -> None:
    if code != 0:
        raise RuntimeError(_load().tw_error().decode())


def _frames(frames) -> np.ndarray:
    frames = np.ascontiguousarray(frames, dtype=np.uint8)
    if frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(f"frames must be (count, height, width, 3) uint8 but are {frames.shape}")
    return frames


def samples(seed: int, count: int, *, pixels: bool = True, **options):
    """(clips (count,17,64,64,3) uint8 or None, list of dicts). options: split, flaws, chroma, labels.

    Sample i depends on (options, seed + i) alone.
    """
    frames = np.empty((count, FRAMES, SIDE, SIDE, 3), np.uint8) if pixels else None
    buffer = ctypes.create_string_buffer(4096 * count + 4096)
    pointer = frames.ctypes.data if pixels else None
    _check(_load().tw_samples(seed, count, json.dumps(options).encode(), pointer, buffer, len(buffer)))
    return frames, json.loads(buffer.value)


def render(prompt: str, seed: int, flaws=()) -> np.ndarray:
    """One clip (17,64,64,3) of a prompt; flaws are dicts of kind and severity."""
    frames = np.empty((FRAMES, SIDE, SIDE, 3), np.uint8)
    _check(_load().tw_render(prompt.encode(), json.dumps(list(flaws)).encode(), seed, frames.ctypes.data))
    return frames


def damage(frames, flaws, seed: int) -> np.ndarray:
    """A copy of any frames with visual flaws."""
    frames = _frames(frames).copy()
    count, height, width, _ = frames.shape
    _check(_load().tw_damage(json.dumps(list(flaws)).encode(), seed, count, height, width, frames.ctypes.data))
    return frames


def oracle(prompt: str, frames) -> dict:
    """The truth of a clip: truth, reason, rationale, seen, background."""
    frames = _frames(frames)
    count, height, width, _ = frames.shape
    buffer = ctypes.create_string_buffer(65536)
    _check(
        _load().tw_oracle(prompt.encode(), frames.ctypes.data, count, height, width, buffer, len(buffer))
    )
    return json.loads(buffer.value)


def words() -> list[str]:
    """Every word of the grammar and of the rationale."""
    buffer = ctypes.create_string_buffer(1 << 20)
    _check(_load().tw_words(buffer, len(buffer)))
    return json.loads(buffer.value)
