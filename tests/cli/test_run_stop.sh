# timeout: 600
# labels: mpi
# Stopping early and going on: signals, halt, time limit; a second start beside the first.
. "$(dirname "$0")/harness.sh"
. "$(dirname "$0")/runs.sh"
make_meshes
cd "$WORK" || exit 1
LONG="$FEW --set train.steps=12"

on 1 run in -o whole $LONG
expect_code 0

# signals to a single process
for signal in TERM INT USR1 USR2; do
    start 1 run in -o one $LONG
    wait_for "one/events/0.jsonl" && sleep 0.$(($$ % 7 + 2)) && kill -$signal "$PID"
    finish
    [ "$CODE" -eq 0 ] || expect_code 75
    [ "$CODE" -eq 0 ] || expect_out "stopped: SIG$signal"
done
on 1 run in -o one $LONG
expect_code 0
expect_same whole one

# refused beside a living run; halt ends that one
start 1 run in -o two $LONG --set train.steps=2000
wait_for "two/events/0.jsonl"
on 1 run in -o two $LONG --set train.steps=2000
expect_code 3
expect_err "two is in use by process $PID"
quadloom halt two
expect_code 0
expect_out "Asked process $PID"
finish
expect_code 75
expect_out "stopped: halt requested"
expect_out "Run the same command again"
expect "a checkpoint is kept" test -n "$(ls two/checkpoints)"

# the time limit leaves a checkpoint
on 1 run in -o three $LONG --set train.steps=2000 --time-limit 0:06
expect_code 75
expect_out "stopped: time limit"

# so does the end that the scheduler sets, 30 s before it, whatever other limit there is; one that is past says nothing
began=$(date +%s)
run env SLURM_JOB_END_TIME=$((began + 36)) "$QUADLOOM" run in -o four $LONG --set train.steps=20000 --time-limit 1:00:00
expect_code 75
expect_out "stopped: time limit"
expect "well before the end" test "$(date +%s)" -lt $((began + 36))
run env SLURM_JOB_END_TIME=1600000000 "$QUADLOOM" run in/ball.obj -o past $FEW
expect_code 0
expect_err "lies in the past"

need_mpi
# a signal to mpirun (USR1) or to one rank (TERM) stops all of them
start 2 run in -o ranks $LONG
wait_for "ranks/events/1.jsonl" && sleep 0.5 && kill -USR1 "$PID"
finish
expect_code 75
start 2 run in -o ranks $LONG
wait_for "ranks/locks/all.lock" && sleep 1 && kill -TERM "$(ranks_of "$PID" | tail -1)"
finish
[ "$CODE" -eq 0 ] || expect_code 75
on 3 run in -o ranks $LONG
expect_code 0
expect_same whole ranks
