#!/usr/bin/env bash
# format_check.sh CLANG_FORMAT: every C++ file of the tree as .clang-format has it. The formatter is
# pinned (tests/requirements.txt), since its versions differ.
set -eu
formatter=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -x "$formatter" ] || { echo "[format] $formatter is missing: run ./run setup test" >&2; exit 1; }
mapfile -d '' files < <(find core plugin reward sampler app adapters cli examples tests \
  \( -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) -print0 2>/dev/null)
[ ${#files[@]} -gt 100 ] || { echo "[format] found only ${#files[@]} files" >&2; exit 1; }
if ! "$formatter" --dry-run --Werror "${files[@]}"; then
  echo "[format] the files above differ: run $formatter -i on them" >&2
  exit 1
fi
echo "${#files[@]} files are formatted"
