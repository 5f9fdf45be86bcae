# timeout: 900
# labels: slurm
# Nodes that are lost: one loses power in mid-job; one is cut off while its tasks run on, so that two lives of a job work on the
# same run directory.
. "$(dirname "$0")/cluster.sh"
cd "$WORK" || exit 1
cluster --nodes 5 --cpus 2
need_names
mkdir in
"$QUADLOOM" generate icosphere --faces 20 -o in/a.obj >/dev/null
"$QUADLOOM" generate icosphere --faces 80 -o in/b.obj >/dev/null
SLOW="--set quads.enabled=false --set quads.enabled=false --set train.steps=60 --set train.off_points=40 --set train.history_every=10 --set train.checkpoint_every_s=3 --set log.interval_s=5"
last_node() { scontrol show hostnames "$(squeue -h -j "$1" -o %N)" | tail -n 1; }
has_checkpoint() { ls "$1"/checkpoints/*.h5; }

submit killed --nodes=2 --ntasks=2 "$SCRIPTS/run.sbatch" --no-check in -o killed $SLOW
killed=$JOB
submit cut "$SCRIPTS/run.sbatch" --no-check in -o cut $SLOW
cut=$JOB

wait_until 90 has_checkpoint killed
node=$(last_node "$killed")
"$TESTBED" kill-node "$node" --dir "$WORK/c"
scontrol update "nodename=$node" state=down reason=test # Slurm would notice it after a while
wait_until 90 has_checkpoint cut
node=$(last_node "$cut")
"$TESTBED" cut-node "$node" --dir "$WORK/c"
scontrol update "nodename=$node" state=down reason=test

# The second life waits for the first, whose heart still beats in the shared run directory. When it seems to have stopped (a file
# system that hangs), it takes over; the first notices and stops without a word into the results.
is_waiting() { grep -q 'it is this job before it was requeued' cut.log || [ "$(state_of "$cut")" = COMPLETED ]; }
wait_until 100 is_waiting
[ ! -e cut/locks/all.lock ] || touch -d '10 minutes ago' cut/locks/all.lock
on 1 run in -o whole $SLOW --set engine.threads=1
expect_code 0

for job in killed cut; do
    eval "wait_job \$$job 150"
    expect_state COMPLETED
    log "$job"
    grep -q 'life [23],' "$OUT" || fail "no second life"
    expect_out "all done"
    quadloom verify "$job"
    expect_code 0
    expect_same whole "$job"
done
"$TESTBED" join-node "$node" --dir "$WORK/c"
log cut
expect_out "taking over from process"
expect_out "another job took over this run directory"
