# verify, export and status on a run directory; damage is named by file and dataset.
. "$(dirname "$0")/../cli/harness.sh"

run "$STORE_SAMPLE" "$WORK/run" 4 30
expect_code 0

# verify
quadloom verify "$WORK/run"
expect_code 0
expect_out "4 results, 1 checkpoints: all good"
cp -r "$WORK/run" "$WORK/bad"
victim=$(ls "$WORK/bad/meshes/"sample1-*.h5)
middle=$(($(stat -c %s "$victim") * 2 / 5))
printf 'XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX' | dd of="$victim" bs=1 seek=$middle conv=notrunc 2>"$ERR"
printf 'Y' | dd of="$WORK/bad/checkpoints/slow-01234567.h5" bs=1 seek=30000000 conv=notrunc 2>"$ERR"
quadloom verify "$WORK/bad"
expect_code 1
expect_out "BAD  $victim: /"
expect_out "slow-01234567.h5: /moment1: its values are damaged"
expect_out "4 results, 1 checkpoints: 2 bad"
truncate -s 1000 "$victim"
quadloom verify "$victim"
expect_code 1
expect_out "not an HDF5 file, or damaged or cut off"
quadloom verify "$WORK/run/meshes/"*.h5
expect_code 0
quadloom verify "$WORK/nothing"
expect_code 2
quadloom verify
expect_code 2

# export of a run and of one result
for format in txt rosy obj vtkhdf; do
    quadloom export "$WORK/run" --format $format -o "$WORK/out"
    expect_code 0
    expect_out "4 written to"
done
first=$(ls "$WORK/run/meshes/"sample0-*.h5)
name=$(basename "$first" .h5)
[ "$(wc -l <"$WORK/out/$name.txt")" -eq 60 ] || fail "one line per face"
[ "$(head -2 "$WORK/out/$name.rosy" | tr '\n' ' ')" = "60 4 " ] || fail "head of rosy"
[ "$(grep -c '^l ' "$WORK/out/$name.obj")" -eq 120 ] || fail "two lines per face"
quadloom export "$WORK/run" --what quads --format obj -o "$WORK/quads"
expect_code 1
expect_out "2 written"
expect_out "2 have none"
for format in obj ply off; do
    quadloom export "$first" --what mesh -o "$WORK/mesh.$format"
    expect_code 0
    quadloom inspect "$WORK/mesh.$format"
    expect_code 0
    expect_out "60"
done
quadloom export "$first" --what quads -o "$WORK/quads.ply"
expect_code 0
[ "$(wc -c <"$WORK/quads.ply")" -gt 300 ] || fail "quads.ply is too short"
quadloom export "$first" --what quads -o "$WORK/quads.rosy"
expect_code 2
expect_err "there are obj, ply"
quadloom export "$first" -o "$WORK/field"
expect_code 2
quadloom export "$victim" -o "$WORK/field.txt"
[ "$CODE" -ne 0 ] || fail "a damaged result was exported"

# status: its process is gone without a word
quadloom status "$WORK/run"
expect_code 75
expect_out ": crashed, 1 rank"
expect_out "4 of 6 finished, 1 failed, 1 left (1 with a checkpoint)"
expect_out "lost 0      slow-01234567  step 1200 of 10000, 0.5 s/step, loss 31.25"
expect_out "failed broken-0badf00d: check: face 12 has no area"
expect_out "remove it"
quadloom status --json "$WORK/run"
expect_code 75
expect 'JSON of status' $PYTHON -c "
import json, sys
status = json.load(open('$OUT'))
assert status['life'] == 'crashed' and status['left'] == 1 and status['active'][0]['step'] == 1200
assert status['failures'][0]['reason'] == 'face 12 has no area, \"really\"'"
quadloom status --watch "$WORK/run"
expect_code 75
quadloom status "$WORK/out"
expect_err "is not a run directory"
