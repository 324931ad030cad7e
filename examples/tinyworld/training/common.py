"""What both trainings share: a resumable loop with a progress line, a loss table and a loss curve.

    loop = Loop(out / "vae", {"model": model, "optimizer": optimizer}, minutes=30)   # resumes by itself
    for step in loop:                     # loop.fraction runs 0..1: for learning-rate schedules
        ...
        loop.log(loss=loss.item())        # averaged between two progress lines
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch


def load_config(path: str | os.PathLike) -> dict:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def pick_device() -> torch.device:
    """A GPU where there is one; else the CPU with BESTREEL_TRAIN_THREADS threads (all cores)."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(int(os.environ.get("BESTREEL_TRAIN_THREADS", os.cpu_count() or 1)))
    return torch.device("cpu")


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    torch.manual_seed(seed)


def save_atomically(value, path: Path) -> None:
    """A kill in the middle of a save leaves the previous file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    torch.save(value, temporary)
    os.replace(temporary, path)


def clock(seconds: float) -> str:
    seconds = int(max(0, seconds))
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


class Loop:
    """Iterates over training steps until `minutes` of training time or `steps` are reached.

    `parts` are things with state_dict and load_state_dict; their state, the step, the time used and the
    random generators of python, numpy and torch go to folder/state.pt every `save_seconds`, on SIGTERM
    and at the end. A new Loop over the same folder goes on from there.
    """

    def __init__(self, folder, parts, *, minutes=None, steps=None, save_seconds=180, log_seconds=15):
        if (minutes is None) == (steps is None):
            raise ValueError("give a Loop either minutes or steps")
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.parts, self.minutes, self.steps = parts, minutes, steps
        self.save_seconds, self.log_seconds = save_seconds, log_seconds
        self.step, self.elapsed = 0, 0.0
        self._sums, self._count, self._stop = {}, 0, False
        self._restore()

    @property
    def fraction(self) -> float:
        done = self.step / self.steps if self.steps else self.elapsed / (60.0 * self.minutes)
        return min(1.0, done)

    def _restore(self):
        path = self.folder / "state.pt"
        if not path.exists():
            (self.folder / "loss.csv").unlink(missing_ok=True)
            return
        state = torch.load(path, map_location="cpu", weights_only=False)
        self.step, self.elapsed = state["step"], state["elapsed"]
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])
        torch.set_rng_state(state["torch"])
        rows = [row for row in self.history() if row["step"] <= self.step]
        (self.folder / "loss.csv").unlink(missing_ok=True)
        for row in rows:
            self._append(row)
        print(f"[{self.folder.name}] goes on from step {self.step}, {clock(self.elapsed)} used", flush=True)

    def save(self):
        state = {
            "step": self.step,
            "elapsed": self.elapsed,
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "torch": torch.get_rng_state(),
        }
        save_atomically(state, self.folder / "state.pt")
        draw_curve(self.history(), self.folder / "loss.png")

    def __iter__(self):
        before = signal.signal(signal.SIGTERM, self._on_signal)
        last = saved = logged = time.monotonic()
        try:
            while self.fraction < 1.0:
                yield self.step
                now = time.monotonic()
                self.step, self.elapsed, last = self.step + 1, self.elapsed + now - last, now
                if now - logged >= self.log_seconds or self.fraction >= 1.0:
                    self._progress(now - logged)
                    logged = now
                if now - saved >= self.save_seconds or self.fraction >= 1.0 or self._stop:
                    self.save()
                    saved = last = time.monotonic()  # saving is not training time
                if self._stop:
                    raise SystemExit(f"stopped at step {self.step}; the same command goes on from there")
        finally:
            signal.signal(signal.SIGTERM, before)

    def _on_signal(self, *_):
        self._stop = True

    def log(self, **values):
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._count += 1

    def _progress(self, seconds):
        if not self._count:
            return
        row = {"step": self.step, "seconds": round(self.elapsed, 1)}
        row |= {name: total / self._count for name, total in self._sums.items()}
        self._append(row)
        left = self.elapsed * (1.0 - self.fraction) / max(self.fraction, 1e-6)
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in ("step", "seconds"))
        rate = self._count / max(seconds, 1e-6)
        print(
            f"[{self.folder.name}] step {self.step}  {100 * self.fraction:.1f} %  {numbers}  "
            f"{rate:.2f} steps/s  ETA {clock(left)}",
            flush=True,
        )
        self._sums, self._count = {}, 0

    def _append(self, row):
        path = self.folder / "loss.csv"
        fresh = not path.exists()
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(row.keys())
            writer.writerow(row.values())

    def history(self) -> list[dict]:
        path = self.folder / "loss.csv"
        if not path.exists():
            return []
        with open(path, encoding="utf-8") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def draw_curve(rows: list[dict], path: Path) -> None:
    """Loss against minutes, one line for each logged value, on a logarithmic scale."""
    if len(rows) < 2:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=110)
    minutes = [row["seconds"] / 60 for row in rows]
    for name in rows[0]:
        if name not in ("step", "seconds"):
            axes.plot(minutes, [row.get(name, float("nan")) for row in rows], label=name, linewidth=1)
    axes.set(xlabel="minutes of training", ylabel="mean since the line before", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def contact_sheet(clips: np.ndarray, path: Path, *, frames=8, scale=2) -> None:
    """A PNG with one row for each clip (count, 17, 64, 64, 3) uint8 and `frames` evenly spaced frames."""
    from PIL import Image

    picks = np.linspace(0, clips.shape[1] - 1, frames).round().astype(int)
    rows = [np.concatenate([np.pad(clip[i], ((1, 1), (1, 1), (0, 0))) for i in picks], axis=1) for clip in clips]
    picture = Image.fromarray(np.concatenate(rows, axis=0))
    picture.resize((picture.width * scale, picture.height * scale), Image.NEAREST).save(path)
