#!/usr/bin/env bash
# The programs with what they need, for a machine that has Python and torch but no network, no libav and no
# OpenCV: one file of less than 20 MB.
#   tests/gpu/bundle.sh [--bin build/release/bin] [--out build/gpu/bundle.tar.xz] [--no-check]
#   tests/gpu/bundle.sh --stage DIR     the same as a folder, not packed and not tried in a bare root
# Needs the programs built with tests, the pinned reference libraries, and for the check root and apt.
set -eu -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=$root/build/release/bin out=$root/build/gpu/bundle.tar.xz stage='' check=yes
while [ $# -gt 0 ]; do
  case $1 in
    --bin) bin=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --stage) stage=$2; check=no; shift 2 ;;
    --no-check) check=no; shift ;;
    *) echo "[bundle] $1 is no option: $(sed -n 4,5p "$0")" >&2; exit 2 ;;
  esac
done
python=${PYTHON:-$root/.deps/venv/bin/python}
programs=(bestreel judge_speed wan_speed judge_dump wan_dump device_test device_on_fake_test
  sampler_on_device_test judge_on_device_test)
modules=(libbestreel_unigram.so)  # opened at run time, beside the programs in lib
largest=20000000  # bytes packed

die() { echo "[bundle] $*" >&2; exit 1; }
for program in "${programs[@]}"; do
  [ -x "$bin/$program" ] || die "$bin/$program is missing: ./run test builds it (cmake --build build/release)"
done
if [ -z "$stage" ]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  stage=$scratch/bundle
fi
for module in "${modules[@]}"; do
  [ -e "$bin/../lib/$module" ] || die "$bin/../lib/$module is missing: cmake --build build/release"
done
rm -rf "$stage"
mkdir -p "$stage/bin" "$stage/lib"
for program in "${programs[@]}"; do
  strip -o "$stage/bin/$program" "$bin/$program"
  # The build's folders mean nothing elsewhere; LD_LIBRARY_PATH says where the libraries are.
  echo "file(RPATH_REMOVE FILE \"$stage/bin/$program\")" >"$stage/rpath.cmake"
  cmake -P "$stage/rpath.cmake" >/dev/null
done
rm "$stage/rpath.cmake"
for module in "${modules[@]}"; do strip --strip-unneeded -o "$stage/lib/$module" "$bin/../lib/$module"; done
PYTHONDONTWRITEBYTECODE=1 "$python" "$here/libraries.py" "$stage" "$here/bundle_libraries.txt" ${scratch:+elsewhere}

# Reference values are computed once for the same checkpoints, scripts and versions.
references=$root/build/gpu/references
stamp=$(cat "$here/references.py" "$here/models.py" "$root/tests/requirements.txt" "$root/tests/cli/sizes.py" \
  "$root"/examples/tinyworld/checkpoints/*/model.safetensors \
  "$root"/examples/tinyworld/checkpoints/generator/*/*.safetensors | sha256sum | cut -c1-16)
if [ "$(cat "$references/stamp" 2>/dev/null)" != "$stamp" ]; then
  rm -rf "$references"
  mkdir -p "$references"
  PYTHONDONTWRITEBYTECODE=1 "$python" "$here/references.py" "$references" >"$references/log" 2>&1 ||
    { tail -n 5 "$references/log" >&2; die "the reference values could not be computed (log: $references/log)"; }
  echo "$stamp" >"$references/stamp"
fi
cp -r "$references" "$stage/references"
rm -f "$stage/references/log"
# diffusers is the one reference library that the other machine lacks; it is Python alone. Models, no pipelines.
site=$("$python" -c 'import importlib.util, pathlib; print(pathlib.Path(importlib.util.find_spec("diffusers").origin).parents[1])')
mkdir -p "$stage/references/site"
(cd "$site" && find diffusers diffusers-*.dist-info -path diffusers/pipelines -prune -o \( -name '*.py' -o -name METADATA \) -print) |
  tar -C "$site" -cf - -T - | tar -C "$stage/references/site" -xf -

echo "[bundle] $(du -sm "$stage" | cut -f1) MB, $(find "$stage/lib" -type f | wc -l) libraries"
[ -n "${scratch:-}" ] || exit 0
mkdir -p "$(dirname "$out")"
tar -C "$stage" --sort=name --owner=0 --group=0 --mtime=@0 -cf - . | xz -T1 --x86 --lzma2=preset=6,dict=64MiB >"$out.part"
size=$(stat -c %s "$out.part")
[ "$size" -lt "$largest" ] || die "$out would have $size bytes, but at most $largest may travel: see $out.part"
mv "$out.part" "$out"
echo "[bundle] $out: $size bytes"
if [ "$check" = yes ]; then bash "$here/bare_root.sh" "$out" "$python"; fi
