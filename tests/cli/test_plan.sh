# timeout: 200
# A plan before a run, and for what is left of one.
. "$(dirname "$0")/harness.sh"
. "$(dirname "$0")/runs.sh"
make_meshes
cd "$WORK" || exit 1
export XDG_CACHE_HOME="$WORK/cache"

quadloom plan
expect_code 2
quadloom plan in $FEW --ranks 2
expect_code 0
expect_out "4 meshes to do, 0 finished; 2 ranks"
expect_out "Predicted time"
expect_out "sbatch --ntasks=2"
expect_err "measuring engine"
quadloom plan in $FEW --ranks 2 --json
expect_code 0
reject_err "measuring engine"
keep plan.json
run "$PYTHON" -c '
import json, sys
p = json.load(open(sys.argv[1]))
assert p["meshes"] == 4 and p["ranks"] == 2
assert 0 < p["lower_bound_s"] <= p["makespan_s"] <= p["total_s"] + 1e-9 and 0 < p["efficiency"] <= 1
assert p["memory_mb"] > 10
' "$WORK/plan.json"
expect_code 0
quadloom run in/sheet.off -o out $FEW
expect_code 0
quadloom plan in $FEW -o out
expect_code 0
expect_out "3 meshes to do, 1 finished"
