#!/usr/bin/env bash
# Builds the torch-free part with a sanitizer and runs its unit tests there: SOURCE PRESET
set -eu
cd "$1"
cmake --preset "$2" >/dev/null
cmake --build --preset "$2"
# One test at a time: the machine may have as few as two cores, and this runs beside other tests.
UBSAN_OPTIONS=halt_on_error=1 \
TSAN_OPTIONS="halt_on_error=1 suppressions='$1/tests/tsan.supp'" \
  ctest --test-dir "build/$2" --output-on-failure -LE pytest
