#!/usr/bin/env bash
# Builds test programs of the torch-free part with a sanitizer and runs them: SOURCE PRESET PROGRAM...
set -eu
source=$1 preset=$2
shift 2
cd "$source"
if [ "$preset" = asan ]; then
  command -v clang++ >/dev/null || { echo "SKIPPED: clang++ is missing (apt-get install clang)"; exit 77; }
fi
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" --target "$@"
# Fewer random searches than without a sanitizer, which runs them ten times as slowly.
export BESTREEL_RANDOM_SEED=${BESTREEL_RANDOM_SEED:-1,2}
for program in "$@"; do
  UBSAN_OPTIONS=halt_on_error=1 \
  TSAN_OPTIONS="halt_on_error=1 suppressions='$source/tests/tsan.supp'" \
    "build/$preset/bin/$program" --gtest_brief=1
done
