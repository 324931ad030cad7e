"""`bestreel score`: one JSON object per video, sentences for what is wrong."""

import json

import pytest

PROMPT = "bikes on a street"


def test_json_has_the_promised_fields(bestreel, small_videos):
    done = bestreel("score", small_videos / "clean.mp4", small_videos / "noisy.mp4",
                    "--prompt", PROMPT, "--judge", "pixels", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["video"] for line in lines] == [str(small_videos / n) for n in ("clean.mp4", "noisy.mp4")]
    for line in lines:
        assert [d["name"] for d in line["dimensions"]] == ["visual_quality", "temporal_consistency"]
        for dimension in line["dimensions"]:
            assert dimension["score"] in (1, 2, 3, 4, 5)
            assert 1 <= dimension["expected"] <= 5
        assert line["reward"] == pytest.approx(sum(d["expected"] for d in line["dimensions"]) / 2)
        assert line["rationale"] and line["seconds"] > 0
        assert {"sharpness", "blockiness", "noise"} <= set(line["measures"])
        assert line["frames"] == sorted(set(line["frames"])) and line["frames"][0] >= 0
    assert lines[0]["reward"] > lines[1]["reward"]


def test_a_bad_video_fails_alone(bestreel, small_videos, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video at all" * 100)
    done = bestreel("score", bad, small_videos / "clean.mp4", "-p", PROMPT, "-j", "pixels", "--json")
    assert done.returncode == 1
    first, second = map(json.loads, done.stdout.splitlines())
    assert set(first) == {"video", "failure"}
    assert first["failure"]["code"] == "video_corrupt"
    assert "bad.mp4" in first["failure"]["sentence"]
    assert "reward" in second
    assert "bad.mp4" in done.stderr  # the message is on stderr too, stdout holds JSON alone


def test_scores_do_not_depend_on_company(bestreel, small_videos):
    def scores(*names):
        done = bestreel("score", *[small_videos / n for n in names], "-p", PROMPT, "-j", "pixels", "--json")
        assert done.returncode == 0, done.stderr
        objects = [json.loads(line) for line in done.stdout.splitlines()]
        for item in objects:
            del item["seconds"]
        return {item["video"]: item for item in objects}

    together = scores("clean.mp4", "noisy.mp4", "blurred.mp4")
    reordered = scores("blurred.mp4", "clean.mp4", "noisy.mp4")
    assert together == reordered
    for path, item in together.items():
        assert scores(path.rsplit("/", 1)[1])[path] == item


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["a.mp4", "--judge", "pixels"], "[score] prompt must not be empty: pass --prompt TEXT"),
        (["a.mp4", "--prompt", " ", "--judge", "pixels"], "[score] prompt must not be empty: pass --prompt TEXT"),
        (["a.mp4", "--prompt", "", "--judge", "pixels"], "[score] prompt must not be empty: pass --prompt TEXT"),
        (["a.mp4", "--prompt", "x"], "[score] judge must be given"),
        (["--prompt", "x", "--judge", "pixels"], "[score] at least one video must be given"),
        (["a.mp4", "--prompt", "x", "--judge", "nobody"], "[score] judge must be"),
        (["a.mp4", "--prompt", "x", "--judge", "pixels", "--nonsense"], "nonsense"),
        (["a.mp4", "--prompt", "x", "--judge", "pixels", "--threads", "0"], "threads"),
        (["a.mp4", "--prompt", "x", "--judge", "pixels", "--device", "gpu"], "[device] device must be"),
        (["a.mp4", "--prompt", "x", "--judge", "pixels", "--quantize", "int4"], "quantize must be none or int8"),
    ],
)
def test_usage_is_a_sentence(bestreel, arguments, sentence):
    done = bestreel("score", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stdout == ""


def test_a_gpu_that_is_not_there_is_a_sentence(bestreel):
    # Number 120 is missing on a machine with GPUs too.
    done = bestreel("score", "a.mp4", "-p", PROMPT, "-j", "pixels", "--device", "cuda:120")
    assert done.returncode == 1
    assert "[device] cuda:120 was asked for but" in done.stderr
    assert "pass" in done.stderr


@pytest.mark.parametrize(
    "make, code",
    [
        (lambda p: p / "absent.mp4", "video_missing"),
        (lambda p: p, "video_is_folder"),
        (lambda p: (p / "empty.mp4").write_bytes(b"") and None or p / "empty.mp4", "video_empty"),
    ],
)
def test_what_is_no_video_has_its_own_sentence(bestreel, tmp_path, make, code):
    path = make(tmp_path)
    done = bestreel("score", path, "-p", PROMPT, "-j", "pixels", "--json")
    assert done.returncode == 1
    failure = json.loads(done.stdout)["failure"]
    assert failure["code"] == code
    assert str(path) in failure["sentence"]


def test_audio_only_and_truncated(bestreel, small_videos, ffmpeg, tmp_path):
    audio = tmp_path / "tone.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", audio)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((small_videos / "clean.mp4").read_bytes()[:3000])
    done = bestreel("score", audio, cut, "-p", PROMPT, "-j", "pixels", "--json")
    assert done.returncode == 1
    codes = [json.loads(line)["failure"]["code"] for line in done.stdout.splitlines()]
    assert codes == ["video_audio_only", "video_corrupt"]


def test_unreadable_file(bestreel, small_videos, tmp_path):
    import os

    secret = tmp_path / "secret.mp4"
    secret.write_bytes((small_videos / "clean.mp4").read_bytes())
    secret.chmod(0)
    arguments = ["score", secret, "-p", PROMPT, "-j", "pixels", "--json"]
    if os.geteuid() == 0:
        # Root reads every file: become nobody, if nobody can reach the program and the file.
        for folder in tmp_path.parents:
            if folder.stat().st_uid == 0 and "pytest" in str(folder):
                folder.chmod(0o755)
        tmp_path.chmod(0o755)
        try:
            done = bestreel(*arguments, user=65534, group=65534, extra_groups=[])
        except PermissionError:
            pytest.skip("nobody cannot run the program in this folder, and root reads every file")
    else:
        done = bestreel(*arguments)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["failure"]["code"] == "video_unreadable"


def test_int8_weights_are_another_judge(bestreel, small_videos, tmp_path):
    import os
    import pathlib
    import shutil

    root = pathlib.Path(__file__).parents[2]
    judge = tmp_path / "judge"
    shutil.copytree(root / "examples/tinyworld/checkpoints/judge", judge)
    environment = dict(os.environ, XDG_CACHE_HOME=str(tmp_path))
    arguments = ("score", small_videos / "clean.mp4", "-p", "a red circle", "-j", judge, "--rationale", "none", "--json")

    def score(*more):
        done = bestreel(*arguments, *more, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    done = bestreel(*arguments, env=dict(environment, BESTREEL_ISA="mmx"))
    assert done.returncode == 1 and "BESTREEL_ISA must be one of" in done.stderr
    plain, said = score()
    assert "int8" not in said
    first, said = score("--quantize", "int8")
    assert f"converting the weights to int8, once: {judge}" in said
    again, said = score("--quantize", "int8")
    assert said == ""
    for a, b, c in zip(plain["dimensions"], first["dimensions"], again["dimensions"]):
        assert a["expected"] == pytest.approx(b["expected"], abs=0.3) and a["expected"] != b["expected"]
        assert b["probabilities"] == c["probabilities"]


def test_help_version_and_completion(bestreel):
    for command in ("score", "rank", "resume", "export", "doctor", "completion"):
        done = bestreel(command, "--help")
        assert done.returncode == 0 and command in done.stdout
        assert command in bestreel("--help").stdout
        assert command in bestreel("completion", "bash").stdout
    version = bestreel("--version").stdout
    for word in ("bestreel", "instruction set", "libtorch", "libavcodec", "OpenCV", "SQLite"):
        assert word in version
    assert bestreel("nonsense").returncode == 2
    assert bestreel().returncode == 2


def test_doctor_says_what_the_machine_has(bestreel):
    done = bestreel("doctor")
    assert done.returncode in (0, 1)
    for word in ("cores", "memory", "GPU", "libav", "disk"):
        assert word in done.stdout
    assert ("miss" in done.stdout) == (done.returncode == 1)


def test_bash_completion_works_in_bash(bestreel, tmp_path):
    import subprocess

    script = tmp_path / "completion.bash"
    script.write_text(bestreel("completion", "bash").stdout)
    ask = (f'source "{script}"; COMP_WORDS=(bestreel rank --o); COMP_CWORD=2; _bestreel; '
           'echo "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--out"]
