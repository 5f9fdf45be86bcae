# timeout: 900
# labels: slurm
# Jobs that must stop before their work is done: time limit, preemption, scancel, mpirun as launcher, a chain of jobs. All at
# once, for they mostly wait. What comes out in the end has the bytes of an undisturbed run.
. "$(dirname "$0")/cluster.sh"
cd "$WORK" || exit 1
cluster --nodes 4 --cpus 3 --conf PreemptType=preempt/partition_prio --conf PreemptMode=REQUEUE \
    --conf "PartitionName=low Nodes=n4 GraceTime=20 PriorityTier=1 MaxTime=INFINITE State=UP" \
    --conf "PartitionName=high Nodes=n4 PriorityTier=9 PreemptMode=OFF MaxTime=INFINITE State=UP"
mkdir in
"$QUADLOOM" generate icosphere --faces 20 -o in/a.obj >/dev/null
"$QUADLOOM" generate icosphere --faces 80 -o in/b.obj >/dev/null
SLOW="--set quads.enabled=false --set train.steps=80 --set train.off_points=40 --set train.history_every=10 --set log.interval_s=5"
has_begun() { grep -q mesh_start "$1/events/"*.jsonl; }

submit preempted --partition=low --exclusive "$SCRIPTS/run.sbatch" --no-check in -o preempted $SLOW
preempted=$JOB
submit cancelled -w n2 "$SCRIPTS/run.sbatch" --no-check in -o cancelled $SLOW
cancelled=$JOB

# preempted: stops with checkpoints and is requeued
wait_until 60 has_begun preempted
submit urgent --partition=high --exclusive --wrap "sleep 1"
urgent=$JOB

# cancelled: stops with checkpoints, is not requeued, and any number of ranks goes on
wait_until 60 has_begun cancelled
sleep 0.5
run scancel "$cancelled"
expect_code 0
wait_job "$cancelled" 40
expect_state CANCELLED
log cancelled
expect_out "not requeued from here"
reject_out "life 2"
quadloom verify cancelled
expect_code 0

# a chain: the first is told to stop, the second goes on, the third is not needed; requeueing is not allowed
run "$SCRIPTS/submit" --chain 3 --ranks 2 --time 10 --mem-per-cpu 100 --no-summary --no-check --sbatch=--nodelist=n2 in -o chain $SLOW
expect_code 0
set -- $(sed -n 's/^Submitted  *\([0-9 ]*\) (.*/\1/p' "$OUT")
[ $# -eq 3 ] || fail "three jobs"
wait_until 60 has_begun chain
sleep 0.5
run scancel --signal=USR1 "$1" # as Slurm's clock would: to the tasks

# mpirun as launcher: the signal goes to the script, which passes it on
{ cat "$QUADLOOM_SITE" && echo "site_launcher=mpirun"; } >mpirun.sh
submit mpirun -w n3 --ntasks=2 "$SCRIPTS/run.sbatch" --no-check --site mpirun.sh in -o mpirun $SLOW
mpirun=$JOB
wait_until 60 has_begun mpirun
sleep 0.5
run scancel --batch --signal=USR1 "$mpirun"

# A minute is the least that Slurm knows as a limit, and its signals come at the ticks of a clock of 30 s: start 8 s before one.
began=$(stat -c %Y c/run/slurmctld.pid)
while [ $((($(date +%s) - began) % 30)) -ne 22 ]; do sleep 0.5; done
submit limit --time=1 --signal=USR1@60 -w n1 "$SCRIPTS/run.sbatch" --no-check in -o limit $SLOW --set train.steps=130
limit=$JOB

on 1 run in -o whole $SLOW --set engine.threads=1
expect_code 0
on 2 run in -o cancelled $SLOW
expect_code 0
expect_same whole cancelled

# once is enough: what is left after the first requeue gets the time it needs
was_requeued() { grep -q 'requeued: life 2' limit.log; }
wait_until 120 was_requeued
expect "more time for job $limit" scontrol update "jobid=$limit" timelimit=10

wait_job "$3" 100
wait_job "$2" 100
expect_state COMPLETED
cp chain/slurm/*-"$1".log "$OUT"
expect_out "stopped early with checkpoints"
expect_out "the next job of this name goes on"
cp chain/slurm/*-"$2".log "$OUT"
expect_out "nothing is left to do"
[ "$(state_of "$3")" = CANCELLED ] || fail "the third job of the chain was not cancelled"
expect_same whole chain

wait_job "$mpirun" 120
expect_state COMPLETED
log mpirun
expect_out "USR1 received: the program writes its checkpoints"
expect_out "stopped early with checkpoints"
expect_out "requeued: life 2"
expect_out "all done"
expect_same whole mpirun

wait_job "$preempted" 120
expect_state COMPLETED
log preempted
expect_out "stopped: SIG"
expect_out "life 2"
expect_out "all done"
expect_same whole preempted
wait_job "$urgent" 10
expect_state COMPLETED

on 2 run in -o long $SLOW --set train.steps=130
expect_code 0
wait_job "$limit" 300
expect_state COMPLETED
log limit
expect_out "stopped: SIGUSR1"
expect_out "requeued: life 2"
expect_out "all done"
expect_same long limit
