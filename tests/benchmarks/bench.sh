#!/usr/bin/env bash
# ./run bench NAME ...: called with the repository's root, then what the user gave.
set -eu
root=$1; shift
list() {
  cat <<'TEXT'
./run bench judge [--grid T,H,W] [--dtype fp32|bf16]   decode kernels beside the read bandwidth, drift of
                                                       int8, and prefill, decode and memory of the
                                                       VideoScore2 engine beside transformers
./run bench judge --full-size [--rounds N] [--rank]    the same with Qwen2.5-VL-7B's geometry and random
                                                       weights (26 GB of scratch disk)
./run bench drift                                      scores from memory against scores after H.264
./run bench tinyworld                                  the small judge and generator against the oracle
./run bench sampler [--rounds 3] [--full-size]         text encoder, denoiser and decoder beside diffusers, and
                                                       best-of-8 beside diffusers and transformers
./run bench overlap [--rounds 3]                       judging while denoising, on against off
./run bench kill [--kills 30] [--strategy all]         SIGKILL at random instants: winner, scores, files
./run bench memory-limits [--tries 300] [--step 64]    limits on address space: a sentence, never a signal
./run bench selection [--prompts 40] [-n 8]            what best-of-n, halving and race pick, against truth
./run bench cascade [--prompts 12] [-n 8]              what a cascade of judges loses and saves, against truth
./run bench plan [--scratch DIR]                       predicted against measured peak memory at full size
./run bench build                                      a clean build, timed
TEXT
}
name=${1:-}
[ $# -gt 0 ] && shift
export BESTREEL_BIN="$root/build/release/bin"
case $name in
  judge) exec "$root/.deps/venv/bin/python" "$root/tests/benchmarks/judge_bench.py" "$@" ;;
  drift) exec "$root/.deps/venv/bin/python" "$root/tests/benchmarks/drift_bench.py" "$@" ;;
  tinyworld) exec "$root/.deps/venv/bin/python" "$root/examples/tinyworld/evaluate.py" "$@" ;;
  sampler) exec "$root/.deps/venv/bin/python" "$root/tests/benchmarks/sampler_bench.py" "$BESTREEL_BIN" "$@" ;;
  overlap) exec "$root/.deps/venv/bin/python" "$root/tests/benchmarks/overlap_bench.py" "$@" ;;
  kill) exec "$root/.deps/venv/bin/python" "$root/tests/benchmarks/kill_bench.py" "$@" ;;
  memory-limits) exec "$root/.deps/venv/bin/python" "$root/tests/benchmarks/memory_limits.py" "$@" ;;
  selection) exec "$root/.deps/venv/bin/python" "$root/tests/benchmarks/selection_bench.py" "$@" ;;
  cascade) exec "$root/.deps/venv/bin/python" "$root/tests/benchmarks/cascade_bench.py" "$@" ;;
  plan) exec "$root/.deps/venv/bin/python" "$root/tests/benchmarks/plan_bench.py" "$@" ;;
  build)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    begin=$(date +%s)
    CCACHE_DISABLE=1 cmake -S "$root" -B "$scratch" -G Ninja -DBESTREEL_TESTS=OFF >/dev/null
    CCACHE_DISABLE=1 cmake --build "$scratch" -j "$(nproc)" >/dev/null
    echo "clean build without tests: $(($(date +%s) - begin)) s on $(nproc) cores"
    begin=$(date +%s)
    touch "$root/cli/rank.cpp"
    CCACHE_DISABLE=1 cmake --build "$scratch" -j "$(nproc)" >/dev/null
    echo "after touching one file: $(($(date +%s) - begin)) s"
    ;;
  '') list ;;
  *) echo "[bench] $name is no benchmark:" >&2; list >&2; exit 2 ;;
esac
