#!/bin/sh
# Builds engines cpu and ref and all below them for 64-bit Arm, without warning, and runs the tests of the kernels under an
# emulator. Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user; exit code 77 (skipped) without.
# TESTS names others of tests/unit/test_engine_cpu.c, which take minutes (theta_and_field_equal_ref flops_and_memory ...).
# MPI, HDF5 and the rest are not there for the other architecture; cmocka, hwloc and libyaml have stand-ins here.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cc=${CROSS_CC:-aarch64-linux-gnu-gcc}
for tool in "$cc" qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "SKIPPED: no $tool (apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"; exit 77; }
done
[ -f /usr/include/xxhash.h ] || { echo "SKIPPED: no xxhash.h (apt-get install libxxhash-dev)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/include"
cp /usr/include/xxhash.h "$work/include/" # the folder itself would bring this machine's libc along

flags="-std=c11 -D_GNU_SOURCE -DXXH_INLINE_ALL -I$root/src -I$root/tests -I$root/tests/portability/include -isystem $work/include
    -O2 -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wno-psabi -Werror -fopenmp"
kernels="-DQL_ISA=baseline -O3 -ffp-contract=fast -fno-trapping-math"
sources="engine/reduce engine/registry engine/ref/angle engine/ref/loops engine/ref/ref engine/ref/sdf
    engine/cpu/cpu_engine engine/cpu/cpu_pack engine/cpu/cpu_plan engine/cpu/cpu_step engine/cpu/isa engine/cpu/team"
for file in "$root"/src/base/*.c "$root"/src/mesh/*.c "$root"/src/model/*.c "$root"/src/field/tables.c "$root"/src/field/feature_distance.c \
    "$root"/src/comm/*.c; do
    case $file in */options_yaml.c | */provenance*.c) continue ;; esac
    sources="$sources ${file#"$root/src/"}"
done
for source in $sources; do
    source=${source%.c}
    # shellcheck disable=SC2086
    "$cc" $flags -c "$root/src/$source.c" -o "$work/$(echo "$source" | tr / _).o"
done
for source in angle_chunk gemm isa_table sdf_chunk; do
    # shellcheck disable=SC2086
    "$cc" $flags $kernels -c "$root/src/engine/cpu/$source.c" -o "$work/$source.o"
done
# shellcheck disable=SC2086
"$cc" $flags -O2 -static "$root/tests/unit/test_engine_cpu.c" "$root/tests/portability/stand_ins.c" "$root/cuda/stub.c" "$work"/*.o \
    -lm -o "$work/test" 2>"$work/linker" || { cat "$work/linker"; exit 1; } # libgomp's dlopen is never called
TESTS=${TESTS-products_equal_plain_loops sine_of_large_phases} qemu-aarch64 "$work/test"
