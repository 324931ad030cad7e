"""The judge `pixels` on real clips: a clip wins against its degraded copy."""

import json

import pytest

NOISE = "noise=alls={}:allf=t:all_seed=1"
BRIGHTNESS_FLICKER = "eq=brightness='{}*sin(2.3*n)':eval=frame"
DROPPED = r"select='not(mod(n\,{}))',setpts=N/FRAME_RATE/TB"
HELD = r"select='not(mod(n\,3))',fps=25"

# (clip, filter, crf): H.264 at rising CRF, noise, blur, dropped and held frames, flicker.
PAIRS = [
    ("bikes", "null", 32), ("bikes", "null", 38), ("bikes", "null", 44), ("bikes", "null", 50),
    ("bigbuckbunny", "null", 36), ("bigbuckbunny", "null", 42), ("bigbuckbunny", "null", 48),
    ("carphone_pristine", "null", 40), ("carphone_pristine", "null", 46),
    ("bikes", NOISE.format(12), 12), ("bigbuckbunny", NOISE.format(25), 12),
    ("carphone_pristine", NOISE.format(18), 12),
    ("bikes", "gblur=sigma=1.5", 12), ("bigbuckbunny", "gblur=sigma=2.5", 12),
    ("carphone_pristine", "gblur=sigma=1", 12),
    ("bikes", DROPPED.format(3), 12), ("carphone_pristine", DROPPED.format(2), 12),
    ("bikes", HELD, 12),
    ("bigbuckbunny", BRIGHTNESS_FLICKER.format(0.05), 12), ("bikes", BRIGHTNESS_FLICKER.format(0.1), 12),
]  # fmt: skip


@pytest.fixture(scope="module")
def reward(bestreel):
    known = {}

    def of(path):
        if path not in known:
            done = bestreel("score", path, "-p", "a clip", "-j", "pixels", "--json")
            assert done.returncode == 0, done.stderr
            known[path] = json.loads(done.stdout)["reward"]
        return known[path]

    return of


def test_a_clip_wins_against_its_degraded_copy(reward, clips, ffmpeg, tmp_path):
    wrong = []
    for index, (clip, chain, crf) in enumerate(PAIRS):
        copy = tmp_path / f"{index}.mp4"
        ffmpeg("-i", clips / f"{clip}.mp4", "-an", "-vf", chain, "-c:v", "libx264", "-crf", crf,
               "-pix_fmt", "yuv420p", "-threads", "1", copy)
        margin = reward(clips / f"{clip}.mp4") - reward(copy)
        if margin <= 0:
            wrong.append((clip, chain, crf, round(margin, 3)))
    assert len(PAIRS) == 20
    assert len(wrong) <= 2, wrong


def test_the_pristine_carphone_wins_against_the_distorted(reward, clips):
    assert reward(clips / "carphone_pristine.mp4") > reward(clips / "carphone_distorted.mp4")


@pytest.mark.parametrize("clip", ["bikes", "bigbuckbunny", "carphone_pristine"])
@pytest.mark.parametrize("frame", [0, 40, 75])
def test_a_static_image_does_not_win(reward, clips, ffmpeg, tmp_path, clip, frame):
    still = tmp_path / "still.mp4"
    ffmpeg("-i", clips / f"{clip}.mp4", "-an", "-vf",
           rf"select='eq(n\,{frame})',loop=loop=60:size=1:start=0,setpts=N/25/TB", "-r", "25",
           "-c:v", "libx264", "-crf", "8", "-pix_fmt", "yuv420p", "-threads", "1", still)
    assert reward(clips / f"{clip}.mp4") > reward(still)
