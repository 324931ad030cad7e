#!/usr/bin/env bash
# Builds one libFuzzer target with clang and runs it for BESTREEL_FUZZ_SECONDS (60): SOURCE TARGET
# The seed is fixed, so that a run that passed passes again; BESTREEL_FUZZ_SEED=0 explores anew.
set -eu -o pipefail
cd "$1"
command -v clang++ >/dev/null || { echo "SKIPPED: clang++ is missing (apt-get install clang)"; exit 77; }
cmake --preset asan >/dev/null
cmake --build --preset asan --target "$2_fuzz"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/new"
seeds=("tests/fuzz/seeds/$2"); [ -d "${seeds[0]}" ] || seeds=()
cd "$scratch"  # a crash leaves its input here; it is printed before the folder goes
"$1/build/asan/bin/$2_fuzz" -seed="${BESTREEL_FUZZ_SEED:-1}" \
  -max_total_time="${BESTREEL_FUZZ_SECONDS:-60}" -timeout=20 \
  -rss_limit_mb=4096 -print_final_stats=1 "$scratch/new" ${seeds[@]+"$1/${seeds[0]}"} 2>&1 | tail -n 25 || {
  for input in crash-* timeout-* oom-*; do [ -f "$input" ] && base64 "$input"; done
  exit 1
}
