# timeout: 300
# labels: slurm
# What srun --cpu-bind gives the ranks, with Slurm's task/affinity on the cores that this machine has: each rank its own, all of them
# for one rank, and as many threads.
. "$(dirname "$0")/cluster.sh"
cd "$WORK" || exit 1
[ "$(nproc)" -ge 2 ] || skip "one core: nothing to bind"
cluster --nodes 1 --cpus 2 --conf TaskPlugin=task/affinity
need_names
"$QUADLOOM" generate icosphere --faces 20 -o ball.obj >/dev/null
{ cat "$QUADLOOM_SITE" && echo 'site_srun=(--mpi=pmix --cpu-bind=verbose,cores)'; } >verbose.sh
for shape in "2 1" "1 2"; do
    set -- $shape
    submit "bind$1" --ntasks="$1" --cpus-per-task="$2" "$SCRIPTS/run.sbatch" --site verbose.sh --no-check --doctor ball.obj -o "r$1" $FEW
    wait_job "$JOB" 100
    expect_state COMPLETED
done
masks() { sed -n 's/^cpu-bind=MASK - n1, task  *\([0-9]*\) .* mask \(0x[0-9a-f]*\) set$/\1:\2/p' "$1" | sort -u | tr '\n' ' '; }
log bind2
expect "a core for each of two ranks" test "$(masks bind2.log)" = "0:0x1 1:0x2 "
expect_out "rank_0                 n1, local rank 0, 1 hardware threads (0)"
expect_out "rank_1                 n1, local rank 1, 1 hardware threads (1)"
expect_out "2 ranks with 1 thread,"
log bind1
expect "two cores for one rank" test "$(masks bind1.log)" = "0:0x3 "
expect_out "1 rank with 2 threads"
