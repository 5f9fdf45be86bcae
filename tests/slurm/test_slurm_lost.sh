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
SLOW="--set quads.enabled=false --set train.steps=60 --set train.off_points=40 --set train.history_every=10 --set train.checkpoint_every_s=3 --set log.interval_s=5"
last_node() { scontrol show hostnames "$(squeue -h -j "$1" -o %N)" | tail -n 1; }
has_checkpoint() { ls "$1"/checkpoints/*.h5; }

submit killed --exclusive --nodes=2 --ntasks=2 "$SCRIPTS/run.sbatch" --no-check in -o killed $SLOW
killed=$JOB
submit cut --exclusive "$SCRIPTS/run.sbatch" --no-check in -o cut $SLOW
cut=$JOB

wait_until 90 has_checkpoint killed
node=$(last_node "$killed")
"$TESTBED" kill-node "$node" --dir "$WORK/c"
scontrol update "nodename=$node" state=down reason=test # Slurm would notice it after a while
# The tasks on the node that is cut off stand still for a while, as on a node or file system that hangs.
wait_until 90 has_checkpoint cut
node=$(last_node "$cut")
tasks=$(pgrep -f "^[^ ]*bin/quadloom run in -o cut ")
kill -STOP $tasks || fail "no tasks of the job that is cut off"
"$TESTBED" cut-node "$node" --dir "$WORK/c"
scontrol update "nodename=$node" state=down reason=test

# The second lives wait until the first ones' hearts in the shared run directories have been silent for long enough; make it so.
is_waiting() { grep -q 'it is this job before it was requeued' "$1.log" || [ "$(state_of "$2")" = COMPLETED ]; }
wait_until 100 is_waiting killed "$killed"
[ ! -e killed/locks/all.lock ] || touch -d '10 minutes ago' killed/locks/all.lock
wait_until 100 is_waiting cut "$cut"
touch -d '10 minutes ago' cut/locks/all.lock
# Now the second life is at work and the first one wakes up: it must notice, and stop without a word into the results.
wait_until 60 grep -q 'taking over from process' cut.log
kill -CONT $tasks
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
