"""`./run demo`, made small."""

import pathlib
import re
import subprocess
import sys

DEMO = pathlib.Path(__file__).resolve().parents[2] / "examples/tinyworld/demo.py"


def test_the_demo_shows_choice_and_truth_and_can_be_repeated(binaries, tmp_path):
    """Twice into the same folder: equal tables, one choice a prompt, reports that are there."""
    command = [sys.executable, DEMO, "--bin", binaries, "--out", tmp_path / "demo", "-n", "2", "--steps", "2",
               "--prompts", "2"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    rows = re.findall(r"^ +c00\d +[\d.]+ +[\d.]+.*$", first, re.M)
    assert len(rows) == 4 and sum("the judge chose it" in row for row in rows) == 2
    assert rows == re.findall(r"^ +c00\d +[\d.]+ +[\d.]+.*$", second, re.M)
    reports = re.findall(r"^report: (.*)$", first, re.M)
    assert len(reports) == 2 and all(pathlib.Path(report).exists() for report in reports)
