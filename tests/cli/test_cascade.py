"""Cascades of judges: cheap ones on all, expensive ones on the survivors."""

import json
import os
import signal
import subprocess
import time

import pytest
import tiny

PROMPT = "a large red triangle moves left over a navy background"


@pytest.fixture(scope="module")
def worlds(binaries, tmp_path_factory):
    """Four clips of the tiny world, some with flaws, which the oracle can judge."""
    folder = tmp_path_factory.mktemp("worlds") / "clips"
    subprocess.run([binaries / "bestreel-tinyworld", "render", "--prompt", PROMPT, "--count", "4", "--seed", "5", "--out",
                    folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def cascade(inputs, out, *more, keep="2"):
    return ["rank", *inputs, "-p", PROMPT, "-j", "pixels", "-j", "tinyworld-oracle", "--cascade", keep, "--out", out, *more]


def test_the_expensive_judge_sees_the_survivors_alone(bestreel, worlds, tmp_path):
    done = bestreel(*cascade([worlds], tmp_path / "run", "--json"))
    assert done.returncode == 0, done.stderr
    *rows, last = map(json.loads, done.stdout.splitlines())
    seen = [row for row in rows if row["results"][1].get("dimensions")]
    assert len(seen) == 2 and all(row["judged_by"] == "tinyworld-oracle/1" and not row["dropped"] for row in seen)
    assert sorted(row["rank"] for row in seen) == [1, 2]
    for row in rows:
        if row not in seen:
            assert row["judged_by"] == "pixels/1" and "judge 1 (pixels) put it at place" in row["dropped"]
    first, second = last["cascade"]
    assert (first["saw"], first["kept"], second["saw"]) == (4, 2, 2)
    assert second["saved_seconds"] == pytest.approx(second["seconds"])  # two of four spared
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Judge by judge" in page and "put it at place" in page
    table = bestreel("resume", tmp_path / "run").stdout
    assert "judge 2 (tinyworld-oracle)" in table and "saved seconds" in table


def test_a_file_that_fails_is_dropped_and_the_others_go_on(bestreel, worlds, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"x" * 100)
    done = bestreel(*cascade([worlds, bad], tmp_path / "run"))
    assert done.returncode == 1
    assert "bad.mp4: judge 1 (pixels) failed on it" in done.stdout
    assert (tmp_path / "run" / "best.mp4").exists()


def test_killed_and_resumed_it_ends_the_same(bestreel, program, worlds, tmp_path):
    assert bestreel(*cascade([worlds], tmp_path / "whole", "--threads", 1)).returncode == 0
    command = [program, *map(str, cascade([worlds], tmp_path / "killed", "--threads", 1))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "run.sqlite").exists() and time.monotonic() < deadline:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert bestreel(*cascade([worlds], tmp_path / "killed", "--threads", 1)).returncode == 0
    exports = [bestreel("export", tmp_path / name, "--format", "jsonl").stdout for name in ("whole", "killed")]
    assert exports[0] == exports[1] and exports[0]
    done = bestreel(*cascade([worlds], tmp_path / "killed", "--threads", 1, keep="3"))
    assert done.returncode == 1 and "--cascade was 2 and is now 3" in done.stderr


def test_generate_judges_its_survivors_alone(bestreel, tmp_path):
    options = tiny.options("--steps", 2, "--judge", "pixels") + ["--judge", "tinyworld-oracle", "--cascade", 1]
    done = bestreel("generate", *options, "-n", 2, "--prompt", tiny.PROMPT, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    rows = tiny.export(bestreel, tmp_path / "run")
    assert [row["judged_by"] for row in sorted(rows, key=lambda row: row["rank"])] == ["tinyworld-oracle/1", "pixels/1"]
    assert "handed on" in done.stdout
    done = bestreel("generate", *options, "-n", 2, "--prompt", tiny.PROMPT, "--out", tmp_path / "b", "--strategy", "race")
    assert done.returncode == 2 and "cascade belongs to" in done.stderr


@pytest.mark.parametrize("more, words", [
    (["-j", "pixels", "--cascade", "2"], "at least two judges"),
    (["-j", "pixels", "-j", "pixels", "--cascade", "3,2"], "one count for every judge but the last"),
    (["-j", "pixels", "-j", "pixels", "-j", "pixels", "--cascade", "2,3"], "must not grow"),
    (["-j", "pixels", "-j", "pixels", "--cascade", "0"], "between 1 and"),
    (["-j", "pixels", "-j", "pixels", "--cascade", "two"], "such as 8,3"),
    (["-j", "pixels", "-j", "pixels", "--cascade", "2,"], "such as 8,3"),
    (["-j", "pixels", "-j", "pixels", "--cascade", "2", "--combine", "weights"], "not combined"),
])
def test_wrong_counts_are_refused(bestreel, worlds, tmp_path, more, words):
    done = bestreel("rank", worlds, "-p", PROMPT, *more, "--out", tmp_path / "run")
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()
