
// Conveniences only: everything on the page can be read and played without them.
"use strict";
(() => {
  const videos = [...document.querySelectorAll(".screen video")];
  const first = videos[0];
  const byId = (id) => document.getElementById(id);
  const known = (video) => Number.isFinite(video.duration) && video.duration > 0;

  if (first) {
    const play = byId("play"), seek = byId("seek");
    let together = false;
    const show = () => { play.textContent = together ? "Pause all" : "Play all"; };
    const pause = () => { together = false; videos.forEach((video) => video.pause()); show(); };
    play.addEventListener("click", () => {
      if (together) return pause();
      together = true;
      show();
      const time = known(first) ? first.currentTime : 0;
      for (const video of videos) {
        video.currentTime = known(video) ? time % video.duration : 0;
        video.play().catch(() => {});
      }
    });
    // The slider goes by the share of each video, so that different lengths end together.
    seek.addEventListener("input", () => {
      pause();
      for (const video of videos) {
        if (known(video)) video.currentTime = seek.value / seek.max * video.duration * 0.9999;
      }
    });
    byId("rate").addEventListener("change", (event) => {
      for (const video of videos) video.playbackRate = Number(event.target.value);
    });
    first.addEventListener("timeupdate", () => {
      if (!known(first) || first.paused) return;
      seek.value = first.currentTime / first.duration * seek.max;
      if (!together) return;
      for (const video of videos) {  // a tenth of a second apart is what the eye forgives
        if (!known(video)) continue;
        const time = first.currentTime % video.duration;
        if (Math.abs(video.currentTime - time) > 0.1) video.currentTime = time;
      }
    });
    byId("controls").hidden = false;
  }

  // A click on the strip of frames shows that moment.
  for (const strip of document.querySelectorAll("svg.strip")) {
    const video = strip.closest(".card").querySelector("video");
    if (!video) continue;
    strip.classList.add("seekable");
    strip.addEventListener("click", (event) => {
      const box = strip.getBoundingClientRect();
      video.pause();
      if (known(video)) video.currentTime = (event.clientX - box.left) / box.width * video.duration;
    });
  }

  const command = byId("command"), copy = byId("copy");
  if (command && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", () => {
      navigator.clipboard.writeText(command.textContent).then(
        () => { copy.textContent = "Copied"; },
        () => { getSelection().selectAllChildren(command); copy.textContent = "Selected"; });
    });
  }

  // Paper has no folds.
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll(".rationale, .frames details")) fold.open = true;
  });
})();
