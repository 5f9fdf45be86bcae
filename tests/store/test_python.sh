# The Python package on a run directory: reading, tables, pictures.
. "$(dirname "$0")/../cli/harness.sh"

$PYTHON -c 'import h5py, numpy' 2>/dev/null || skip "no python3-h5py"
PYTHONPATH=$ROOT/analysis PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=$WORK/matplotlib
export PYTHONPATH PYTHONDONTWRITEBYTECODE MPLCONFIGDIR
run "$STORE_SAMPLE" "$WORK/run" 3 8 --parameters
expect_code 0
first=$(ls "$WORK/run/meshes/"sample0-*.h5)

cat >"$WORK/check.py" <<'PYTHON'
import sys
import numpy as np
import quadloom
run = quadloom.open(sys.argv[1])
table = run.table
assert len(run) == 3 and len(table) == 5
assert table["loss_total"][table["status"] == "finished"].tolist() == [0.5] * 3
assert np.isnan(table["loss_total"][list(table["mesh"]).index("broken-0badf00d")])
assert table["reason"][list(table["mesh"]).index("broken-0badf00d")].endswith(', "really"')
assert run.failures["broken-0badf00d"]["face"] == 12
assert [event["event"] for event in run.events()] == ["start", "mesh_start", "sample"]
for result in run:
    assert result.alpha.shape == result.faces.shape and result.summary["name"].startswith("sample")
    assert result.history["total"][1] == 101
    weight = result.parameter("sdf.1.weight")
    assert weight.shape == (256, 256) and weight[0, 0] == np.float32(np.sin(256 * 4))
    assert result.provenance["options.train.steps"] == "10000"
try:
    quadloom.open(sys.argv[1] + "/meshes")
except ValueError as problem:
    assert "not a run directory" in str(problem)
else:
    raise AssertionError("a folder that is no run was opened")
PYTHON
run $PYTHON "$WORK/check.py" "$WORK/run"
expect_code 0
run $PYTHON -m quadloom table "$WORK/run"
expect_code 0
expect_out "1 failed, 3 finished, 1 unfinished"
run $PYTHON -m quadloom table "$WORK/run" --columns mesh,faces,nonsense
expect_code 2
expect_err "no column nonsense"
run $PYTHON -m quadloom compare "$WORK/run" "$WORK/run"
expect_code 0
expect_out "yes"

$PYTHON -c 'import matplotlib' 2>/dev/null || { echo "SKIPPED: pictures (no python3-matplotlib)"; exit 0; }
for what in crosses lines quads; do
    run $PYTHON -m quadloom render "$first" --what $what --size 100 -o "$WORK/$what.png"
    expect_code 0
    [ "$(head -c 4 "$WORK/$what.png" | tail -c 3)" = PNG ] || fail "no picture"
done
run $PYTHON -m quadloom plot "$WORK/run" -o "$WORK/losses.png"
expect_code 0
run $PYTHON -m quadloom report "$WORK/run" --pictures 1 -o "$WORK/report"
expect_code 0
expect "failure in the report" grep -q "face 12 has no area" "$WORK/report/report.md"
