#!/usr/bin/env bash
# bare_root.sh BUNDLE.tar.xz PYTHON: the bundle's programs in a root that holds glibc, libstdc++ and torch's
# libraries and nothing else: the device tests, and `bestreel generate` with two judges, mp4 and report.
set -eu -o pipefail
bundle=$(realpath "$1") python=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sources=$(cd "$here/../.." && pwd)
die() { echo "[bare_root] $*" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || die "a bare root needs root: sudo $0, or bundle.sh --no-check"
site=$("$python" -c 'import importlib.util, pathlib; print(pathlib.Path(importlib.util.find_spec("torch").origin).parents[1])')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bundle,site,sources,proc,dev,tmp} "$work/packages"
# The compiler's runtime and glibc, as packed by the distribution: no shell, no tools, no other library.
(cd "$work/packages" && apt-get download -qq libc6 libgcc-s1 libstdc++6 2>"$work/apt.log") ||
  die "packages could not be fetched: $(tail -n 1 "$work/apt.log"): try apt-get update"
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$root"; done
if [ ! -e "$root/lib64/ld-linux-x86-64.so.2" ]; then
  mkdir -p "$root/lib64"
  ln -s ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$root/lib64/ld-linux-x86-64.so.2"
fi
tar -xf "$bundle" -C "$root/bundle"
found=$(find "$root" -path "$root/bundle" -prune -o \( -name 'libav*' -o -name 'libopencv*' \) -print)
[ -z "$found" ] || die "the root is not bare: $found"

inside() { # PROGRAM ARGUMENTS...: mounts end with the namespace
  unshare --mount bash -eu -c '
    root=$1 site=$2 sources=$3 path=/bundle/lib:/site/torch/lib; shift 3
    mount --bind "$site" "$root/site"; mount --bind "$sources" "$root/sources"
    mount --bind /proc "$root/proc"; mount --bind /dev "$root/dev"
    for folder in "$root"/site/nvidia/*/lib; do path=$path:${folder#"$root"}; done
    exec env -i HOME=/tmp TMPDIR=/tmp BESTREEL_TEST_DEVICE=cpu BESTREEL_TEST_SOURCES=/sources \
      "$(command -v python3)" -c "import os, sys; os.chroot(sys.argv[1]); os.chdir(\"/\")
os.environ[\"LD_LIBRARY_PATH\"] = sys.argv[2]; os.execv(sys.argv[3], sys.argv[3:])" "$root" "$path" "$@"
  ' _ "$root" "$site" "$sources" "$@"
}

inside /bundle/bin/bestreel --version || die "bestreel does not start in a bare root"
for test in device_test device_on_fake_test; do
  inside "/bundle/bin/$test" --gtest_brief=1 || die "$test fails in a bare root"
done
mapfile -t command < <(PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 "$python" -c '
import command
for word in command.generate("/tmp/run", model="/sources/examples/tinyworld/checkpoints/generator",
                             judges=("pixels", "/sources/examples/tinyworld/checkpoints/judge")): print(word)')
inside /bundle/bin/bestreel "${command[@]}" || die "generate fails in a bare root"
ffprobe -v error -show_entries stream=codec_name,width,nb_frames -of csv=p=0 "$root/tmp/run/best.mp4" | grep -q '^h264,64,17$' ||
  die "best.mp4 is no H.264 video of 17 frames"
grep -q '<video' "$root/tmp/run/report.html" || die "report.html shows no video"
echo "[bare_root] ok: generate with two judges, mp4 and report, without libav and OpenCV on the machine"
