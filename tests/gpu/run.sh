#!/bin/sh
# Everything that needs a GPU, in one command, at most 8 minutes (QL_GPU_SECONDS: another limit), no network: tests of engine cuda,
# benchmarks in every precision, the PyTorch cross-check on the same GPU where PyTorch is, a whole run of a 22,000-vertex model, whole
# runs in every precision side by side, compute-sanitizer on small cases, where a step's time goes (ncu).
#   sh run.sh [FOLDER [RESULTS]]
# FOLDER: what tests/gpu/pack.sh made; default: the folder of this script when bundle.tar.xz lies there, else
# build/gpu-bundle/gpu of the checkout (packed first where it is missing and cmake is there).
# A part that fails or takes too long stops no later one; what says most comes first.
# RESULTS: folder for four files (default $OUT, else analysis/results, else .), written as the run goes on: gpu.csv (what the
# machine is), gpu-bench.jsonl (one object per benchmark), gpu-summary.txt (what this script prints), gpu-log.txt (all output).
# Ends with "N passed, N failed, N skipped"; exit code 0: none failed; 3: there is no GPU to run on.
# QL_GPU_DRY_RUN=1 goes on without a GPU, with engine cpu in its place, 3 steps each: a test of this script.
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ -f "$here/bundle.tar.xz" ]; then
    folder=${1:-$here}
    crosscheck=$here/neurcross.py
    analysis=.
else
    cd "$here/../.." || exit 1
    folder=${1:-build/gpu-bundle/gpu}
    crosscheck=analysis/reference/neurcross.py
    analysis=analysis/results
fi
results=${2:-${OUT:-$analysis}}
dry=${QL_GPU_DRY_RUN:-0}
engine=cuda
mkdir -p "$results" || exit 1
results=$(cd "$results" && pwd)
summary=$results/gpu-summary.txt
log=$results/gpu-log.txt
bench_file=$results/gpu-bench.jsonl
: >"$summary" && : >"$log" && : >"$bench_file"
began=$(date +%s)
passed=0 failed=0 skipped=0

say() { echo "$@" | tee -a "$summary"; }
left() { echo $((${QL_GPU_SECONDS:-480} - 10 - $(date +%s) + began)); }
finish() { # EXIT_CODE
    say "Results: $results ($(($(date +%s) - began)) s)"
    say "$passed passed, $failed failed, $skipped skipped"
    exit "$1"
}

if [ ! -f "$folder/bundle.tar.xz" ]; then
    sh tests/gpu/pack.sh "$(dirname "$folder")" >>"$log" 2>&1 || { tail -n 20 "$log"; failed=1; finish 1; }
fi
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
tar -C "$place" -xJf "$folder/bundle.tar.xz" 2>>"$log" ||
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$folder/bundle.tar.xz" "$place" || {
    say "FAILED:  bundle.tar.xz cannot be unpacked here (neither xz nor Python's lzma)"
    failed=1
    finish 1
}
bin=$place/bundle/bin
if [ -d "$folder/golden" ]; then
    QL_SHARED=$(cd "$folder" && pwd)
    export QL_SHARED
fi
if ! "$bin/quadloom" --version >>"$log" 2>&1; then
    say "FAILED:  the bundled program does not start here: $(tail -n 1 "$log")"
    failed=1
    finish 1
fi

# cuBLASLt and NCCL: where the loader finds them, or a toolkit's or PyTorch's own.
has_gpu() { "$bin/quadloom" doctor 2>/dev/null | grep -q '^ *cuda  *GPU'; }
look_for() { # FILE: its folder joins the loader's path
    library=$(find /usr /opt /root /home -name "$1" 2>/dev/null | head -n 1)
    [ -n "$library" ] || return 0
    LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$(dirname "$library")
    export LD_LIBRARY_PATH
}
if ! has_gpu; then
    wanted=$("$bin/quadloom" doctor 2>/dev/null | sed -n 's/.*\(libcublasLt\.so\.[0-9]*\) not found.*/\1/p' | head -n 1)
    look_for "${wanted:-libcublasLt.so.1[123]}"
fi
ldconfig -p 2>/dev/null | grep -q libnccl.so.2 || look_for libnccl.so.2
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=4
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,power.draw --format=csv 2>/dev/null | tee "$results/gpu.csv"
"$bin/quadloom" doctor >>"$log" 2>&1
"$bin/quadloom" doctor 2>/dev/null | grep -A4 '^engines' | tee -a "$summary"
if ! has_gpu; then
    if [ "$dry" != 1 ]; then
        say "STOPPED: engine cuda cannot run here (the line above says why); nothing was measured"
        finish 3
    fi
    say "DRY RUN: engine cpu in the place of engine cuda, three steps; no figure below means anything"
    engine=cpu
fi

# check NAME SECONDS COMMAND...: passes, fails, or is skipped (77); its output goes to the log and to $place/NAME.out.
check() {
    name=$1 most=$2
    shift 2
    if [ "$(left)" -lt 20 ]; then
        say "SKIPPED: $name (out of time)"
        skipped=$((skipped + 1))
        return 0
    fi
    [ "$most" -gt "$(left)" ] && most=$(left)
    timeout -k 5 "$most" "$@" >"$place/$name.out" 2>"$place/$name.err"
    code=$?
    { echo "=== $name: exit code $code" && cat "$place/$name.out" "$place/$name.err"; } >>"$log"
    case $code in
    0) passed=$((passed + 1)) && say "passed:  $name" ;;
    77) skipped=$((skipped + 1)) && say "SKIPPED: $name: $(cat "$place/$name.out" "$place/$name.err" | tail -n 1)" ;;
    *) failed=$((failed + 1)) && say "FAILED:  $name (exit code $code)" && cat "$place/$name.out" "$place/$name.err" | tail -n 12 ;;
    esac
}

# figures FILE: what a benchmark's JSON has of these, on a line
figures() {
    tr ',{}' '[\n*]' <"$1" | sed -n 's/^ *"\(s_per_step\|s_per_step_min\|gflops\|checksum\)": *\(.*\)$/\1 \2 /p' | tr '\n' ' '
}

# bench FACES STEPS PRECISION
bench() {
    steps=$2
    precision=$3
    [ $engine = cpu ] && steps=3 && precision=fp32
    check "bench-$1-$3" 60 "$bin/quadloom" bench train --faces "$1" --steps "$steps" --json \
        --set engine.name=$engine --set engine.precision="$precision"
    out=$place/bench-$1-$3.out
    [ -s "$out" ] || return 0
    tr -d '\n' <"$out" >>"$bench_file" && echo >>"$bench_file"
    say "    $(figures "$out")"
}

# at_once FACES STEPS PRECISION N: N engines beside each other in one process
at_once() {
    check "at-once-$4-of-$1-$3" 40 "$bin/quadloom" bench train --at-once "$4" --faces "$1" --steps "$2" --json \
        --set engine.name=$engine --set engine.precision="$3"
    out=$place/at-once-$4-of-$1-$3.out
    [ -s "$out" ] || return 0
    tr -d '\n' <"$out" >>"$bench_file" && echo >>"$bench_file"
    say "    $(figures "$out")"
}

# columns SUMMARY.CSV NAME...: these of its first row, on a line
columns() {
    file=$1
    shift
    [ -s "$file" ] || return 0
    {
        printf '   '
        for name in "$@"; do
            awk -F, -v name="$name" 'NR == 1 { for (i = 1; i <= NF; ++i) if ($i == name) at = i } NR == 2 { printf " %s %s", name, $at }' "$file"
        done
        echo
    } | tee -a "$summary"
}
step_of() { awk -F, 'NR == 1 { for (i = 1; i <= NF; ++i) if ($i == "s_per_step") at = i } NR == 2 { print $at }' "$1" 2>/dev/null; }

# step_s NAME: seconds per step of a benchmark that has run
step_s() { [ ! -s "$place/$1.out" ] || tr ',{}' '[\n*]' <"$place/$1.out" | sed -n 's/^ *"s_per_step": *\(.*\)$/\1/p'; }

# gflops NAME: of a benchmark that has run; empty when it has not
gflops() { [ ! -s "$place/$1.out" ] || tr ',{}' '[\n*]' <"$place/$1.out" | sed -n 's/^ *"gflops": *\(.*\)$/\1/p'; }

# Do the kernels compute what they should? Then what says most comes first: a call that runs out of time has it.
check engine-first 60 "$bin/test_gpu_engine" first
grep -h '^golden' "$place/engine-first.out" 2>/dev/null | tr -d '()' | awk '$NF > 0 && $(NF - 2) / $NF > worst[$2] { worst[$2] = $(NF - 2) / $NF; line[$2] = $0 }
    END { for (p in line) printf "    nearest to its tolerance: %s (%.2f of it)\n", line[p], worst[p] }' | tee -a "$summary"

bench 2000 200 fp32
bench 2000 200 tf32
if [ $engine = cuda ]; then
    for precision in tf32 bf16 fp32 3xtf32; do bench 50000 24 "$precision"; done
    at_once 2000 80 tf32 8
    share_of_large() { # AT-ONCE-NAME BENCH-NAME
        one=$(gflops "$2") eight=$(gflops "$1")
        [ -n "$one" ] && [ -n "$eight" ] &&
            say "    8 x 2,000 faces: $(echo "$one $eight" | awk '{ printf "%.0f %%", 100 * $2 / $1 }') of the rate at 50,000 (to beat: 80 %)"
    }
    share_of_large at-once-8-of-2000-tf32 bench-50000-tf32
    bench 2000 200 bf16
    at_once 2000 80 bf16 8
    share_of_large at-once-8-of-2000-bf16 bench-50000-bf16
    for precision in tf32 bf16 fp32; do bench 44000 24 "$precision"; done
else
    at_once 100 1 fp32 2
fi

# The same method in PyTorch on the same GPU, in the same run.
if ! python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    say "SKIPPED: PyTorch cross-check (no PyTorch with a GPU)" && skipped=$((skipped + 1))
else
    for faces in 2000 50000; do
        "$bin/quadloom" generate torus --faces $faces -o "$place/torus.obj" >/dev/null 2>&1
        check "torch-$faces" 50 python3 "$crosscheck" bench --mesh "$place/torus.obj" --steps 8 --device cuda
        tail -n 3 "$place/torch-$faces.out" 2>/dev/null | tee -a "$summary"
    done
fi

check engine-rest 110 "$bin/test_gpu_engine" rest

if [ $engine = cuda ]; then
    bench 2000 100 3xtf32
    for precision in fp32 tf32 bf16; do
        bench 10000 40 "$precision"
        bench 200000 8 "$precision"
    done
fi

# A 22,000-vertex model, all inclusive: as many of its 10,000 steps as a minute has room for; the others are added by the
# time of a step.
"$bin/quadloom" generate double-torus --faces 44000 -o "$place/model.obj" >>"$log" 2>&1
steps=$(step_s bench-44000-bf16 | awk '{ n = $1 > 0 ? int(60 / $1) : 500; print n > 10000 ? 10000 : n }')
[ -n "$steps" ] || steps=500
precision=bf16 model=$place/model.obj
[ $engine = cpu ] && steps=1 precision=fp32 && "$bin/quadloom" generate torus --faces 100 -o "$place/model.obj" >>"$log" 2>&1
since=$(date +%s)
check whole-run 170 "$bin/quadloom" run "$model" -o "$place/whole" --set engine.name=$engine --set engine.precision=$precision \
    --set train.steps="$steps"
took=$(($(date +%s) - since))
columns "$place/whole/summary.csv" faces steps s_per_step prepare_s train_s quads_s quads_faces
step_of "$place/whole/summary.csv" | awk -v took=$took -v steps="$steps" '$1 > 0 {
    printf "    %d steps, all inclusive: %d s; 10,000 steps: %.0f s (to beat: 150 s)\n", steps, took, took + (10000 - steps) * $1 }' | tee -a "$summary"

# Whole runs of the same mesh side by side: losses and singularities of each precision against the spread between seeds in fp32.
"$bin/quadloom" generate bracket --faces 2000 -o "$place/bracket.obj" >>"$log" 2>&1
steps=3000
[ $engine = cpu ] && steps=1
whole() { # NAME PRECISION SEED, in the background
    "$bin/quadloom" run "$place/bracket.obj" -o "$place/$1" --set engine.name=$engine --set engine.precision="$2" \
        --set train.steps=$steps --set train.seed="$3" --set quads.enabled=false --set store.parameters=false >>"$place/$1.log" 2>&1 &
}
precisions="tf32 bf16 3xtf32"
[ $engine = cpu ] && precisions=bf16
if [ "$(left)" -gt 40 ]; then
    for seed in 1 2 3; do whole fp32-$seed fp32 $seed; done
    for precision in $precisions; do whole "$precision-1" "$precision" 1; done
    # shellcheck disable=SC2016
    check precisions 90 sh -c 'while [ "$(ls "$0"/*-[123]/summary.csv 2>/dev/null | wc -l)" -lt "$1" ]; do sleep 1; done' "$place" \
        $((3 + $(echo "$precisions" | wc -w)))
    for job in $(jobs -p); do kill "$job" 2>/dev/null; done
    wait
    for one in "$place"/*-[123]; do
        say "  $(basename "$one"):" && columns "$one/summary.csv" status loss_sdf loss_off loss_eikonal loss_normal loss_align loss_smooth singular_vertices
    done
fi

# Where the time of a step goes, kernel by kernel: the first one runs launch by launch.
if command -v ncu >/dev/null 2>&1 && [ $engine = cuda ]; then
    for precision in bf16 tf32; do
        # shellcheck disable=SC2016
        check "kernels-$precision" 60 sh -c '"$@" || exit 77' kernels ncu --clock-control none --metrics gpu__time_duration.sum,dram__bytes.sum --csv --launch-count 440 \
            "$bin/quadloom" bench train --faces 50000 --steps 1 --set engine.name=cuda --set engine.precision=$precision
        python3 - "$place/kernels-$precision.out" <<'EOF' 2>>"$log" | tee -a "$summary"
import csv, re, sys
lines = [line for line in open(sys.argv[1], errors="replace") if line.startswith('"')]
sums = {}
for row in csv.DictReader(lines):
    name = re.sub(r"void |\(.*", "", row["Kernel Name"])[:64]
    value = float(row["Metric Value"].replace(",", "") or 0)
    unit = row["Metric Unit"]
    scale = {"ns": 1e-6, "nsecond": 1e-6, "us": 1e-3, "usecond": 1e-3, "ms": 1, "msecond": 1, "s": 1e3, "second": 1e3,
             "byte": 1e-9, "Kbyte": 1e-6, "Mbyte": 1e-3, "Gbyte": 1}.get(unit, 0)
    entry = sums.setdefault(name, [0, 0.0, 0.0])
    if row["Metric Name"].startswith("gpu__time"):
        entry[0] += 1
        entry[1] += value * scale
    else:
        entry[2] += value * scale
print("    ms, GB, launches, kernel; all: %.2f ms, %.1f GB" % (sum(e[1] for e in sums.values()), sum(e[2] for e in sums.values())))
for name, (count, ms, gb) in sorted(sums.items(), key=lambda item: -item[1][1])[:24]:
    print("    %8.3f %7.2f %5d  %s" % (ms, gb, count, name))
EOF
    done
else
    say "SKIPPED: kernels (no ncu)" && skipped=$((skipped + 1))
fi

if [ $engine = cuda ]; then
    for n in 1 2 4 16; do at_once 2000 60 tf32 $n; done
fi

# Several at once through a run, which finds the number by itself; its log says which.
faces=1900
[ $engine = cpu ] && faces=100
for k in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    "$bin/quadloom" generate torus --faces $((faces + 10 * k)) -o "$place/in-$k.obj" >>"$log" 2>&1
done
steps=400 precision=tf32
[ $engine = cpu ] && steps=1 precision=fp32
check run-of-sixteen 60 "$bin/quadloom" run "$place"/in-*.obj -o "$place/sixteen" --set engine.name=$engine \
    --set engine.precision=$precision --set train.steps=$steps --set quads.enabled=false --set store.parameters=false
grep -h 'at the same time' "$place/run-of-sixteen.out" "$place/run-of-sixteen.err" 2>/dev/null | tee -a "$summary"

# In 3xtf32: its products and residual blocks are the most of what uses shared memory and asynchronous copies.
precision=3xtf32
[ $engine = cpu ] && precision=fp32
small="bench train --faces 64 --steps 3 --set engine.name=$engine --set engine.precision=$precision --set train.off_points=40"
for tool in memcheck racecheck; do
    if command -v compute-sanitizer >/dev/null 2>&1; then
        # shellcheck disable=SC2086,SC2016
        check "$tool" 60 sh -c '"$@" >"$0" 2>&1; code=$?; cat "$0"; grep -q "Device not supported" "$0" && exit 77; exit $code' \
            "$place/sanitizer.txt" compute-sanitizer --tool $tool --error-exitcode 9 "$bin/quadloom" $small
    else
        say "SKIPPED: $tool (no compute-sanitizer)" && skipped=$((skipped + 1))
    fi
done

# Two ranks share a mesh and this GPU: NCCL refuses that, so through MPI and pinned memory.
if command -v mpirun >/dev/null 2>&1; then
    check two-ranks 60 mpirun --allow-run-as-root --oversubscribe -n 2 "$bin/quadloom" bench train --faces 1000 --steps 10 \
        --set engine.name=$engine --set train.deterministic=false
else
    say "SKIPPED: two-ranks (no mpirun)" && skipped=$((skipped + 1))
fi

# checksum FILE: of the parameters, as a benchmark's JSON has it
checksum() { tr ',{}' '[\n*]' <"$1" 2>/dev/null | sed -n 's/^ *"checksum": *"\(.*\)"$/\1/p'; }

# same NAME FILE FILE: fails where two benchmarks left different parameters, or one left none
same() {
    # shellcheck disable=SC2016
    check "$1" 10 sh -c '[ -n "$0" ] && [ "$0" = "$1" ] || { echo "parameters differ: checksum ${0:-none} and ${1:-none}"; exit 1; }' \
        "$(checksum "$2")" "$(checksum "$3")"
}

# Two ranks with a GPU each: over NCCL, its operations in the graph, eight steps sent ahead; twice, for the same parameters.
if command -v mpirun >/dev/null 2>&1 && [ $engine = cuda ] && [ "$(nvidia-smi -L 2>/dev/null | wc -l)" -gt 1 ]; then
    for run in 1 2; do
        check two-gpus-$run 60 mpirun --allow-run-as-root --oversubscribe -n 2 "$bin/quadloom" bench train --faces 50000 --steps 24 --json \
            --set engine.name=cuda --set engine.precision=tf32 --set train.deterministic=false
        [ -s "$place/two-gpus-$run.out" ] || continue
        tr -d '\n' <"$place/two-gpus-$run.out" >>"$bench_file" && echo >>"$bench_file"
        say "    $(figures "$place/two-gpus-$run.out")"
        grep -h 'through MPI' "$place/two-gpus-$run.err" | tee -a "$summary"
    done
    same two-gpus-same "$place/two-gpus-1.out" "$place/two-gpus-2.out"
else
    say "SKIPPED: two-gpus (no mpirun, or one GPU)" && skipped=$((skipped + 1))
    # The comparison itself is tried on two runs of the dry run's engine.
    if [ $engine = cpu ]; then
        for run in 1 2; do
            "$bin/quadloom" bench train --faces 100 --steps 1 --json --set engine.name=cpu >"$place/twice-$run.out" 2>>"$log"
        done
        same twice-same "$place/twice-1.out" "$place/twice-2.out"
    fi
fi

# What the second stream brings to small meshes.
if [ $engine = cuda ]; then
    export QL_CUDA_STREAMS=1
    say "  one stream:"
    echo '{"note": "the next three: QL_CUDA_STREAMS=1"}' >>"$bench_file"
    for faces in 2000 10000; do bench $faces 100 tf32; done
    at_once 2000 60 tf32 8
    unset QL_CUDA_STREAMS
fi

# What it brings to have more of a residual block in one launch: 0 nothing, 1 between its wide layers, 2 the next wide layer, too.
if [ $engine = cuda ]; then
    for fused in 0 1 2; do
        export QL_CUDA_FUSED=$fused
        say "  residual blocks fused as QL_CUDA_FUSED=$fused says:"
        echo "{\"note\": \"the next six: QL_CUDA_FUSED=$fused\"}" >>"$bench_file"
        for precision in tf32 bf16 fp32; do
            bench 50000 16 "$precision"
            bench 2000 100 "$precision"
        done
    done
    unset QL_CUDA_FUSED
fi

# How large a chunk of the SDF pays: launches against cache.
if [ $engine = cuda ]; then
    for rows in 16384 4096 2048; do
        export QL_CUDA_SDF_ROWS=$rows
        say "  chunks of $rows points:"
        echo "{\"note\": \"the next two: QL_CUDA_SDF_ROWS=$rows\"}" >>"$bench_file"
        bench 50000 20 tf32
        bench 50000 20 fp32
    done
    unset QL_CUDA_SDF_ROWS
fi

# The host's own cores, which may have AVX-512 and its bf16 where those that built this have not. PyTorch's step beside it.
threads=$(nproc)
[ "$threads" -gt 2 ] && threads=2
check host-gemm 30 "$bin/quadloom" bench gemm
grep -h 'kernels\|peak\|256 to 256' "$place/host-gemm.out" 2>/dev/null | tee -a "$summary"
for precision in fp32 bf16; do
    if [ $precision = bf16 ] && ! grep -q avx512_bf16 /proc/cpuinfo; then
        say "SKIPPED: host-8000-bf16 (no AVX512_BF16)" && skipped=$((skipped + 1))
        continue
    fi
    steps=10
    [ $engine = cpu ] && steps=1
    check "host-8000-$precision" 60 "$bin/quadloom" bench train --faces 8000 --steps $steps --json --set engine.name=cpu \
        --set engine.threads="$threads" --set engine.precision=$precision
    out=$place/host-8000-$precision.out
    [ -s "$out" ] && tr -d '\n' <"$out" >>"$bench_file" && echo >>"$bench_file" && say "    $(figures "$out")"
done
if python3 -c 'import torch' 2>/dev/null; then
    "$bin/quadloom" generate torus --faces 8000 -o "$place/torus.obj" >/dev/null 2>&1
    check host-torch-8000 90 env OMP_NUM_THREADS="$threads" python3 "$crosscheck" bench --mesh "$place/torus.obj" --steps 8 --threads "$threads"
    tail -n 3 "$place/host-torch-8000.out" 2>/dev/null | tee -a "$summary"
fi

[ "$failed" -eq 0 ] && finish 0
finish 1
