"""A runner for the bestreel command, and a small set of videos."""

import os
import subprocess

import pytest


@pytest.fixture(scope="session")
def program(binaries):
    return str(binaries / "bestreel")


@pytest.fixture(scope="session")
def bestreel(program):
    """bestreel(*arguments, ...) -> CompletedProcess with text output."""

    def run(*arguments, timeout=120, **kwargs):
        return subprocess.run(
            [program, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            **kwargs,
        )

    return run


@pytest.fixture(scope="session")
def small_videos(tmp_path_factory, ffmpeg, clips):
    """A short real clip and three copies with growing flaws, small enough to judge in no time."""
    folder = tmp_path_factory.mktemp("videos")
    common = ["-i", clips / "bikes.mp4", "-t", "1.5", "-an", "-threads", "1"]
    filters = {
        "clean.mp4": "scale=320:-2",
        "noisy.mp4": "scale=320:-2,noise=alls=40:allf=t:all_seed=1",
        "blurred.mp4": "scale=320:-2,gblur=sigma=4",
        "very blurred.mp4": "scale=320:-2,gblur=sigma=9",
    }
    for name, chain in filters.items():
        ffmpeg(*common, "-vf", chain, "-c:v", "libx264", "-crf", "16", "-pix_fmt", "yuv420p", folder / name)
    return folder


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 300 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root and the right to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)
