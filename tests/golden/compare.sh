#!/usr/bin/env bash
# The program of an earlier commit and that of this tree on the same work: equal frames, tokens, scores, order
# and winner, to the last bit? Run by hand before and after a change that must not change results:
#
#   tests/golden/compare.sh [--only PATTERN,...] [--list] [--base COMMIT] [--base-build DIR] [--current-build DIR]
#                           [--isa NAME] [--jobs N]
#
#   --only best-of-n,halving*   some of the cases (tests/golden/cases.py); --list names them all
#   --base COMMIT               built once in a worktree of its own under build/golden (c2f6244)
#   --base-build DIR            a build folder of the base that is there already, used as it is
#   --current-build DIR         another build folder of the current program, used as it is; without it
#                               build/release is brought up to date first
#   --isa NAME                  BESTREEL_ISA of both: portable, avx2, ...
#   --jobs N                    runs at a time (one per core)
#
# Both run with the same flags, threads, libraries and instruction set. It compares, by seed or file name: the
# decoded frames of each candidate's FFV1 and of each preview, the judges' tokens, the expected value of each
# dimension, rewards, order and winner. A line per case; then controls: the least change of each, another seed
# and another prompt must be seen. Exit status: 0 all as it should be, 1 something differs, 2 usage.
#
# Where flags were renamed or results moved: FLAGS and the readers in program.py. What a change alters on
# purpose: EXPECTED_DIFFERENCES in cases.py, with the reason.
set -eu -o pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
python="$root/.deps/venv/bin/python"
work="$root/build/golden"
commit=c2f6244 base_build='' current_build='' only='' list=no jobs=$(nproc)

say() { printf '[golden] %s\n' "$*" >&2; }
die() { say "$2"; exit "$1"; }

while [ $# -gt 0 ]; do
  case $1 in
    --list) list=yes; shift; continue ;;
    --help | -h) sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'; exit 0 ;;
    --only | --base | --base-build | --current-build | --isa | --jobs) ;;
    *) die 2 "$1 is no option: see --help" ;;
  esac
  [ $# -ge 2 ] || die 2 "$1 must have a value: see --help"
  case $1 in
    --only) only=$2 ;;
    --base) commit=$2 ;;
    --base-build) base_build=$2 ;;
    --current-build) current_build=$2 ;;
    --isa) export BESTREEL_ISA=$2 ;;
    --jobs) jobs=$2 ;;
  esac
  shift 2
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die 2 "--jobs must be at least 1, but got $jobs"
[ -x "$python" ] || die 1 "$python is missing: run ./run setup test"
if [ "$list" = yes ]; then
  exec "$python" -c "import sys; sys.path.insert(0, sys.argv[1]); from cases import CASES
print(*(case.name for case in CASES), sep='\n')" "$here"
fi

# build TREE: build/release of that tree, quietly; the log is shown where it fails.
build() {
  local tree=$1 log="$work/build-$2.log"
  say "building $tree"
  if ! { [ -f "$tree/build/release/build.ninja" ] || (cd "$tree" && cmake --preset release -DBESTREEL_TESTS=OFF); } \
    >"$log" 2>&1 || ! cmake --build "$tree/build/release" -j "$jobs" --target bestreel >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die 1 "$tree could not be built (log: $log)"
  fi
}

mkdir -p "$work"
exec 9>"$work/lock"
flock -n 9 || die 1 "another comparison runs in $work: wait for its end"
if [ -z "$base_build" ]; then
  full=$(git -C "$root" rev-parse --verify --quiet "$commit^{commit}") ||
    die 1 "--base must be a commit of this repository, but got $commit"
  tree="$work/base-${full:0:12}"
  # --force: the folder may have been deleted while git still remembers it.
  [ -e "$tree/.git" ] || git -C "$root" worktree add --force --detach "$tree" "$full" >/dev/null 2>&1 ||
    die 1 "$tree could not be made a worktree of $commit: remove it and try again"
  [ "$(git -C "$tree" rev-parse HEAD)" = "$full" ] && [ -z "$(git -C "$tree" status --porcelain -uno)" ] ||
    die 1 "$tree must be $commit unchanged: remove it and try again"
  [ -e "$tree/.deps" ] || ln -s "$(realpath "$root/.deps")" "$tree/.deps"
  build "$tree" base
  base_build="$tree/build/release"
fi
if [ -z "$current_build" ]; then
  build "$root" current
  current_build="$root/build/release"
fi
for folder in "$base_build" "$current_build"; do
  [ -x "$folder/bin/bestreel" ] || die 1 "$folder/bin/bestreel is missing: name a build folder that has it"
done

exec "$python" "$here/compare.py" --root "$root" --work "$work" --base-bin "$base_build/bin" \
  --current-bin "$current_build/bin" --only "$only" --jobs "$jobs"
