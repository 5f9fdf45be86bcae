# For the tests of `quadloom run`; sourced after harness.sh.
#     make_meshes           $WORK/in with ball.obj, sheet.off, block.ply, deep/ball.obj (same name, other content)
#     $FEW                  options that make a training a matter of a second, without quads
#     on N ARG...           the program on N ranks (1: without mpirun), by run
#     start N ARG...        the same in the background; $PID is mpirun or the program; output in $WORK/.bg
#     ranks_of PID          the processes of a started run that compute
#     expect_same A B       results of two run directories are equal byte for byte
#     need_mpi              skips the test when there is no MPI
FEW="--set train.steps=5 --set train.off_points=40 --set train.history_every=1 --set quads.enabled=false"

make_meshes() {
    mkdir -p "$WORK/in/deep"
    for mesh in "icosphere 20 ball.obj" "bracket 16 sheet.off" "block 40 block.ply" "icosphere 80 deep/ball.obj"; do
        set -- $mesh
        "$QUADLOOM" generate "$1" --faces "$2" -o "$WORK/in/$3" >/dev/null || fail "generate $1"
    done
}

need_mpi() {
    command -v mpirun >/dev/null 2>&1 || skip "no mpirun"
    "$QUADLOOM" doctor | grep -q '^  mpi  *not built in' && skip "built without MPI"
    return 0
}

on() {
    ranks=$1
    shift
    if [ "$ranks" -eq 1 ]; then run "$QUADLOOM" "$@"; else run mpirun -n "$ranks" "$QUADLOOM" "$@"; fi
}

start() {
    ranks=$1
    shift
    COMMAND="$ranks ranks in the background: $*"
    if [ "$ranks" -eq 1 ]; then
        "$QUADLOOM" "$@" >"$WORK/.bg" 2>&1 </dev/null &
    else
        mpirun -n "$ranks" "$QUADLOOM" "$@" >"$WORK/.bg" 2>&1 </dev/null &
    fi
    PID=$!
}

ranks_of() {
    kids=$(pgrep -P "$1")
    echo "${kids:-$1}"
}

# Waits until a file (pattern) is there, or the started run is over.
wait_for() {
    for i in $(seq 600); do
        ls $1 >/dev/null 2>&1 && return 0
        kill -0 "$PID" 2>/dev/null || return 1
        sleep 0.05
    done
    fail "waited in vain for $1"
}

# The exit code of the started run.
finish() {
    CODE=0
    wait "$PID" || CODE=$?
    cp "$WORK/.bg" "$OUT"
    cp "$WORK/.bg" "$ERR"
}

expect_same() { expect "same results" "$PYTHON" "$ROOT/tests/cli/same_results.py" "$@"; }
