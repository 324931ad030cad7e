"""`bestreel rank`, `resume`, `export`: the winner's file, the report, and runs that cannot be lost."""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

PROMPT = "bikes on a street"


def rank_arguments(inputs, out, *more):
    return ["rank", *inputs, "--prompt", PROMPT, "--judge", "pixels", "--out", out, *more]


def export(bestreel, run, form="jsonl"):
    done = bestreel("export", run, "--format", form)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_folder_is_ranked_best_first(bestreel, small_videos, tmp_path):
    out = tmp_path / "run"
    done = bestreel(*rank_arguments([small_videos], out))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # quiet when piped
    assert "\x1b" not in done.stdout
    rows = [line for line in done.stdout.splitlines() if re.match(r"\d+ ", line)]
    assert len(rows) == 4 and "clean.mp4" in rows[0]
    rewards = [float(re.search(r"\.mp4\s+(\d\.\d+)", row).group(1)) for row in rows]
    assert rewards == sorted(rewards, reverse=True)
    assert (out / "best.mp4").read_bytes() == (small_videos / "clean.mp4").read_bytes()
    assert (out / "run.sqlite").stat().st_size > 0
    page = (out / "report.html").read_text()
    assert "clean.mp4" in page and PROMPT in page
    assert not re.search(r"""(src|href)\s*=\s*["']https?:""", page)


def test_top_and_json(bestreel, small_videos, tmp_path):
    done = bestreel(*rank_arguments([small_videos], tmp_path / "a", "--top", "2"))
    assert len([line for line in done.stdout.splitlines() if re.match(r"\d+ ", line)]) == 2
    done = bestreel(*rank_arguments([small_videos], tmp_path / "b", "--json"))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 4
    assert "report" in done.stderr


def test_one_bad_file_is_reported_and_the_others_are_ranked(bestreel, small_videos, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(small_videos, folder)
    (folder / "broken.mp4").write_bytes(b"\0" * 5000)
    done = bestreel(*rank_arguments([folder], tmp_path / "run"))
    assert done.returncode == 1
    assert "broken.mp4" in done.stdout and "failed" in done.stdout
    assert (tmp_path / "run" / "best.mp4").read_bytes() == (folder / "clean.mp4").read_bytes()
    assert "broken.mp4" in (tmp_path / "run" / "report.html").read_text()


def test_nothing_but_bad_files_has_no_winner(bestreel, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"x" * 100)
    done = bestreel(*rank_arguments([bad], tmp_path / "run"))
    assert done.returncode == 1
    assert not list((tmp_path / "run").glob("best.*"))
    assert (tmp_path / "run" / "report.html").exists()


def test_two_videos_of_one_name_are_told_apart(bestreel, small_videos, tmp_path):
    for folder, source in (("one", "clean.mp4"), ("two", "noisy.mp4")):
        (tmp_path / folder).mkdir()
        shutil.copy(small_videos / source, tmp_path / folder / "clip.mp4")
    done = bestreel(*rank_arguments([tmp_path / "one" / "clip.mp4", tmp_path / "two" / "clip.mp4"], tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "one/clip.mp4" in done.stdout and "two/clip.mp4" in done.stdout


@pytest.mark.parametrize(
    "inputs, sentence",
    [([], "at least one folder or video"), (["absent"], "does not exist"), (["."], "holds no video")],
)
def test_nothing_to_rank(bestreel, tmp_path, inputs, sentence):
    done = bestreel(*rank_arguments(inputs, "run"), cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_directory_of_another_run_is_refused(bestreel, small_videos, tmp_path):
    out = tmp_path / "run"
    videos = [small_videos / "clean.mp4", small_videos / "noisy.mp4"]
    assert bestreel(*rank_arguments(videos, out)).returncode == 0
    before = export(bestreel, out)
    other_prompt = bestreel("rank", *videos, "-p", "another", "-j", "pixels", "-o", out)
    assert other_prompt.returncode == 1 and "prompt" in other_prompt.stderr
    other_videos = bestreel(*rank_arguments(videos[:1], out))
    assert other_videos.returncode == 1 and "other videos" in other_videos.stderr
    assert export(bestreel, out) == before
    again = bestreel(*rank_arguments(videos, out))  # the same command is welcome
    assert again.returncode == 0 and export(bestreel, out) == before


def test_a_foreign_database_is_refused(bestreel, small_videos, tmp_path):
    import sqlite3

    out = tmp_path / "run"
    out.mkdir()
    with sqlite3.connect(out / "run.sqlite") as database:
        database.execute("create table mine(x)")
    done = bestreel(*rank_arguments([small_videos], out))
    assert done.returncode == 1 and "run.sqlite" in done.stderr
    with sqlite3.connect(out / "run.sqlite") as database:
        assert database.execute("select name from sqlite_master").fetchall() == [("mine",)]


def test_out_must_not_be_the_videos_folder(bestreel, small_videos, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(small_videos, folder)
    done = bestreel(*rank_arguments([folder], folder))
    assert done.returncode == 2 and "out" in done.stderr


def test_resume_refuses_another_thread_count(bestreel, small_videos, tmp_path):
    out = tmp_path / "run"
    assert bestreel(*rank_arguments([small_videos], out, "--threads", "1")).returncode == 0
    refused = bestreel("resume", out, "--threads", "2")
    assert refused.returncode == 1 and "--threads was 1 and is now 2" in refused.stderr
    assert bestreel("resume", out).returncode == 0


def test_resume_and_export_without_a_run(bestreel, tmp_path):
    for command in ("resume", "export"):
        done = bestreel(command, tmp_path)
        assert done.returncode == 1 and str(tmp_path) in done.stderr
    assert bestreel("export", tmp_path, "--format", "xml").returncode == 2


def test_export_is_canonical(bestreel, small_videos, tmp_path):
    names = ["clean.mp4", "noisy.mp4", "blurred.mp4"]
    first = bestreel(*rank_arguments([small_videos / n for n in names], tmp_path / "a"))
    second = bestreel(*rank_arguments([small_videos / n for n in reversed(names)], tmp_path / "b"))
    assert first.returncode == second.returncode == 0
    for form in ("csv", "jsonl"):
        assert export(bestreel, tmp_path / "a", form) == export(bestreel, tmp_path / "b", form)
    rows = export(bestreel, tmp_path / "a", "csv").splitlines()
    assert len(rows) == 4 and "seconds" not in rows[0]


def test_single_file_report_holds_the_videos(bestreel, small_videos, tmp_path):
    out = tmp_path / "run"
    assert bestreel(*rank_arguments([small_videos], out, "--single-file")).returncode == 0
    assert (out / "report.html").read_text().count("data:video/mp4;base64,") == 4


def test_ranking_by_two_judges(bestreel, small_videos, tmp_path):
    done = bestreel(*rank_arguments([small_videos], tmp_path / "run", "--judge", "pixels", "--judge-weights", "1,2"))
    assert done.returncode == 0, done.stderr
    assert "1:visual_quality" in done.stdout and "2:visual_quality" in done.stdout
    assert bestreel(*rank_arguments([small_videos], tmp_path / "x", "--judge-weights", "1,2")).returncode == 2


def test_a_second_process_is_refused(bestreel, program, small_videos, tmp_path):
    out, folder = tmp_path / "run", tmp_path / "in"
    shutil.copytree(small_videos, folder)
    first = subprocess.Popen([program, *map(str, rank_arguments([folder], out, "--watch"))],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: (out / "report.html").exists())
        second = bestreel(*rank_arguments([folder], out))
        assert second.returncode == 1
        assert "run.lock" in second.stderr and str(first.pid) in second.stderr
        assert export(bestreel, out).count("\n") == 4  # reading is not refused
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(30)


def wait_for(condition, seconds=60):
    """Polls: the other process gives no other sign."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_watch_ranks_what_arrives(program, bestreel, small_videos, tmp_path):
    out, folder = tmp_path / "run", tmp_path / "in"
    folder.mkdir()
    shutil.copy(small_videos / "noisy.mp4", folder / "a.mp4")
    process = subprocess.Popen([program, *map(str, rank_arguments([folder], out, "--watch"))],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    noisy, clean = ((small_videos / n).read_bytes() for n in ("noisy.mp4", "clean.mp4"))
    try:
        wait_for(lambda: (out / "best.mp4").exists() and (out / "best.mp4").read_bytes() == noisy)
        (folder / "b.mp4").write_bytes(clean)
        wait_for(lambda: (out / "best.mp4").read_bytes() == clean)
        (folder / "b.mp4").write_bytes(b"spoilt")  # written again: judged again
        wait_for(lambda: (out / "best.mp4").read_bytes() == noisy)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert process.returncode == 1  # one of the two has failed
    assert "spoilt" not in export(bestreel, out)


def test_interrupt_keeps_what_is_done(program, bestreel, clips, tmp_path):
    out = tmp_path / "run"
    many = tmp_path / "in"
    many.mkdir()
    for i in range(12):
        shutil.copy(clips / "bigbuckbunny.mp4", many / f"{i:02}.mp4")
    process = subprocess.Popen([program, *map(str, rank_arguments([many], out))],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (out / "run.sqlite").exists() and judged(out) >= 1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "resume" in stdout and (out / "report.html").exists()
    assert 1 <= judged(out) < 12
    assert bestreel("resume", out).returncode == 0
    assert judged(out) == 12


def judged(run):
    import sqlite3

    try:
        # Closed at once: the writer clears its log away only when nobody reads any more.
        with contextlib.closing(sqlite3.connect(f"file:{run}/run.sqlite?mode=ro", uri=True,
                                                timeout=10)) as database:
            return database.execute("select count(*) from events where kind = 'judged'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0  # the file is just being made


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_instant_a_run_ends_the_same(program, bestreel, small_videos, tmp_path, seed,
                                                  undisturbed):
    """SIGKILL at a random instant of the run's own duration, up to three times, then the same command."""
    reference, duration = undisturbed
    randomness = random.Random(seed)
    out = tmp_path / "run"
    command = [program, *map(str, rank_arguments([small_videos], out))]
    for _ in range(randomness.randint(1, 3)):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=randomness.uniform(0, duration))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if seed % 2 == 0 and (out / "run.sqlite").exists() and judged(out) > 0:
        done = bestreel("resume", out)
    else:
        done = bestreel(*command[1:])
    assert done.returncode == 0, done.stderr
    assert export(bestreel, out) == export(bestreel, reference)
    assert (out / "best.mp4").read_bytes() == (reference / "best.mp4").read_bytes()
    assert (out / "report.html").exists()
    left = {p.name for p in out.iterdir()}
    assert left == {p.name for p in reference.iterdir()}, "nothing is left behind"


@pytest.fixture(scope="module")
def undisturbed(program, small_videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "run"
    begin = time.monotonic()
    subprocess.run([program, *map(str, rank_arguments([small_videos], out))], check=True,
                   stdout=subprocess.DEVNULL)
    return out, time.monotonic() - begin


def test_a_full_disk_is_a_sentence_and_loses_nothing(bestreel, small_videos, tiny_disk):
    out = tiny_disk / "run"
    filler = tiny_disk / "filler"
    filler.write_bytes(b"\0" * 150_000)
    done = bestreel(*rank_arguments([small_videos], out))
    assert done.returncode == 1
    assert "disk is full" in done.stderr
    filler.unlink()
    for extra in tiny_disk.glob("filler*"):
        extra.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", tiny_disk], check=True)
    done = bestreel(*rank_arguments([small_videos], out))
    assert done.returncode == 0, done.stderr
    assert (out / "best.mp4").read_bytes() == (small_videos / "clean.mp4").read_bytes()
