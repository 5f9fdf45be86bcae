# Several meshes trained at the same time by one rank: the same bytes as one after the other; a bad one among them hinders no
# other; a run that is stopped in the middle goes on.
. "$(dirname "$0")/harness.sh"
. "$(dirname "$0")/runs.sh"
make_meshes
cd "$WORK" || exit 1

CPU="$FEW --set engine.name=cpu"
on 1 run in -o one $CPU
expect_code 0
on 1 run in -o three $CPU --set sweep.at_once=3 --set engine.threads=3
expect_code 0
expect_out "4 of 4 meshes finished"
expect_same one three

# more threads than meshes, one that cannot be read
echo nonsense >in/bad.off
on 1 run in -o bad $CPU --set sweep.at_once=16
expect_code 1
expect_out "4 of 5 meshes finished, 1 failed"
rm in/bad.off

# no memory beside the others: each tries again when they are done, and says why it failed
on 1 run in -o narrow $CPU --set sweep.at_once=3 --set engine.memory_mb=1
expect_code 1
expect_out "4 failed"

# stopped while several train: each leaves a checkpoint, the next start finishes them
STEPS="--set train.steps=4000 --set train.off_points=40 --set quads.enabled=false --set engine.name=cpu --set sweep.at_once=4"
start 1 run in -o stopped $STEPS --set engine.threads=4
wait_for 'stopped/events/*.jsonl'
sleep 2
kill -TERM "$PID"
wait "$PID"
code=$?
[ $code -eq 75 ] || fail "stopped with code $code: $(cat "$WORK/.bg")"
expect "checkpoints of several" test "$(find stopped/checkpoints -name '*.h5' | wc -l)" -ge 2
on 1 run in -o stopped $STEPS --set engine.threads=4 --time-limit 00:00:04
[ "$CODE" -eq 75 ] || [ "$CODE" -eq 0 ] || fail "went on with code $CODE"

if command -v mpirun >/dev/null 2>&1 && ! "$QUADLOOM" doctor | grep -q '^  mpi  *not built in'; then
    on 2 run in -o ranks $CPU --set sweep.at_once=2
    expect_code 0
    expect_same one ranks
fi
