"""A diffusers pipeline as a host: one candidate after the other, each a call of the pipeline."""

import contextlib
import functools
import inspect
import re
import time

import numpy as np
import torch
from diffusers import DiffusionPipeline

from .identity import identity_of
from .session import usage

# What best_of_n gives to the pipeline by itself.
OURS = ("prompt", "generator", "latents", "output_type", "return_dict", "num_videos_per_prompt", "callback_on_step_end",
        "callback_on_step_end_tensor_inputs")
NEEDED = ("prompt", "num_frames", "num_inference_steps", "generator", "output_type", "callback_on_step_end")


class _Left(Exception):
    """The candidate's way ends before its last step: leaves the pipeline from inside its callback.

    diffusers' own `pipe._interrupt` would still decode the latents, and not every pipeline knows it.
    """


class _Tap:
    """Keeps what the scheduler was last given: a callback sees the latents, but not the model's output."""

    def __init__(self, scheduler):
        self.scheduler, self.last = scheduler, None

    def __enter__(self):
        self.before, step = vars(self.scheduler).get("step"), self.scheduler.step

        @functools.wraps(step)
        def tapped(model_output, timestep, sample, *rest, **named):
            self.last = model_output, sample
            return step(model_output, timestep, sample, *rest, **named)

        self.scheduler.step = tapped
        return self

    def __exit__(self, *exception):
        del self.scheduler.step  # the class's own again
        if self.before is not None:
            self.scheduler.step = self.before

    def x0(self):
        """The x0 estimate of the step just done: of x = (1 - s) x0 + s noise and v = noise - x0."""
        v, x = self.last
        sigma = self.scheduler.sigmas[self.scheduler.step_index - 1].to(device=x.device, dtype=torch.float32)
        return x.float() - sigma * v.float()


def to_uint8(frames):
    """(T, H, W, 3) in 0..1 as export_to_video writes it: cut, not rounded."""
    return (np.clip(np.asarray(frames, dtype=np.float32), 0, 1) * 255).astype(np.uint8)


def wan_preview(pipe, x0):
    """The x0 estimate through the pipeline's own decoder, as WanPipeline decodes its result."""
    config, latents = pipe.vae.config, x0.to(pipe.vae.dtype)
    of = lambda values: torch.tensor(values).view(1, config.z_dim, 1, 1, 1).to(latents.device, latents.dtype)
    with torch.no_grad():
        video = pipe.vae.decode(latents / (1.0 / of(config.latents_std)) + of(config.latents_mean), return_dict=False)[0]
    return to_uint8(pipe.video_processor.postprocess_video(video, output_type="np")[0])


def predicts_flow(scheduler):
    return hasattr(scheduler, "sigmas") and hasattr(scheduler, "step_index") and scheduler.config.get("prediction_type", "flow_prediction") == "flow_prediction"


def no_memory(error):
    """Whether that candidate had not enough memory; on a CPU torch says so in words only."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error))


class Host:
    def __init__(self, pipe, call, preview):
        self.pipe, self.call = pipe, call
        self.kind = type(pipe).__name__
        self._check_kind()
        usual = {name: p.default for name, p in inspect.signature(type(pipe).__call__).parameters.items()}
        self.known = usual | call
        self.steps = self.known["num_inference_steps"]
        if not isinstance(self.steps, int) or self.steps < 1:
            raise usage(f"num_inference_steps must be at least 1, but got {self.steps}")
        self._check_arguments()
        guidance = self.known.get("guidance_scale")
        self.forwards_per_step = 2 if guidance is not None and guidance > 1 else 1
        if preview is None and hasattr(pipe, "vae") and type(pipe.vae).__name__ == "AutoencoderKLWan":
            preview = wan_preview
        self.preview = preview if predicts_flow(getattr(pipe, "scheduler", None)) else None

    def _check_kind(self):
        if not isinstance(self.pipe, DiffusionPipeline):
            raise usage(f"pipe must be a diffusers pipeline that makes videos, but got {self.kind}")
        parameters = inspect.signature(type(self.pipe).__call__).parameters
        missing = [name for name in NEEDED if name not in parameters]
        if missing:
            raise usage(f"pipe must be a pipeline that makes videos, its call takes {', '.join(NEEDED)}, but "
                        f"{self.kind} has no {', '.join(missing)}")
        for name in self.call:
            if name in OURS and name != "prompt":
                raise usage(f"{name} must be left to best_of_n, which sets it for every candidate, but was given")
            if name not in parameters:
                raise usage(f"{name} must be an argument of best_of_n or of {self.kind}, but is neither")

    def _check_arguments(self):
        """The pipeline's own check, before a run begins that could then not be repeated with better ones."""
        check = getattr(self.pipe, "check_inputs", None)
        wanted = inspect.signature(check).parameters if check else {}
        if not check or any(p.default is p.empty and name not in self.known for name, p in wanted.items()):
            return
        try:
            check(**{name: self.known[name] for name in wanted if name in self.known})
        except ValueError as error:
            raise usage(f"{self.kind} refuses its arguments: {error}") from error

    def identity(self, fps):
        return identity_of(self.pipe, {name: value for name, value in self.call.items() if name != "prompt"}, fps)

    def run(self, session):
        """All waves, by the protocol of plugin/engine.h."""
        with _Tap(self.pipe.scheduler) if self.preview else contextlib.nullcontext() as tap:
            while wave := session.next_wave():
                for start in wave:
                    _Candidate(self, session, tap, start).make()


def _seed(state):
    """Of the only state that a pipeline can begin from."""
    found = re.fullmatch(r"seed\((\d+)\)", state)
    if not found:
        raise usage(f"candidates must begin from a seed, but got {state}")
    return int(found[1])


class _Candidate:
    def __init__(self, host, session, tap, start):
        self.host, self.session, self.tap = host, session, tap
        self.id, self.seed = start["id"], _seed(start["state"])
        self.step = 0  # what is reported
        self.done = 0
        self.clock = time.monotonic()

    def make(self):
        self.stop = self.session.next_stop(0)
        if not self.session.request_steps(self.id, 0, self.stop):
            return
        pipe = self.host.pipe
        self._reset_peak()
        try:
            # Drawn on the CPU: the same seed is the same noise whatever the device.
            frames = pipe(**self.host.call, generator=torch.Generator("cpu").manual_seed(self.seed), output_type="np",
                          callback_on_step_end=self._stepped, callback_on_step_end_tensor_inputs=["latents"]).frames
        except _Left:
            pipe.maybe_free_model_hooks()  # which the pipeline does at its own end
            return
        except Exception as error:
            if not no_memory(error):
                raise
            self._failed("out_of_memory", f"there is not enough memory ({str(error).splitlines()[0]}): ask for fewer "
                         "frames or a smaller picture")
            pipe.maybe_free_model_hooks()
            return
        if self.done != self.host.steps:
            raise usage(f"{self.host.kind} must take num_inference_steps = {self.host.steps} steps, but took {self.done}: "
                        "use a scheduler that takes each step once")
        if not np.isfinite(frames[0]).all():
            self._failed("frames_not_finite", "the decoded frames must be finite but hold NaN or infinity: this candidate "
                         "is lost; if it happens often, use a VAE in float32")
            return
        self.session.finished(self.id, to_uint8(frames[0]), self._lap())

    def _stepped(self, pipe, index, timestep, tensors):
        self.done = index + 1
        if self.done == self.stop:
            self._arrived(tensors["latents"])
        elif not self.session.stepped(self.id, self.done):
            self._report()
            raise _Left
        return tensors

    def _arrived(self, latents):
        session, at = self.session, self.done
        if not torch.isfinite(latents).all():
            self._failed("latents_not_finite", "the latents must be finite but hold NaN or infinity: this candidate is "
                         "lost; if it happens often, use float32")
            raise _Left
        self._report()
        if at == self.host.steps:
            return
        if session.wants_preview(self.id, at):
            frames = self.host.preview(self.host.pipe, self.tap.x0())
            session.preview(self.id, at, np.asarray(frames), self._lap())
        if not any(one["id"] == self.id for one in session.resample_at(at)):
            raise _Left
        self.stop = session.next_stop(at)
        if not session.request_steps(self.id, at, self.stop):
            raise _Left
        self._lap()  # waiting for the judge is no denoising

    def _report(self):
        self.session.on_steps_done(self.id, self.done, self._forwards(), self._lap(), self._peak())
        self.step = self.done

    def _failed(self, code, sentence):
        self.session.failed(self.id, self.done, code, f"[diffusers] {sentence}", self._forwards(), self._lap())

    def _forwards(self):
        return float((self.done - self.step) * self.host.forwards_per_step)

    def _lap(self):
        begin, self.clock = self.clock, time.monotonic()
        return self.clock - begin

    def _reset_peak(self):
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def _peak(self):
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
