#!/bin/sh
# Packs what tests/gpu/run.sh needs on a machine with a GPU and nothing installed: BUILD/gpu with the bundle and two golden
# files, below 64 MB. Run it where quadloom builds; take the folder along, or the whole checkout.
#   sh tests/gpu/pack.sh [BUILD]      default build/gpu-bundle
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build/gpu-bundle}
golden=${QL_SHARED:-../shared}/golden
cmake -S . -B "$build" -G Ninja -DQL_CUDA=ON -DCMAKE_BUILD_TYPE=Release >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
rm -f "$build.log"
cmake --build "$build" --target bundle -- --quiet
rm -rf "$build/gpu"
mkdir -p "$build/gpu/golden"
tar -C "$build" -czf "$build/gpu/bundle.tar.gz" bundle
if [ -f "$golden/parameters.h5" ]; then
    cp "$golden/README.md" "$golden/parameters.h5" "$golden/bracket352.h5" "$build/gpu/golden/"
fi
chmod -R u+w "$build/gpu"
du -sm "$build/gpu"
echo "On the GPU machine: sh tests/gpu/run.sh $build/gpu"
