. "$(dirname "$0")/harness.sh"
cd "$WORK" || exit 1

quadloom doctor
expect_code 0
for word in compiler hdf5 engines cuda ref kernel cores_allowed memory_usable_mb open_files advice; do expect_out "$word"; done

quadloom doctor --json
expect_code 0
keep doctor.json
run "$PYTHON" -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["machine"]["cores_allowed"] >= 1 and d["machine"]["memory_mb"] > 0
assert d["build"]["version"] and d["build"]["compiler"]
assert {"ref", "cpu", "cuda"} <= set(d["engines"])
assert isinstance(d["advice"], list)
' "$WORK/doctor.json"
expect_code 0

quadloom doctor extra
expect_code 2
expect_err "takes no operand"

# it sees limits and pins
run sh -c 'ulimit -n 100; exec "$0" doctor' "$QUADLOOM"
expect_code 0
expect_out "only 100 files"
run env OPENBLAS_CORETYPE=Prescott "$QUADLOOM" doctor
expect_code 0
case $(uname -m) in x86_64) expect_out "pinned_by              OPENBLAS_CORETYPE" ;; esac
run env QL_TRAIN_STEPS=0 "$QUADLOOM" doctor
expect_out "QL_TRAIN_STEPS: train.steps: '0' is not accepted"
run env QL_TRAIN_STEP=1 "$QUADLOOM" doctor
expect_out "did you mean QL_TRAIN_STEPS?"

# under mpirun one report for all ranks
if command -v mpirun >/dev/null && "$QUADLOOM" doctor | grep -q 'mpi  *Open MPI'; then
    run env CUDA_VISIBLE_DEVICES=4,7 mpirun -n 2 "$QUADLOOM" doctor --json
    expect_code 0
    expect_out "local rank 1, "
    expect_out "GPU 7 of 4,7"
    keep mpi.json
    run "$PYTHON" -c 'import json, sys; d = json.load(open(sys.argv[1])); assert d["mpi"]["ranks"] == 2, d["mpi"]; d["mpi"]["rank_1"]' "$WORK/mpi.json"
    expect_code 0
fi
