#!/bin/sh
# instruction_sets.sh CORE BASELINE AVX2 AVX512 AVX512BF16: lists of objects, separated by semicolons. 256-bit registers
# appear only in those of avx2 and up, 512-bit ones only in those of avx512 and up, products of bf16 only in the last.
set -eu
command -v objdump >/dev/null || { echo "SKIPPED: no objdump"; exit 0; }
failed=0

# has WORD OBJECTS: how many of them use it
has() {
    count=0
    IFS=';'
    for object in $2; do
        case $object in *.o) objdump -d --no-show-raw-insn "$object" | grep -q "$1" && count=$((count + 1)) ;; esac
    done
    unset IFS
    echo "$count"
}

expect() { # WHAT WORD OBJECTS none|some
    found=$(has "$2" "$3")
    if [ "$4" = none ] && [ "$found" -gt 0 ] || [ "$4" = some ] && [ "$found" -eq 0 ]; then
        echo "$1: $found objects use $2, expected $4"
        failed=1
    fi
}
expect core %ymm "$1" none
expect core %zmm "$1" none
expect baseline %ymm "$2" none
expect baseline %zmm "$2" none
expect avx2 %ymm "$3" some
expect avx2 %zmm "$3" none
expect avx512 %zmm "$4" some
expect avx512 vdpbf16ps "$4" none
expect avx512bf16 vdpbf16ps "$5" some
expect avx512bf16 vcvtneps2bf16 "$5" some
exit $failed
