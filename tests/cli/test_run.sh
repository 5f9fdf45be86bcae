# timeout: 600
# A run on one process: inputs, failures beside good meshes, continuing, refusals.
. "$(dirname "$0")/harness.sh"
. "$(dirname "$0")/runs.sh"
make_meshes
cd "$WORK" || exit 1

# wrong command lines
quadloom run in
expect_code 2
expect_err "-o RUN_DIR"
quadloom run -o out
expect_code 2
expect_err "no input"
quadloom run in/none.obj -o out
expect_code 2
expect_err "in/none.obj: no such mesh"
quadloom run in -o out --shard 3/2
expect_code 2
expect_err "--shard 3/2: expected I/N"
quadloom run in -o out --set train.stepz=3
expect_code 2
expect_err "did you mean train.steps"

# a dry run says what would be done and writes nothing
quadloom run in -o out --dry-run $FEW
expect_code 0
expect_out "4 meshes: 4 to do on 1 rank"
expect_out "in/deep/ball.obj"
expect "nothing written" test ! -e out

# all of them; the same name twice makes two results
quadloom run in -o out $FEW
expect_code 0
expect_out "4 of 4 meshes finished, 0 failed, 0 left"
expect "two balls" test "$(ls out/meshes/ball-*.h5 | wc -l)" -eq 2
expect "no checkpoint left" test -z "$(ls out/checkpoints)"
expect "no failure" test -z "$(ls out/failures)"
quadloom verify out
expect_code 0
quadloom status out
expect_code 0

# again: nothing to do
stat -c %Y.%i out/meshes/* >before
quadloom run in -o out $FEW
expect_code 0
expect_err "0 to do, 4 finished"
stat -c %Y.%i out/meshes/* >after
expect "finished meshes are left alone" cmp before after

# options that decide results may not change; others may
quadloom run in -o out $FEW --set train.seed=7
expect_code 2
expect_err "train.seed was 1 when this run began and is 7 now"
expect_err "another run directory"
quadloom run in -o out $FEW --set train.checkpoint_every_s=7 --set engine.threads=1
expect_code 0

# broken meshes beside good ones
mkdir bad
echo "no mesh at all" >bad/garbage.ply
printf 'v 0 0 0\nv 1 0 0\nv nan 1 0\nf 1 2 3\n' >bad/nan.obj
printf 'v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n' >bad/line.obj
printf 'ply\nformat binary_little_endian 1.0\nelement vertex 1099511627776\nproperty float x\nproperty float y\nproperty float z\nelement face 1099511627776\nproperty list uchar int vertex_indices\nend_header\nabc' >bad/huge.ply
: >bad/empty.off
quadloom run bad in/ball.obj in/sheet.off -o mixed $FEW
expect_code 1
expect_out "2 of 7 meshes finished, 5 failed, 0 left"
expect_out "what to do:"
run "$PYTHON" - <<'EOF_PYTHON'
import json, pathlib
failed = {f["name"]: f for f in (json.loads(p.read_text()) for p in pathlib.Path("mixed/failures").glob("*.json"))}
assert set(failed) == {"garbage", "nan", "line", "huge", "empty"}, sorted(failed)
for name, failure in failed.items():
    assert failure["reason"] and failure["remedy"] and failure["attempts"] == 1 and failure["input"].startswith("bad/"), failure
assert failed["nan"]["stage"] == "read" and failed["nan"]["line"] == 3, failed["nan"]
assert failed["line"]["stage"] == "check" and failed["line"]["face"] == 0, failed["line"]
EOF_PYTHON
expect_code 0
expect_same out mixed sheet

# a repaired file: its old failure goes
printf 'v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 1\nf 1 2 3\nf 2 4 3\n' >bad/nan.obj
quadloom run bad in/ball.obj in/sheet.off -o mixed $FEW
expect_code 1
expect_out "3 of 7 meshes finished, 4 failed, 0 left"
expect "outdated failure removed" test -z "$(ls mixed/failures/nan-* 2>/dev/null)"

# too many failures end the run
quadloom run bad in -o few $FEW --max-failures none
expect_code 2
expect_err "--max-failures"
quadloom run bad in -o few $FEW --time-limit soon
expect_code 2
expect_err "--time-limit"
quadloom run bad in -o few $FEW --max-failures 1 --set sweep.prefetch=0
expect_code 1
expect_err "sweep.max_failures"

# two parts of one whole in the same directory
quadloom run in -o parts $FEW --shard 1/2
expect_code 0
quadloom run in -o parts $FEW --shard 2/2
expect_code 0
expect_same out parts
expect "a row for each mesh" test "$(wc -l <parts/summary.csv)" -eq "$(wc -l <out/summary.csv)"

# beside another part at work the tables are left to that one, unless they are old
BOTH="in -o both $FEW --set train.steps=100000"
start 1 run $BOTH --shard 1/2
wait_for "both/events/1of2-0.jsonl" || fail "the first part ended too soon"
echo fresh >both/summary.csv
quadloom run $BOTH --shard 2/2 --time-limit 0:03
expect_code 75
expect "left alone" grep -q fresh both/summary.csv
kill -USR1 "$PID"
finish
expect_code 75
expect "written by the last one" grep -q '^mesh,name,status' both/summary.csv

# lists and collections; options of one mesh alone
printf 'in/ball.obj\nin/block.ply\n' >list.txt
printf 'meshes:\n  - in/*.off\n  - path: in/ball.obj\n    set: {train.steps: 3}\n' >c.yaml
quadloom run @list.txt -o listed $FEW
expect_code 0
expect_out "2 of 2 meshes"
quadloom run c.yaml -o collected $FEW
expect_code 0
expect_out "2 of 2 meshes"
quadloom run in/ball.obj in/sheet.off -o collected $FEW
expect_code 2
expect_err "was made with other options for this mesh"

# quads behind the training
quadloom run in/ball.obj in/sheet.off -o quads $FEW --set quads.enabled=true --set quads.target=60
expect_code 0
expect_out "quads/*.obj"
expect "two quad meshes" test "$(ls quads/quads/*.obj | wc -l)" -eq 2
quadloom verify quads
expect_code 0

quadloom halt out
expect_code 0
expect_out "No run is active"
quadloom halt in
expect_code 3

# built without MPI, one of several processes is refused instead of doing everything N times
if "$QUADLOOM" doctor | grep -q '^  mpi  *not built in'; then
    run env OMPI_COMM_WORLD_SIZE=2 "$QUADLOOM" run in -o alone $FEW
    expect_code 3
    expect_err "was built without MPI"
    expect "nothing written" test ! -e alone
fi
