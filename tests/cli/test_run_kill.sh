# timeout: 900
# labels: mpi long
# kill -9 of a rank or of mpirun at random moments, at least 20 times, each time going on with another number of ranks:
# every mesh finishes, everything verifies, and the bytes are those of the undisturbed run.
#     QUADLOOM=build/bin/quadloom sh tests/cli/test_run_kill.sh 200      as many kills as you like
. "$(dirname "$0")/harness.sh"
. "$(dirname "$0")/runs.sh"
need_mpi
make_meshes
cd "$WORK" || exit 1
KILLS=${1:-${QL_TEST_KILLS:-20}}
case $KILLS in '' | *[!0-9]* | 0) echo "test_run_kill.sh $KILLS: expected a number of kills above 0" && exit 1 ;; esac
SAFE="$FEW --set train.checkpoint_every_s=0.2 --set quads.enabled=true --set quads.target=100"

on 1 run in -o whole $SAFE
expect_code 0

random() { # up to $1
    echo $(($(od -An -N2 -tu2 /dev/urandom) % $1))
}

gone() { # processes that are neither there nor anything but zombies
    for pid; do
        state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) || continue
        case $state in Z | X | '') ;; *) return 1 ;; esac
    done
}

kills=0 round=0
while [ $kills -lt "$KILLS" ]; do
    round=$((round + 1))
    rm -rf broken
    attempts=0
    while :; do
        attempts=$((attempts + 1))
        [ $attempts -le 100 ] || fail "round $round does not come to an end"
        start $((1 + $(random 3))) run in -o broken $SAFE
        # ever later, or a slow machine does not get beyond the start of the processes
        sleep "$(random $((3 + attempts / 8))).$(random 10)"
        ranks=$(ranks_of "$PID")
        victim=$PID
        [ "$(random 2)" -eq 0 ] || victim=$(echo $ranks | cut -d' ' -f$((1 + $(random $(echo $ranks | wc -w)))))
        if kill -9 "$victim" 2>/dev/null; then kills=$((kills + 1)); fi
        finish
        for i in $(seq 200); do
            gone $ranks && break
            sleep 0.05
        done
        [ "$CODE" -ne 0 ] || break
        grep -q "is in use by" "$OUT" && continue # ranks of a killed mpirun that are slow to die
        case $CODE in 137 | 134 | 1) ;; *) fail "unexpected exit code $CODE after a kill" ;; esac
    done
    quadloom verify broken
    expect_code 0
    expect "no failure" test -z "$(ls broken/failures)"
    expect_same whole broken
done
echo "$kills kills in $round rounds"
