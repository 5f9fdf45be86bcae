#!/bin/sh
# Speed of engine cpu beside the PyTorch cross-check, alternating, in one table and one picture:
#
#     sh analysis/bench_cpu.sh [STEPS] [ROUNDS] [FACES...]        default 5 steps a round, 4 rounds, 500 2000 8000 faces
#
# Writes analysis/results/bench_cpu.csv and .png. QUADLOOM names the program (default build/bin/quadloom). Rounds alternate
# so that a change of clock or a busy neighbour touches both; processor time is written beside wall time for machines that
# are shared. PyTorch runs with passive waiting and OpenBLAS kernels of its own choice.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
quadloom=${QUADLOOM:-$root/build/bin/quadloom}
steps=${1:-5}
rounds=${2:-4}
[ $# -gt 2 ] && shift 2 || set -- 500 2000 8000
unset OPENBLAS_CORETYPE
export OMP_WAIT_POLICY=passive
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cores=$(nproc)
for faces in "$@"; do
    "$quadloom" generate torus --faces "$faces" -o "$work/mesh.obj" >/dev/null
    round=0
    while [ "$round" -lt "$rounds" ]; do
        for threads in 1 "$cores"; do
            echo "$faces faces, $threads threads, round $round" >&2
            "$quadloom" bench train --mesh "$work/mesh.obj" --steps "$steps" --set train.sampling=far \
                --set engine.name=cpu --set "engine.threads=$threads" --json >>"$work/lines"
            OMP_NUM_THREADS=$threads /usr/bin/python3 "$root/analysis/reference/neurcross.py" bench --mesh "$work/mesh.obj" \
                --steps "$steps" --threads "$threads" >>"$work/lines"
        done
        round=$((round + 1))
    done
done
"$quadloom" bench gemm --json >"$work/gemm"
mkdir -p "$root/analysis/results"
/usr/bin/python3 "$root/analysis/bench_cpu.py" "$work/lines" "$work/gemm" "$root/analysis/results/bench_cpu"
