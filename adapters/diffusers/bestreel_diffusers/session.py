"""plugin/session.h for Python: the functions of c_api.h, with errors as exceptions."""

import ctypes
import functools
import json
import math
import numbers
import os
import pathlib
from ctypes import POINTER, c_char, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint8, c_void_p

import numpy as np
import torch  # loads the libtorch that the library's native judge is linked to

NAME = "libbestreel_diffusers.so"
JUDGE = ctypes.CFUNCTYPE(c_int, POINTER(c_uint8), c_int64, c_int64, c_int64, POINTER(c_char), c_size_t)
FRAMES = (POINTER(c_uint8), c_int64, c_int64, c_int64)  # frames, count, height, width


class BestreelError(Exception):
    """A sentence that names the remedy. `code` is a stable word; "usage": the call cannot be meant."""

    def __init__(self, code, sentence):
        super().__init__(sentence)
        self.code = code


def usage(sentence):
    return BestreelError("usage", f"[best_of_n] {sentence}")


def _path():
    """Where the variable says, else beside this file (installed), else the build of this source tree."""
    here = pathlib.Path(__file__).resolve().parent
    named = os.environ.get("BESTREEL_DIFFUSERS_LIBRARY")
    places = [pathlib.Path(named)] if named else [here / NAME, here.parents[2] / "build/release/lib" / NAME]
    for place in places:
        if place.is_file():
            return place
    raise BestreelError("library_missing", f"[bestreel_diffusers] {NAME} must be built, but is not at "
                        f"{' or '.join(map(str, places))}: run `cmake --build --preset release` in Bestreel's folder, "
                        "or name the library by BESTREEL_DIFFUSERS_LIBRARY")


@functools.cache
def library():
    path = _path()
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        raise BestreelError("library_unsuitable", f"[bestreel_diffusers] {path} could not be loaded ({error}): build it "
                            f"again with this Python's torch {torch.__version__}") from error
    signatures = {
        "error": (c_char_p,), "error_code": (c_char_p,), "libtorch": (c_char_p,),
        "open": (c_void_p, c_char_p, c_char_p, JUDGE), "close": (None, c_void_p),
        "next_wave": (c_char_p, c_void_p), "next_stop": (c_int, c_void_p, c_int),
        "request_steps": (c_int, c_void_p, c_int64, c_int, c_int),
        "stepped": (c_int, c_void_p, c_int64, c_int),
        "on_steps_done": (c_int, c_void_p, c_int64, c_int, c_double, c_double, c_int64),
        "wants_preview": (c_char_p, c_void_p, c_int64, c_int),
        "preview": (c_int, c_void_p, c_int64, c_int, *FRAMES, c_double, c_double),
        "resample_at": (c_char_p, c_void_p, c_int),
        "finished": (c_int, c_void_p, c_int64, *FRAMES, c_double),
        "failed": (c_int, c_void_p, c_int64, c_int, c_char_p, c_char_p, c_double, c_double),
        "finish": (c_char_p, c_void_p),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(lib, "bestreel_" + name)
        function.restype, function.argtypes = result, arguments
    built, here = lib.bestreel_libtorch().decode().split("+")[0], torch.__version__.split("+")[0]
    if built and built != here:  # the C++ interface of libtorch changes with every version
        raise BestreelError("library_unsuitable", f"[bestreel_diffusers] {path} must be built with this Python's torch "
                            f"{here}, but was with {built}: build it with -DBESTREEL_TORCH_DIR=…/site-packages/torch")
    return lib


def _answer(judge, frames):
    """What a function said of (T, H, W, 3) uint8, as the library reads it."""
    said = judge(frames)
    values = dict(said) if hasattr(said, "items") else {"reward": said}
    if not values or not all(isinstance(v, numbers.Real) and math.isfinite(v) for v in values.values()):
        raise TypeError(f"a judge must return a finite number, or a dict of them, but returned {said!r}")
    values = {str(name): float(value) for name, value in values.items()}
    return {"reward": sum(values.values()) / len(values), "measures": values}


def _callback(judge):
    @JUDGE
    def call(frames, count, height, width, result, capacity):
        try:
            answer = _answer(judge, np.ctypeslib.as_array(frames, (count, height, width, 3)).copy())
        except BaseException as error:  # of this candidate alone; nobody is above this thread to catch it
            sentence = f"[judge] {type(error).__name__}: {error}"
            answer = {"failure": {"code": "judge_failed", "sentence": sentence[:4000]}}
        text = json.dumps(answer).encode()
        if len(text) >= capacity:
            return -1
        ctypes.memmove(result, text + b"\0", len(text) + 1)
        return 0

    return call


class Session:
    """A run in `directory`; `options` and the methods as in c_api.h. A context manager."""

    def __init__(self, directory, options, judge):
        self._lib, self._handle = library(), None
        self._judge = _callback(judge) if callable(judge) else JUDGE()  # the library keeps no reference of its own
        text = json.dumps(options, ensure_ascii=False).encode("utf-8", "replace")
        self._handle = self._lib.bestreel_open(os.fsencode(directory), text, self._judge)
        if not self._handle:
            raise self._error()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        handle, self._handle = self._handle, None
        self._lib.bestreel_close(handle)

    def _error(self):
        return BestreelError(self._lib.bestreel_error_code().decode(), self._lib.bestreel_error().decode("utf-8", "replace"))

    def _call(self, name, *arguments):
        result = getattr(self._lib, "bestreel_" + name)(self._handle, *arguments)
        if result is None or result == -1:
            raise self._error()
        return result

    @staticmethod
    def _frames(frames):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            raise usage(f"frames must be uint8 of shape (T, H, W, 3), but got {frames.dtype} of {frames.shape}")
        frames = np.ascontiguousarray(frames)
        return frames.ctypes.data_as(POINTER(c_uint8)), *frames.shape[:3]

    def next_wave(self):
        return json.loads(self._call("next_wave"))

    def next_stop(self, step):
        return self._call("next_stop", step)

    def request_steps(self, candidate, begin, end):
        return self._call("request_steps", candidate, begin, end) == 1

    def stepped(self, candidate, step):
        return self._call("stepped", candidate, step) == 1

    def on_steps_done(self, candidate, step, forwards, seconds, peak_bytes):
        self._call("on_steps_done", candidate, step, forwards, seconds, peak_bytes)

    def wants_preview(self, candidate, step):
        return json.loads(self._call("wants_preview", candidate, step))

    def preview(self, candidate, step, frames, seconds):
        self._call("preview", candidate, step, *self._frames(frames), 0.0, seconds)

    def resample_at(self, step):
        return json.loads(self._call("resample_at", step))

    def finished(self, candidate, frames, seconds):
        self._call("finished", candidate, *self._frames(frames), seconds)

    def failed(self, candidate, step, code, sentence, forwards=0.0, seconds=0.0):
        self._call("failed", candidate, step, code.encode(), sentence.encode("utf-8", "replace"), forwards, seconds)

    def finish(self):
        return json.loads(self._call("finish"))
