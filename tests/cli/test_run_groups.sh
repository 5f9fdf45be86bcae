# timeout: 600
# labels: mpi
# Meshes that several ranks share: the same bytes as on one rank, for groups that fit the ranks and that do not; groups of another
# size go on after a kill or a stop; a failure is recorded once.
. "$(dirname "$0")/harness.sh"
. "$(dirname "$0")/runs.sh"
need_mpi
make_meshes
cd "$WORK" || exit 1
FEW="$FEW --set train.steps=3"

on 1 run in -o one $FEW
expect_code 0
for group in 2 3; do
    on 4 run in -o group$group $FEW --set sweep.group=$group
    expect_code 0
    expect_same one group$group
done
expect "ranks of a group tell" test "$(cat group2/events/*.jsonl | grep -c '"event": *"group"')" -eq 8
expect "its size" grep -q '"event": *"mesh_start".*"ranks": *2' group2/events/0.jsonl
expect "where the time went" grep -q '"event": *"end".*"busy_s".*"comm_s"' group2/events/1.jsonl

# killed in the middle, then stopped in the middle, then alone; never from the beginning
LONG="--set train.steps=20 --set train.off_points=40 --set train.history_every=1 --set train.checkpoint_every_s=0.2"
on 1 run in/block.ply -o whole $LONG
expect_code 0
start 4 run in/block.ply -o broken $LONG --set sweep.group=4
wait_for "broken/checkpoints/block-*.h5" || fail "the run ended too soon"
kill -9 "$(ranks_of "$PID" | head -n 1)"
finish
[ "$CODE" -ne 0 ] || fail "the run survived a kill"
start 3 run in/block.ply -o broken $LONG --set sweep.group=2
until grep -q "3 ranks with" "$WORK/.bg" || ! kill -0 "$PID" 2>/dev/null; do sleep 0.1; done
sleep 1.5
kill -USR1 "$PID" 2>/dev/null || true # it may have ended
finish
[ "$CODE" -eq 75 ] || [ "$CODE" -eq 0 ] || fail "exit code $CODE after SIGUSR1"
on 2 run in/block.ply -o broken $LONG
expect_code 0
expect_same whole broken
expect "went on in the middle" grep -q '"event": *"mesh_start".*"step": *[1-9]' broken/events/0.jsonl broken/events/1.jsonl broken/events/2.jsonl
quadloom verify broken
expect_code 0

# what fails on one rank of a group fails once
on 4 run in/ball.obj in/sheet.off -o failing $FEW --set sweep.group=2 --set engine.memory_mb=10
expect_code 1
expect "one record for each mesh" test "$(ls failing/failures | wc -l)" -eq 2
expect "its cause" grep -q engine.memory_mb failing/failures/ball-*.json
