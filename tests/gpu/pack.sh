#!/bin/sh
# Packs all that tests/gpu/run.sh needs on a machine with a GPU and nothing installed, below 56 MiB: BUILD/gpu with the
# programs and their libraries, the script itself, golden numbers and the PyTorch cross-check. Run it where quadloom builds.
#   sh tests/gpu/pack.sh [BUILD]      default build/gpu-bundle
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build/gpu-bundle}
golden=${QL_SHARED:-../shared}/golden
mkdir -p "$build"
cmake -S . -B "$build" -G Ninja -DQL_CUDA=ON -DCMAKE_BUILD_TYPE=Release >"$build/configure.log" 2>&1 || {
    cat "$build/configure.log"
    exit 1
}
cmake --build "$build" --target bundle -- --quiet
rm -rf "$build/gpu"
mkdir -p "$build/gpu/golden"
tar -C "$build" -cJf "$build/gpu/bundle.tar.xz" bundle
cp tests/gpu/run.sh analysis/reference/neurcross.py "$build/gpu/"
if [ -f "$golden/parameters.h5" ]; then
    cp "$golden/README.md" "$golden/parameters.h5" "$golden/bracket352.h5" "$build/gpu/golden/"
else
    rmdir "$build/gpu/golden"
    echo "no golden numbers at $golden: the golden test will be skipped"
fi
chmod -R u+w "$build/gpu"
kilobytes=$(du -sk "$build/gpu" | cut -f1)
echo "$build/gpu: $kilobytes KiB"
[ "$kilobytes" -lt 57344 ] || { echo "more than 56 MiB" >&2; exit 1; }
echo "On the GPU machine: sh $build/gpu/run.sh, or the folder anywhere: sh run.sh"
