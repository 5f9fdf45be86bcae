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
