#!/usr/bin/env bash
# Installs the build into a folder of its own and builds a consumer against it: BUILD SOURCE SCRATCH
set -eu
build=$1 source=$2 scratch=$3
rm -rf "$scratch"
cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
cmake -S "$source" -B "$scratch/build" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" -DCMAKE_BUILD_TYPE=Release
cmake --build "$scratch/build"
"$scratch/build/consumer"
"$scratch/prefix/bin/bestreel" --version
