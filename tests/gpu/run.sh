#!/bin/sh
# Everything that needs a GPU, in one command, at most 8 minutes, no network: tests of engine cuda, compute-sanitizer on
# small cases, benchmarks in every precision, the PyTorch cross-check on the same GPU where PyTorch is.
#   sh tests/gpu/run.sh [FOLDER [RESULTS]]
# FOLDER: what tests/gpu/pack.sh made (default build/gpu-bundle/gpu; packed first where it is missing and cmake is there).
# RESULTS: folder for JSON and logs (default $OUT, else analysis/results). Ends with "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/../.."
folder=${1:-build/gpu-bundle/gpu}
results=${2:-${OUT:-analysis/results}}
mkdir -p "$results"
began=$(date +%s)
passed=0 failed=0 skipped=0
left() { echo $((470 - $(date +%s) + began)); }

if [ ! -f "$folder/bundle.tar.gz" ]; then
    sh tests/gpu/pack.sh "$(dirname "$folder")" || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
fi
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
tar -C "$place" -xzf "$folder/bundle.tar.gz"
bin=$place/bundle/bin
[ -d "$folder/golden" ] && QL_SHARED=$(cd "$folder" && pwd) && export QL_SHARED

# cuBLASLt: where the loader finds it, or a toolkit's or PyTorch's own.
if ! "$bin/quadloom" doctor | grep -q '^ *cuda  *GPU'; then
    library=$(find / -xdev -name 'libcublasLt.so.1[23]' 2>/dev/null | head -n 1)
    [ -n "$library" ] && LD_LIBRARY_PATH=$(dirname "$library")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} && export LD_LIBRARY_PATH
fi
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=4
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,power.draw --format=csv 2>/dev/null | tee "$results/gpu.csv"
"$bin/quadloom" doctor | grep -A4 '^engines'

# check NAME SECONDS COMMAND...: passes, fails, or is skipped (77); log in RESULTS/NAME.log
check() {
    name=$1 most=$2
    shift 2
    if [ "$(left)" -lt 20 ]; then
        echo "SKIPPED: $name (out of time)"
        skipped=$((skipped + 1))
        return 0
    fi
    [ "$most" -gt "$(left)" ] && most=$(left)
    timeout "$most" "$@" >"$results/$name.log" 2>&1
    code=$?
    case $code in
    0) passed=$((passed + 1)) && echo "passed:  $name" ;;
    77) skipped=$((skipped + 1)) && echo "SKIPPED: $name: $(tail -n 1 "$results/$name.log")" ;;
    *) failed=$((failed + 1)) && echo "FAILED:  $name (exit code $code)" && tail -n 12 "$results/$name.log" ;;
    esac
}

bench() { # NAME FACES STEPS PRECISION
    check "bench-$1" 60 sh -c '"$0" bench train --faces "$1" --steps "$2" --json --set engine.name=cuda \
        --set engine.precision="$3" >"$4"' "$bin/quadloom" "$2" "$3" "$4" "$results/bench-$1.json"
    sed -n 's/^ *"\(s_per_step\|s_per_step_min\|gflops\|checksum\)": /    \1 /p' "$results/bench-$1.json" 2>/dev/null | tr '\n' ' '
    echo
}

check engine 170 "$bin/test_gpu_engine"

small="bench train --faces 64 --steps 3 --set engine.name=cuda --set train.off_points=40"
for tool in memcheck racecheck; do
    if command -v compute-sanitizer >/dev/null 2>&1; then
        # shellcheck disable=SC2086
        check "$tool" 60 compute-sanitizer --tool $tool --error-exitcode 9 "$bin/quadloom" $small
    else
        echo "SKIPPED: $tool (no compute-sanitizer)" && skipped=$((skipped + 1))
    fi
done

for precision in fp32 3xtf32 tf32 bf16; do
    bench "50000-$precision" 50000 20 $precision
    bench "2000-$precision" 2000 100 $precision
done
bench again-2000-fp32 2000 100 fp32
for precision in fp32 tf32; do
    bench "10000-$precision" 10000 40 $precision
    bench "44000-$precision" 44000 20 $precision
    bench "200000-$precision" 200000 8 $precision
done

# Eight small meshes at once: as processes, which take turns on the GPU unless an MPS server runs.
for k in 1 2 3 4 5 6 7 8; do
    "$bin/quadloom" bench train --faces 2000 --steps 200 --json --set engine.name=cuda --set engine.precision=tf32 \
        --set train.seed=$k >"$results/together-$k.json" 2>&1 &
done
wait
grep -h '"s_per_step"' "$results"/together-*.json 2>/dev/null | sed 's/^/    eight at once:/'

# The same method in PyTorch on the same GPU, in the same run.
crosscheck=analysis/reference/neurcross.py
if ! python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    echo "SKIPPED: PyTorch cross-check (no PyTorch with a GPU)" && skipped=$((skipped + 1))
else
    for faces in 2000 50000; do
        "$bin/quadloom" generate torus --faces $faces -o "$place/torus.obj" >/dev/null 2>&1
        check "torch-$faces" 60 python3 $crosscheck bench --mesh "$place/torus.obj" --steps 8 --device cuda
        cat "$results/torch-$faces.log"
    done
fi

# One file for analysis/results: every figure with what it was measured on.
cat "$results"/bench-*.json >"$results/gpu-bench.jsonl" 2>/dev/null
echo "Results: $results ($(($(date +%s) - began)) s)"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
