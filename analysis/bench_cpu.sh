#!/bin/sh
# Speed of engine cpu beside the PyTorch cross-check, alternating, in one table and one picture:
#
#     sh analysis/bench_cpu.sh [--steps N] [--rounds N] [--part FACES|start|report]
#
# Without --part everything: 2,000 and 8,000 faces, start-up and output at 50,000, then the report. A part measures one of
# these and adds to build/bench_cpu, so that a machine can be had for some minutes at a time and rounds can be added; `--part
# report` makes analysis/results/bench_cpu.csv and .png of all that is there. Default 5 steps a round, 4 rounds. QUADLOOM names the
# program (default build/bin/quadloom), QL_BENCH_DIR the folder between parts. Rounds alternate so that a change of clock or a
# busy neighbour touches both; processor time is written beside wall time for machines that are shared. PyTorch runs with
# passive waiting and OpenBLAS kernels of its own choice.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
quadloom=${QUADLOOM:-$root/build/bin/quadloom}
work=${QL_BENCH_DIR:-$root/build/bench_cpu}
steps=5 rounds=4 part=all
while [ $# -gt 0 ]; do
    case $1 in
    --steps) steps=$2 ;;
    --rounds) rounds=$2 ;;
    --part) part=$2 ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift 2
done
unset OPENBLAS_CORETYPE
export OMP_WAIT_POLICY=passive
cores=$(nproc)
precisions=fp32
"$quadloom" doctor | grep -q 'cpu_kernels *avx512bf16' && precisions='fp32 bf16'
mkdir -p "$work"

mesh() { # FACES: its file
    [ -f "$work/$1.obj" ] || "$quadloom" generate torus --faces "$1" -o "$work/$1.obj" >/dev/null
    echo "$work/$1.obj"
}

own() { # FACES THREADS PRECISION
    "$quadloom" bench train --mesh "$(mesh "$1")" --steps "$steps" --set train.sampling=far --set engine.name=cpu \
        --set "engine.threads=$2" --set "engine.precision=$3" --json >>"$work/lines"
}

measure() { # FACES
    round=0
    while [ "$round" -lt "$rounds" ]; do
        echo "$1 faces, round $round" >&2
        for precision in $precisions; do
            own "$1" 1 "$precision"
            own "$1" "$cores" "$precision"
        done
        OMP_NUM_THREADS=$cores /usr/bin/python3 "$root/analysis/reference/neurcross.py" bench --mesh "$(mesh "$1")" \
            --steps "$steps" --threads "$cores" >>"$work/lines"
        round=$((round + 1))
    done
}

# All of a run but its steps: reading, tables, first evaluation for output, the result's file. One step is trained.
start() {
    rm -rf "$work/run"
    echo "50000 faces, start-up and output" >&2
    before=$(date +%s.%N)
    "$quadloom" run "$(mesh 50000)" -o "$work/run" --set train.stop_after=1 --set engine.name=cpu --set quads.enabled=false >&2
    echo "$before $(date +%s.%N)" >"$work/start.clock"
    cat "$work"/run/events/*.jsonl >"$work/start"
    rm -rf "$work/run"
}

report() {
    "$quadloom" bench gemm --json >"$work/gemm"
    mkdir -p "$root/analysis/results"
    /usr/bin/python3 "$root/analysis/bench_cpu.py" "$work" "$root/analysis/results/bench_cpu"
}

case $part in
all) measure 2000 && measure 8000 && start && report ;;
start | report) "$part" ;;
*[!0-9]* | '') echo "--part $part: expected a number of faces, start or report" >&2 && exit 2 ;;
*) measure "$part" ;;
esac
