"""Folders that somebody else made, disks and descriptors that end, files that change meanwhile: nothing of the
user's is lost, nothing hangs, and each sentence says what to do. Every case first shows that the plain thing works."""

import os
import pathlib
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/benchmarks"))
import memory_limits  # noqa: E402

JUDGE = ROOT / "examples/tinyworld/checkpoints/judge"
ESCAPE = "\x1b]0;owned\x07\x1b[31mred\x9b31m"


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for index, source in enumerate(("testsrc2", "smptebars", "mandelbrot")):
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"{source}=size=96x64:rate=8", "-frames:v", "9",
                        "-pix_fmt", "yuv420p", folder / f"{index}.mp4"], check=True)
    subprocess.run(["ffmpeg", "-v", "error", "-i", folder / "0.mp4", folder / "g.gif"], check=True)
    return folder


@pytest.fixture
def rank(bestreel, clips):
    return lambda out, *more, inputs=None, **kwargs: bestreel(
        "rank", *(inputs or [clips]), "-p", "x", "-j", "pixels", "--threads", 1, "--out", out, *more, **kwargs)


@pytest.fixture
def run(rank, tmp_path):
    done = rank(tmp_path / "run")
    assert done.returncode == 0, done.stderr
    return tmp_path / "run"


def edit(run, sql, *values):
    with sqlite3.connect(run / "run.sqlite") as database:
        assert database.execute(sql, values).rowcount > 0, "the store has nothing that this changes"
    database.close()


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_files_of_the_user_survive(rank, bestreel, clips, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "best.docx").write_text("thesis")
    shutil.copy(clips / "0.mp4", folder / "a.mp4")
    shutil.copy(clips / "1.mp4", folder / "b.mp4")
    done = rank(".", inputs=["a.mp4", "b.mp4"], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "best.docx").read_text() == "thesis" and (folder / "best.mp4").exists()
    # A file of the user's takes the name later: it stays, and the run says why it stops.
    (folder / "best.mp4").write_text("precious")
    done = bestreel("resume", folder)
    assert done.returncode == 1 and "best.mp4 is not as this run wrote it" in done.stderr, done.stderr
    assert (folder / "best.mp4").read_text() == "precious"

    other = tmp_path / "e"
    other.mkdir()
    for name, clip in (("best.mov", "0.mp4"), ("b.mp4", "1.mp4"), ("best.mp4", "2.mp4")):
        shutil.copy(clips / clip, other / name)
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    done = rank(".", inputs=["best.mov", "b.mp4", "best.mp4"], cwd=other)
    assert done.returncode == 2 and "best.mov" in done.stderr, done.stderr
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before


def test_a_run_goes_on_where_it_was_moved(rank, bestreel, clips, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(clips, home / "clips")
    done = rank(home / "run", inputs=[home / "clips"])
    assert done.returncode == 0, done.stderr
    best = (home / "run/best.mp4").read_bytes()
    (home / "run").rename(home / "renamed")
    assert bestreel("resume", home / "renamed").returncode == 0
    home.rename(tmp_path / "moved")  # the run and its clips
    (tmp_path / "moved/renamed/best.mp4").unlink()
    done = bestreel("resume", tmp_path / "moved/renamed")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "moved/renamed/best.mp4").read_bytes() == best
    # A clip that is another one now is reported, and the best of before stays.
    with open(tmp_path / "moved/clips/1.mp4", "ab") as file:
        file.write(b"x")
    done = bestreel("resume", tmp_path / "moved/renamed")
    assert done.returncode == 1 and "1.mp4 is missing, or is not the file" in done.stderr, done.stderr
    assert (tmp_path / "moved/renamed/best.mp4").read_bytes() == best


@pytest.mark.parametrize("target", ["report.html", "best.mp4", "run.lock", "report_files", "run.sqlite-wal"])
def test_nothing_is_written_through_a_link(run, bestreel, tmp_path, target):
    assert bestreel("resume", run).returncode == 0
    outside = tmp_path / "outside"
    if target == "report_files":
        outside.mkdir()
        shutil.rmtree(run / target)
    else:
        outside.write_text("precious")
        (run / target).unlink(missing_ok=True)
    (run / target).symlink_to(outside)
    bestreel("resume", run)
    if target == "report_files":
        assert names(outside) == set()
    else:
        assert outside.read_text() == "precious"


@pytest.mark.parametrize("sha", ["/../../../pw00000000", "", "0" * 63 + "/", "0" * 65, "G" * 64])
def test_a_stored_hash_is_no_path(run, bestreel, tmp_path, sha):
    assert bestreel("export", run).returncode == 0
    before = {str(path) for path in tmp_path.rglob("*") if run not in path.parents}
    edit(run, "update events set body=json_set(body,'$.sha256',?) where kind='candidate' and candidate='g.gif'", sha)
    done = bestreel("resume", run)
    assert done.returncode == 1
    assert {str(path) for path in tmp_path.rglob("*") if run not in path.parents} == before


def test_a_page_for_sending_holds_no_other_file(rank, bestreel, clips, tmp_path):
    mine = tmp_path / "in"
    shutil.copytree(clips, mine)
    done = rank(tmp_path / "run", "--single-file", inputs=[mine])
    assert done.returncode == 0, done.stderr
    size = (tmp_path / "run/report.html").stat().st_size
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(os.urandom(200_000))
    edit(tmp_path / "run", "update events set body=json_set(json_remove(body,'$.path_absolute'),'$.path',?) "
         "where kind='candidate' and candidate='1.mp4'", str(secret))
    done = bestreel("resume", tmp_path / "run")
    assert (tmp_path / "run/report.html").stat().st_size < size + 100_000


@pytest.mark.parametrize("sql", [
    "update events set body='{}' where kind='candidate'",
    "update events set body='[7]' where kind='candidate'",
    "update events set body='{' where kind='judged'",
    "update events set body=json_set(body,'$.judge',99) where kind='judged'",
    "update events set body=json_set(body,'$.result',7) where kind='judged'",
    "update events set body=json_set(body,'$.weights','x') where kind='run'",
    "update events set body=json_set(body,'$.weights',json('[1,2,3]')) where kind='run'",
    "update events set body=json_set(body,'$.file','../x') where kind='best_written'",
    "update events set kind='winner_selected', body='{\"order\":[7]}' where kind='best_written'",
    "update events set body=x'ff00' where kind='judged'",
])
def test_a_damaged_store_is_a_sentence_with_its_file(run, bestreel, sql):
    assert bestreel("export", run).returncode == 0
    edit(run, sql)
    for command in ("export", "resume"):
        done = bestreel(command, run)
        assert done.returncode == 1 and done.stdout == "", done.stdout
        assert "run.sqlite" in done.stderr and "unexpected" not in done.stderr, done.stderr
        assert "json.exception" not in done.stderr, done.stderr


def test_no_escape_codes_reach_the_terminal(run, bestreel):
    assert "\x1b" not in bestreel("resume", run).stdout
    failure = '{"failure":{"code":"x","sentence":"' + "\\u001b]0;owned\\u0007" + "y" * 100000 + '"}}'
    edit(run, "update events set body=json_set(body,'$.result',json(?)) where kind='judged'", failure)
    edit(run, "update events set body=json_set(body,'$.id',?) where kind='candidate' and candidate='1.mp4'", ESCAPE)
    edit(run, "update events set candidate=? where candidate='1.mp4'", ESCAPE)
    for arguments in (["export", run], ["export", run, "--format", "csv"], ["resume", run], ["inspect", ESCAPE],
                      [ESCAPE], ["score", ESCAPE, "-p", "x", "-j", "pixels"], ["parse", ESCAPE]):
        done = bestreel(*arguments)
        for text in (done.stdout, done.stderr):
            assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text, arguments
    assert max(map(len, bestreel("resume", run).stdout.splitlines())) < 2000


def test_formulas_in_csv_are_texts(rank, bestreel, clips, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("=cmd|' /C calc'!A0.mp4", "+1.mp4", "-1.mp4", "@sum.mp4", "plain.mp4"):
        shutil.copy(clips / "0.mp4", folder / name)
    assert rank(tmp_path / "run", inputs=[folder]).returncode == 0
    lines = bestreel("export", tmp_path / "run", "--format", "csv").stdout.splitlines()
    cells = [line.split(",")[0].strip('"') for line in lines[1:]]
    assert sorted(cells) == sorted(["'=cmd|' /C calc'!A0.mp4", "'+1.mp4", "'-1.mp4", "'@sum.mp4", "plain.mp4"])
    assert not any("'" in line.split(",", 1)[1] for line in lines)  # numbers are numbers


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["rank", "--help"], ["doctor"], ["inspect", JUDGE],
                                       ["export", "RUN"], ["resume", "RUN"], ["resume", "RUN", "--json"]])
def test_stdout_that_fails_is_a_failure(program, run, arguments):
    line = [program, *(str(run) if word == "RUN" else str(word) for word in arguments)]
    assert subprocess.run(line, capture_output=True).returncode == 0
    with open("/dev/full", "w") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "stdout could not be written" in done.stderr


def test_videos_that_failed_of_the_machine_are_judged_later(rank, tmp_path):
    failed = 0
    for limit in range(4, 40, 3):
        out = tmp_path / str(limit)
        few = rank(out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        assert few.returncode in (0, 1, 127), few.stderr
        failed += few.returncode == 1
        again = rank(out)
        assert again.returncode == 0, (limit, few.stderr, again.stderr)
    assert failed > 2


def test_a_checkpoint_that_shrinks_is_named(program, clips, tmp_path):
    judge = tmp_path / "judge"
    shutil.copytree(JUDGE, judge)
    line = [program, "score", *map(str, sorted(clips.glob("*.mp4"))), "-p", "x", "-j", str(judge), "--threads", "1",
            "--rationale", "200"]
    seen = 0
    for delay in (0.1, 0.3, 0.6, 1.0, 1.5):
        shutil.copy(JUDGE / "model.safetensors", judge)
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        os.truncate(judge / "model.safetensors", 100_000)
        _, stderr = process.communicate(timeout=120)
        assert process.returncode in (0, 1, 2), stderr
        seen += process.returncode == 1 and "model.safetensors" in stderr
    assert seen > 0


def test_what_a_killed_report_left_is_removed(run, bestreel):
    for folder in (run, run / "report_files"):
        (folder / ".bestreel-0123456789abcdef.partial").write_bytes(b"x" * 1000)
    (run / "notes.partial").write_text("the user's")
    assert bestreel("resume", run).returncode == 0
    assert not list(run.rglob(".bestreel-*"))
    assert (run / "notes.partial").exists()


def test_memory_that_ends_is_a_sentence(program, run):
    """A few of the limits that `./run bench memory-limits` tries."""
    line = [program, "export", str(run)]
    assert memory_limits.limited(line, 16 << 30)[0] == 0
    top = memory_limits.needed(line, 64 << 20, 16 << 30)
    for index in range(12):
        status, sentence = memory_limits.limited(line, top - index * (256 << 10))
        assert memory_limits.is_good(status, sentence), (index, status, sentence)
