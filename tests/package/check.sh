#!/usr/bin/env bash
# Installs the build into a folder of its own and builds other people's programs against it:
#   BUILD SOURCE SCRATCH [TORCH: the folder of the torch wheel, where the build has libtorch]
set -eu
build=$(realpath "$1") source=$(realpath "$2") scratch=$(realpath -m "$3") torch=${4:-}
rm -rf "$scratch"
scratch="$scratch/a folder with spaces"
mkdir -p "$scratch"
cmake --install "$build" --prefix "$scratch/prefix" >/dev/null

build_against() { # SOURCE FOLDER OPTIONS...
  local from=$1 folder=$2
  shift 2
  cmake -S "$from" -B "$folder" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" -DCMAKE_BUILD_TYPE=Release "$@"
  cmake --build "$folder"
}

if [ -n "$torch" ]; then
  build_against "$source/../../examples/hook_your_loop" "$scratch/hook" -DBESTREEL_TORCH_DIR="$torch" >"$scratch/hook.log" 2>&1 &
  hook=$!
fi
build_against "$source" "$scratch/build"
"$scratch/build/consumer"
"$scratch/prefix/bin/bestreel" --version
[ -n "$torch" ] || exit 0

# ---- A host with a loop of its own: best of six, and the same by halving -------------------------
wait $hook || { cat "$scratch/hook.log"; exit 1; }
cd "$scratch"
said() { # STRATEGY
  hook/hook_your_loop "$1" "run $1"
}
all=$(said best-of-n)
half=$(said halving)
printf '%s\n' "$all" "$half"
[[ $all == *" wins after 72 forwards: "* ]]   # 6 candidates x 12 steps
[[ $half == *" wins after 48 forwards: "* ]]  # 6 x 5 + 3 x 4 + 2 x 3
[ "${all%% *}" = "${half%% *}" ]
# A candidate is what it is, whatever chose it: the survivors have the same bytes in both runs.
for file in "run halving"/c*.mp4 "run halving/best.mp4"; do cmp "$file" "run best-of-n/${file##*/}"; done
[ "$(find "run best-of-n" -maxdepth 1 -name 'c*.mp4' | wc -l)" = 6 ]
[ "$(find "run halving" -maxdepth 1 -name 'c*.mp4' | wc -l)" = 2 ]
[ -s "run halving/report.html" ]
# The best is the best of what was judged, and not merely the first.
rewards=$(prefix/bin/bestreel export "run best-of-n" --format csv | cut -d, -f1,4,5 | tail -n +2 | sort -t, -k2 -g -r)
[[ $rewards == "${all%% *},"*",1"* ]]
