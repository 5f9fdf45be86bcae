# timeout: 600
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
assert p["memory_mb"] > 10 and p["time_limit_s"] > p["makespan_s"]
assert sum(g["meshes"] for g in p["groups"]) == 4
' "$WORK/plan.json"
expect_code 0
quadloom run in/sheet.off -o out $FEW
expect_code 0
quadloom plan in $FEW -o out
expect_code 0
expect_out "3 meshes to do, 1 finished"

# the model of another machine; made-up sizes on many ranks; sizes from a file
cat >speed <<END
fixed_s 0.018
s_per_flop 1.25e-11
latency_s 1e-4
s_per_byte 1.7e-10
prepare_s 0.05
prepare_s_per_face 1.5e-5
quads_s 0.5
quads_s_per_face 1e-3
memory_bytes 2.5e8
memory_bytes_per_face 4e4
samples 20
END
quadloom plan --simulate --cost speed --ranks 4096 --count 65536 --json
expect_code 0
keep simulated.json
run "$PYTHON" -c '
import json, sys
p = json.load(open(sys.argv[1]))
assert p["meshes"] == 65536 and p["ranks"] == 4096
assert p["simulated_efficiency"] >= 0.95 and p["groups"][0]["ranks"] > 1
assert p["lower_bound_s"] <= p["makespan_s"] <= 2 * p["lower_bound_s"]
' "$WORK/simulated.json"
expect_code 0
printf '100\n\n200 \n300\n' >sizes
quadloom plan --simulate --cost speed --ranks 2 --sizes sizes
expect_code 0
expect_out "3 meshes to do"
expect_out "Simulated"
printf '100\nmany\n' >sizes
quadloom plan --simulate --cost speed --ranks 2 --sizes sizes
expect_code 2
expect_err "sizes:2: expected a number of faces"
quadloom plan --simulate --cost sizes
expect_code 2
expect_err "is not a cost model"
quadloom plan --simulate --noise 3
expect_code 2
