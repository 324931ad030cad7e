#!/usr/bin/env bash
# Eight clips of one prompt, seven with flaws on purpose: the small judge ranks them, the oracle tells
# the truth beside it. Called by ./run demo rank with the repository's root.
set -eu -o pipefail
root=$1
out="$root/demo-run"
bin="$root/build/release/bin"
judge="$root/examples/tinyworld/checkpoints/judge"
prompt="a large red triangle moves left over a navy background"

rm -rf "$out"
mkdir -p "$out"
echo "eight clips of \"$prompt\", seven with flaws"
"$bin/bestreel-tinyworld" render --prompt "$prompt" --count 8 --seed 5 --out "$out/videos"
"$bin/bestreel" score "$out"/videos/*.mp4 --prompt "$prompt" --judge "$judge" --json >"$out/scores.jsonl"
echo "what the judge says beside the truth (mean : visual quality, text alignment, physical consistency)"
"$bin/bestreel-tinyworld" oracle "$out"/videos/*.mp4 --prompt "$prompt" --scores "$out/scores.jsonl"
"$bin/bestreel-tinyworld" sheet "$out"/videos/*.mp4 --prompt "$prompt" --scores "$out/scores.jsonl" \
  --out "$out/sheet.png"
echo
"$bin/bestreel" rank "$out/videos" --prompt "$prompt" --judge "$judge" --out "$out/run"
echo "contact sheet: demo-run/sheet.png"
