# timeout: 900
# labels: slurm
# A scaling study as a series of jobs: 1, 2 and 4 ranks, all of them on one mesh at a time, and the job that writes the report.
. "$(dirname "$0")/cluster.sh"
cd "$WORK" || exit 1
cluster --nodes 2 --cpus 2
make_meshes
run "$SCRIPTS/scaling" --ranks 1,2,4 --mode strong -o study --wait in $FEW --set sweep.group=4
expect_code 0
expect_out "# Strong scaling, 1 to 4 ranks"
expect_out "Predicted, not measured"
run "$PYTHON" -c '
import csv, sys
rows = list(csv.DictReader(open("study/scaling.csv")))
measured = [r for r in rows if r["kind"] == "measured"]
assert [(int(r["ranks"]), int(r["meshes"])) for r in measured] == [(1, 4), (2, 4), (4, 4)], measured
for r in measured:
    shares = [float(r[c]) for c in ("train_share", "comm_share", "file_share", "wait_share")]
    assert abs(sum(shares) - 1) < 1e-3 and min(shares) >= 0 and shares[0] > 0.05, r
    assert (shares[1] > 0) == (r["ranks"] != "1"), r
    assert abs(float(r["speedup"]) - float(measured[0]["wall_s"]) / float(r["wall_s"])) < 1e-2, r
predicted = [int(r["ranks"]) for r in rows if r["kind"] == "predicted"]
assert predicted == [2**i for i in range(13)], predicted'
expect_code 0
if "$PYTHON" -c 'import matplotlib' 2>/dev/null; then
    expect "a picture" test "$(head -c 4 study/scaling.png | tail -c 3)" = PNG
else
    echo "SKIPPED: picture of a scaling study (no matplotlib)"
fi
