# A result file as other programs see it: h5dump, h5py, VTK's reader; equal runs give equal values.
. "$(dirname "$0")/../cli/harness.sh"

run "$STORE_SAMPLE" "$WORK/run" 3 150 --parameters
expect_code 0
run "$STORE_SAMPLE" "$WORK/again" 3 150 --parameters
expect_code 0
first=$(ls "$WORK/run/meshes/"sample0-*.h5)
if command -v h5dump >/dev/null; then
    run h5dump -d /field/theta -p "$first"
    expect_code 0
    expect_out "FLETCHER32"
    expect_out '"radians"'
    run h5dump -d /train/history "$first"
    expect_out "gradient_norm"
else
    echo "SKIPPED: h5dump (not installed: hdf5-tools)"
fi
run $PYTHON "$ROOT/tests/store/check_readers.py" "$WORK/run" "$WORK/again"
cat "$OUT"
[ "$CODE" -eq 77 ] && skip "no python3-h5py"
expect_code 0
