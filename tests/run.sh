#!/bin/sh
# Installs what is missing, builds, and runs every test that this machine can run; then the same under the address and
# undefined-behaviour sanitizers. No GPU, no Slurm, no argument needed. Ends with "N passed, N failed, N skipped".
#   sh tests/run.sh            everything
#   sh tests/run.sh release    one preset of CMakePresets.json (several may be named)
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- release asan-ubsan

sh cmake/install-packages.sh cmake/packages.txt tests/packages.txt

for name in $(env | sed -n 's/^\(QL_[A-Z]*_[A-Z0-9_]*\)=.*/\1/p'); do
    unset "$name" # options of the user's own runs
done
. tests/env.sh

jobs=$(getconf _NPROCESSORS_ONLN)
passed=0 failed=0 skipped=0

# Adds what ctest wrote for a preset to the sums. Tests that run but skip a part say "SKIPPED: what (why)".
count() { # FOLDER
    summary=$(sed -n '/<testsuite/,/>/p' "$1/junit.xml" | tr '\n\t' '  ')
    number() { echo "$summary" | sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p"; }
    tests=$(number tests) bad=$(number failures) left_out=$(($(number skipped) + $(number disabled)))
    inside=$(grep -c '^SKIPPED: ' "$1/Testing/Temporary/LastTest.log" || true)
    passed=$((passed + tests - bad - left_out))
    failed=$((failed + bad))
    skipped=$((skipped + left_out + inside))
}

for preset; do
    folder=build/$preset
    echo "== $preset: configuring and building in $folder"
    mkdir -p "$folder"
    strict=OFF
    [ "$preset" = release ] && strict=ON # a warning is a failure, where the compiler sees the code as it is
    cmake --preset "$preset" -DCMAKE_COMPILE_WARNING_AS_ERROR=$strict >"$folder/configure.log" 2>&1 || {
        cat "$folder/configure.log"
        echo "configuring preset $preset failed"
        failed=$((failed + 1))
        continue
    }
    sed -n '/-- quadloom/,/-- .*prefix/p' "$folder/configure.log"
    if ! cmake --build "$folder" -j "$jobs" -- --quiet; then
        echo "building preset $preset failed"
        failed=$((failed + 1))
        continue
    fi
    echo "== $preset: testing"
    rm -f "$folder/junit.xml" "$folder/Testing/Temporary/LastTest.log"
    ctest --preset "$preset" -j "$jobs" --no-tests=error --output-junit junit.xml </dev/null || true
    if [ -f "$folder/junit.xml" ]; then
        count "$folder"
    else
        echo "preset $preset: ctest ran no test"
        failed=$((failed + 1))
    fi
    grep -h '^SKIPPED: ' "$folder/Testing/Temporary/LastTest.log" | sort -u || true
done

echo "Logs: build/PRESET/Testing/Temporary/LastTest.log"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
