"""The report in a real browser: it fits a phone, plays its videos, asks the network for nothing.

report_sample writes the page; Chromium loads it in a frame of a phone's width, and the outer page
reports what it measures. Skipped where there is no Chromium.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which(
    "google-chrome")
SAMPLE = pathlib.Path(os.environ.get("BESTREEL_BIN", "")) / "report_sample"

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine"),
    pytest.mark.skipif(not SAMPLE.is_file(), reason=f"{SAMPLE} is not built"),
]

PROBE = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe id="f" src="%s" style="width:%dpx;height:900px;border:0"></iframe><pre id="result"></pre>
<script>
const frame = document.getElementById("f");
const refused = [];
frame.contentWindow.addEventListener("securitypolicyviolation", (e) => refused.push(e.blockedURI));
const wait = async (condition) => {
  for (let i = 0; i < 200 && !condition(); ++i) await new Promise((r) => setTimeout(r, 50));
};
frame.addEventListener("load", async () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  page.addEventListener("securitypolicyviolation", (e) => refused.push(e.blockedURI));
  const videos = [...page.querySelectorAll("video")];
  await wait(() => videos.every((v) => v.readyState >= 2));
  const seek = page.getElementById("seek");
  seek.value = 500;
  seek.dispatchEvent(new view.Event("input"));
  await wait(() => videos.every((v) => !v.seeking && v.currentTime > 0.1));
  const measured = videos.map((v) => ({ready: v.readyState, width: v.videoWidth,
                                       share: v.currentTime / v.duration}));
  const strip = page.querySelector("svg.strip"), box = strip.getBoundingClientRect();
  strip.dispatchEvent(new view.MouseEvent("click", {clientX: box.left + box.width * 0.25}));
  const stripShare = videos[0].currentTime / videos[0].duration;
  page.getElementById("play").click();
  await wait(() => videos.every((v) => !v.paused));
  const playing = videos.every((v) => !v.paused), button = page.getElementById("play").textContent;
  page.getElementById("play").click();
  document.getElementById("result").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth,
    inner: view.innerWidth,
    videos: measured, stripShare, playing, button, paused: videos.every((v) => v.paused),
    styled: view.getComputedStyle(page.querySelector(".card")).overflow,
    controls: !page.getElementById("controls").hidden,
    requests: view.performance.getEntriesByType("resource").map((e) => e.name),
    refused,
  });
});
</script>"""


def look(tmp_path, html, width):
    """Loads `html` in a frame `width` pixels wide and returns what the probe measured."""
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE % (html.as_uri(), width))
    dom = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-web-security",
         "--allow-file-access-from-files", "--virtual-time-budget=20000",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000", "--dump-dom",
         probe.as_uri()],
        capture_output=True, text=True, timeout=120, check=True).stdout
    result = re.search(r'<pre id="result">(.*?)</pre>', dom, re.S).group(1)
    assert result, dom[:2000]
    return json.loads(result.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


@pytest.fixture(scope="module", params=["links", "single"])
def report(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    subprocess.run([SAMPLE, folder, request.param], check=True)
    return folder / "report.html"


@pytest.mark.parametrize("width", [320, 375, 800, 1280])
def test_fits_the_width(report, tmp_path, width):
    """Nothing makes the page scroll sideways, whatever the names are."""
    seen = look(tmp_path, report, width)
    assert seen["inner"] == width
    assert seen["width"] <= width


def test_plays_and_stays_home(report, tmp_path):
    """Every video is decoded and follows the common controls, the strip of frames leads to its
    moment; the policy lets the page's own style and script run and refuses nothing that the page
    needs, and no request leaves the machine."""
    seen = look(tmp_path, report, 1280)
    assert len(seen["videos"]) == 3
    for video in seen["videos"]:
        assert video["ready"] >= 2
        assert video["width"] == 64
        assert video["share"] == pytest.approx(0.5, abs=0.05)
    assert seen["stripShare"] == pytest.approx(0.25, abs=0.02)
    assert seen["playing"] and seen["button"] == "Pause all" and seen["paused"]
    assert seen["styled"] == "hidden"
    assert seen["controls"]
    assert not seen["refused"]
    assert all(name.startswith(("file:", "data:")) for name in seen["requests"])
