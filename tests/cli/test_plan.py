"""`bestreel plan` and --memory: predictions against measured peaks, refusals, remedies."""

import json
import subprocess
import sys

import pytest
import sizes
import tiny

# A small parent, so that the peak which a child inherits by its fork is none of ours.
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
if done.returncode != 0:
    sys.exit(done.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def peak_of(program, *arguments):
    done = subprocess.run([sys.executable, "-c", MEASURE, program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def plan(bestreel, *arguments, code=0):
    done = bestreel("plan", *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def part(planned, name):
    return next(row["bytes"] for row in planned["parts"] if row["name"] == name)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, ffmpeg):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=256x192:r=8", "-frames:v", "33", "-pix_fmt", "yuv420p", path)
    return path


@pytest.fixture(scope="module")
def large_judge(tmp_path_factory):
    return sizes.large_judge(tmp_path_factory.mktemp("plan") / "judge")


def within(planned, measured):
    assert abs(planned["peak"] - measured) <= 0.1 * measured, (planned, measured)


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_a_judges_peak_is_predicted(bestreel, program, large_judge, clip, dtype):
    options = ["--judge", large_judge, "--dtype", dtype, "--threads", 1, "--prompt", "a test", "--rationale", 8]
    within(plan(bestreel, *options, clip), peak_of(program, "score", clip, *options))


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_a_generators_peak_is_predicted(bestreel, program, tmp_path, dtype):
    model = sizes.large_generator(tmp_path / "model")
    options = tiny.options("--model", model, "--steps", 2, "--judge", "pixels", "--threads", 1)
    options += ["-n", 2, "--prompt", tiny.PROMPT, "--model-dtype", dtype]
    within(plan(bestreel, *options), peak_of(program, "generate", *options, "--out", tmp_path / "run"))


def test_decoding_a_larger_picture_is_predicted(bestreel, program, tmp_path):
    options = tiny.options("--steps", 1, "--guidance", 1, "--size", "512x384", "--frames", 9, "--judge", "pixels")
    options += ["-n", 1, "--prompt", tiny.PROMPT]
    within(plan(bestreel, *options), peak_of(program, "generate", *options, "--out", tmp_path / "run"))


# From the configs alone: the published sizes of both models.
def test_full_size_from_configs_alone(bestreel, tmp_path):
    judge, model = sizes.full_size_judge(tmp_path / "judge"), sizes.full_size_generator(tmp_path / "model")
    planned = plan(bestreel, "--model", model, "--judge", judge, "--memory", "64G", "-n", 8)
    assert planned["fits"] and not planned["weights_seen"]
    assert part(planned, "denoiser") == 4 * 1_418_996_800
    # 8,292,166,656 parameters in bfloat16, of which most of the table of embeddings is never read
    table = 2 * 152_064 * 3584
    assert 2 * 8_292_166_656 - table < part(planned, "judge") < 2 * 8_292_166_656 - 0.95 * table
    # 5,680,910,336 parameters in float32, but for the table
    assert part(planned, "text encoder") == pytest.approx(4 * (5_680_910_336 - 256_384 * 4096), rel=0.01)
    assert planned["seconds"]["total"] > 0 and planned["machine"]["bytes_per_second"] > 1e8


def test_what_does_not_fit_is_named_with_the_cheapest_remedy(bestreel, tmp_path):
    judge = sizes.full_size_judge(tmp_path / "judge")
    done = bestreel("plan", "--judge", judge, "--memory", "12G")
    assert done.returncode == 1
    assert "[plan] does not fit: judging needs" in done.stderr and "int8" in done.stderr
    done = bestreel("plan", "--judge", judge, "--memory", "100M")
    assert done.returncode == 1 and "at least" in done.stderr


def test_a_run_obeys(bestreel, large_judge, clip, tmp_path):
    options = ["--prompt", "a test", "--judge", large_judge, "--dtype", "bf16", "--rationale", "none", "--threads", 1]
    done = bestreel("rank", clip, *options, "--out", tmp_path / "a", "--memory", "200M")
    assert done.returncode == 1 and done.stderr.startswith("[rank] judging needs ")
    assert not (tmp_path / "a").exists()
    done = bestreel("rank", clip, *options, "--out", tmp_path / "a", "--memory", "8G")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("plan: at most ") and done.stderr.count("\n") == 1
    done = bestreel("resume", tmp_path / "a")
    assert done.returncode == 0 and done.stderr.startswith("plan: ")
    done = bestreel("score", clip, *options, "--memory", "100M")
    assert done.returncode == 1 and "--memory is 105 MB" in done.stderr
    done = bestreel("generate", *tiny.options(), "-n", 1, "--prompt", tiny.PROMPT, "--out", tmp_path / "b", "--memory", "50M")
    assert done.returncode == 1 and "[generate] " in done.stderr and not (tmp_path / "b").exists()


@pytest.mark.parametrize("arguments, words", [
    (["--judge", "pixels", "--memory", "24X"], "such as 24G"),
    (["--judge", "pixels", "--memory", "-1G"], "such as 24G"),
    (["--memory", "24G"], "a model or a judge must be given"),
    (["--model", sizes.JUDGE, "--memory", "24G"], "model_index.json"),
    (["--judge", sizes.GENERATOR, "--memory", "24G"], "config.json"),
    (["--model", sizes.GENERATOR, "--size", "63x64", "--frames", "17"], "multiple"),
    (["--judge", "pixels", "--size", "wide"], "WIDTHxHEIGHT"),
    (["--judge", "pixels", "--judge", "pixels", "--cascade", "1,2"], "cascade must"),
])
def test_bad_input_is_refused_with_a_sentence(bestreel, arguments, words):
    done = bestreel("plan", *arguments)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert words in done.stderr and done.stderr.count("\n") == 1, done.stderr
