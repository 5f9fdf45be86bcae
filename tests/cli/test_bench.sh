# What the benchmarks print for people and for programs, and that they leave nothing behind.
. "$(dirname "$0")/harness.sh"

quadloom bench
expect_code 2
expect_err "expected what to measure"
quadloom bench nothing
expect_code 2
expect_err "there is train, gemm, allreduce, io"

quadloom bench train --faces 60 --steps 2 --set train.off_points=50 --json
expect_code 0
for key in faces off_points backend precision threads ranks s_per_step s_per_step_min gflop_per_step gflops fraction_of_peak peak_rss_mb checksum; do
    expect_out "\"$key\":"
done

mkdir "$WORK/io"
quadloom bench io -o "$WORK/io" --faces 60 --repeats 1
expect_code 0
expect_out "checkpoint, write"
expect_out "result, verify"
[ -z "$(ls -A "$WORK/io")" ] || fail "bench io left something in its folder"
quadloom bench io -o "$WORK/none" --repeats 1
expect_code 2
expect_err "no such folder"
quadloom bench io -o "$WORK/io" --repeats 0
expect_code 2

quadloom bench allreduce
expect_code 2
expect_err "mpirun -n 4"
if command -v mpirun >/dev/null && "$QUADLOOM" doctor | grep -q '^  mpi  *Open MPI'; then
    run mpirun -n 3 "$QUADLOOM" bench allreduce --repeats 1
    expect_code 0
    expect_out "whole gradient"
fi

# Kernels that something keeps narrow are named, in a line of text and in the JSON; and when a run starts.
case $(uname -m) in
x86_64)
    run env QL_CPU_ISA=baseline OPENBLAS_CORETYPE=Prescott "$QUADLOOM" bench train --faces 60 --steps 1 \
        --set train.off_points=50 --set engine.name=cpu
    expect_code 0
    expect_out "engine cpu uses its baseline kernels because QL_CPU_ISA asks for them"
    if grep -q avx2 /proc/cpuinfo; then expect_out "OpenBLAS uses its Prescott kernels"; fi
    run env QL_CPU_ISA=baseline "$QUADLOOM" bench gemm --seconds 0 --json
    expect_code 0
    expect_out '"kernel_advice":'
    expect_out "engine cpu uses its baseline kernels"
    "$QUADLOOM" generate torus --faces 60 -o "$WORK/small.obj" >/dev/null || fail "generate"
    run env QL_CPU_ISA=baseline "$QUADLOOM" run "$WORK/small.obj" -o "$WORK/run" --dry-run
    expect_err "engine cpu uses its baseline kernels"
    ;;
esac
