#!/usr/bin/env bash
# The first run on a GPU, in parts: see docs/gpu.md.
#   first_run.sh [--parts a,b] [--device cpu|cuda] [--bundle FILE.tar.xz | --bin DIR] [--out DIR]
set -eu
exec "${PYTHON:-python3}" "$(dirname "${BASH_SOURCE[0]}")/first_run.py" "$@"
