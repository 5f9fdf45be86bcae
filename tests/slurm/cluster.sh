# For the tests with a real Slurm; sourced first.
#     cluster OPTION...     starts one (options of ./testbed), stopped at the end of the test; skips where there are no packages
#     need_names            skips where the nodes are no namespaces with names of their own
#     submit NAME ARG...    sbatch with its output in $WORK/NAME.log; $JOB is the job
#     wait_job JOB S        waits until it is over, at most S seconds; its state is $STATE
#     wait_until S CMD...   waits until CMD succeeds
#     log NAME              takes $WORK/NAME.log as output of a command, for expect_out
. "$(dirname "$0")/../cli/harness.sh"
. "$ROOT/tests/cli/runs.sh"
PATH=$PATH:/usr/sbin:/sbin
SCRIPTS=$ROOT/slurm
TESTBED=$ROOT/tests/slurm/testbed
export QUADLOOM_SITE="$WORK/site.sh"
echo "site_program=$QUADLOOM" >"$QUADLOOM_SITE"

cluster() {
    for tool in slurmctld slurmd munged sbatch ip; do
        command -v $tool >/dev/null || skip "no $tool: packages slurmctld, slurmd, slurm-client, munge, iproute2"
    done
    need_mpi
    command -v bash >/dev/null || skip "no bash"
    trap 'end_cluster $?' EXIT
    run "$TESTBED" up --dir "$WORK/c" --watch $$ "$@"
    expect_code 0
    eval "$("$TESTBED" env --dir "$WORK/c")"
}

end_cluster() {
    trap - EXIT
    [ "$1" = 0 ] || [ "$1" = 77 ] || show_cluster
    "$TESTBED" down --dir "$WORK/c" >/dev/null 2>&1
    left=$(pgrep -fa -- "$WORK/c/")
    rm -rf "$WORK"
    [ -z "$left" ] || { echo "FAILED: left behind: $left" && exit 1; }
    exit "$1"
}

show_cluster() {
    for file in "$WORK"/*.log "$WORK"/*/slurm/*.log; do
        [ -f "$file" ] && echo "--- $file" && tail -n 25 "$file"
    done
    timeout 5 squeue
    timeout 5 sinfo -N
    tail -n 5 "$WORK/c/log/slurmctld.log" "$WORK/c/log/jobcomp.txt" 2>/dev/null
}

need_names() { grep -q isolation=ns "$WORK/c/params" || skip "needs root and namespaces: nodes with names and networks of their own"; }

submit() {
    name=$1
    shift
    run sbatch --parsable --output="$WORK/$name.log" --open-mode=append --time=10 "$@"
    expect_code 0
    JOB=$(cat "$OUT")
}

state_of() { scontrol -o show job "$1" | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p' | head -n 1; }

wait_job() {
    COMMAND="waiting for job $1"
    for i in $(seq $(($2 * 4))); do
        STATE=$(state_of "$1")
        case $STATE in PENDING | RUNNING | COMPLETING | CONFIGURING | SUSPENDED | REQUEUED) ;; *) return 0 ;; esac
        sleep 0.25
    done
    fail "job $1 is still $STATE after $2 s"
}

wait_until() {
    COMMAND="waiting until: $*"
    patience=$1
    shift
    for i in $(seq $((patience * 4))); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.25
    done
    fail "not so after $patience s: $*"
}

log() {
    COMMAND="log $1"
    cp "$WORK/$1.log" "$OUT"
    : >"$ERR"
}

expect_state() { [ "$STATE" = "$1" ] || fail "expected job state $1, is $STATE"; }
