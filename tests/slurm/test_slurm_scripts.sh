# timeout: 900
# labels: slurm
# What needs no Slurm: syntax, options, messages, the plan of slurm/submit, the container's recipe, a study run by mpirun.
. "$(dirname "$0")/cluster.sh"
command -v bash >/dev/null || skip "no bash"
cd "$WORK" || exit 1

if command -v shellcheck >/dev/null; then
    run sh -c 'cd "$0" && exec shellcheck -x lib.sh check_node submit scaling *.sbatch site.sh.example ../tests/slurm/testbed' "$SCRIPTS"
    expect_code 0
else
    echo "SKIPPED: shellcheck of slurm/ (not installed)"
fi

# the library
run bash -c '. "$0/lib.sh"; for t in 1:00 1:02:03 2-01:00:00 UNLIMITED "" INVALID; do echo "$t=$(ql_to_seconds "$t")"; done
    ql_run_directory a.obj -o one; ql_run_directory --output=two b; ql_run_directory -othree; ql_run_directory a b || echo none
    SLURM_JOB_ID=7 SLURM_ARRAY_JOB_ID=5 SLURM_ARRAY_TASK_ID=3 ql_job_name; SLURM_JOB_ID=7 ql_job_name
    SLURM_JOB_END_TIME=$(($(date +%s) + 500)) ql_seconds_left' "$SCRIPTS"
expect_code 0
for line in 1:00=60 1:02:03=3723 2-01:00:00=176400 UNLIMITED= INVALID= one two three none 5_3; do expect_out "$line"; done
grep -qx '7' "$OUT" || fail "name of a job"
grep -qE '^(499|500)$' "$OUT" || fail "seconds to SLURM_JOB_END_TIME"

# a signal to the shell reaches the program as USR1, and its code comes back
run bash -c '. "$0/lib.sh"; (sleep 1; kill -TERM $$) & ql_guarded sh -c "trap \"exit 75\" USR1; while :; do sleep 0.1; done"; echo code $?' "$SCRIPTS"
expect_out "code 75"
run bash -c '. "$0/lib.sh"; ql_guarded sh -c "exit 9"; echo code $?' "$SCRIPTS"
expect_out "code 9"

# what becomes of a job that ended early, with a Slurm that only notes what it is asked
mkdir -p fake notes run/checkpoints
cat >fake/scontrol <<'END'
#!/bin/sh
if [ "$1" = requeue ]; then
    echo "requeue $2" >>notes/asked
else
    echo "JobId=7 JobName=x UserId=me(1) JobState=${FAKE_STATE:-RUNNING} Reason=${FAKE_REASON:-None} Dependency=(null) Requeue=1 Restarts=${FAKE_RESTARTS:-0} BatchFlag=1"
fi
END
echo 'echo "${FAKE_LEFT:-1:00:00}"' >fake/squeue
chmod +x fake/scontrol fake/squeue
ending() { # CODE TEXT REQUESTS [NAME=VALUE]...
    code=$1 text=$2 requests=$3
    shift 3
    rm -f notes/asked
    run env "PATH=$WORK/fake:$PATH" SLURM_JOB_ID=7 "$@" bash -c '. "$0/lib.sh"; ql_site_defaults; ql_read_options --requeues 2 x; ql_began=began; ql_finish $1 run' "$SCRIPTS" "$code"
    expect_code "$code"
    expect_out "$text"
    [ "$(cat notes/asked 2>/dev/null)" = "$requests" ] || fail "expected '$requests' to be asked of Slurm"
}
touch -d '1 hour ago' began
touch run/checkpoints/a.h5
ending 0 "all done" ""
ending 1 "some meshes failed" ""
ending 3 "the environment does not allow it" ""
ending 75 "requeued: life 2 of job 7" "requeue 7"
ending 137 "killed (signal 9 or a lost rank)" "requeue 7"
ending 75 "requeued: life 3 of job 7" "requeue 7" SLURM_RESTART_COUNT=1 FAKE_RESTARTS=1
ending 75 "requeued 2 times, the limit (--requeues 2)" "" SLURM_RESTART_COUNT=2 FAKE_RESTARTS=2
ending 75 "another life of job 7 is at work" "" FAKE_RESTARTS=1
ending 75 "Slurm itself ends job 7" "" FAKE_STATE=COMPLETING
ending 75 "requeued: life 2 of job 7" "requeue 7" FAKE_STATE=COMPLETING FAKE_REASON=TimeLimit
ending 75 "requeued: life 2 of job 7_3" "requeue 7_3" SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=3
ending 75 "requeued: life 2" "requeue 7" FAKE_LEFT=0:50
touch began && touch -d '1 hour ago' run/checkpoints/a.h5
ending 75 "neither a result nor a checkpoint: not requeued" "" FAKE_LEFT=0:50

# messages: one line, what and where, what to do
complain() { # CODE TEXT CMD...
    code=$1 text=$2
    shift 2
    run "$@"
    expect_code "$code"
    expect_err "$text"
    [ "$(wc -l <"$ERR")" -eq 1 ] || fail "one line expected"
}
make_meshes
complain 2 "no input named" "$SCRIPTS/submit" -o r
complain 2 "say where results go" "$SCRIPTS/submit" in
complain 2 "--ranks x: expected a whole number" "$SCRIPTS/submit" --ranks x in -o r
complain 2 "--gpus and --ranks exclude each other" "$SCRIPTS/submit" --ranks 2 --gpus 2 in -o r
complain 2 "--shard is for a single job" "$SCRIPTS/submit" in -o r --shard 1/2
complain 2 "site file nowhere.sh cannot be read" "$SCRIPTS/submit" --site nowhere.sh in -o r
complain 3 "program nowhere is not there" "$SCRIPTS/submit" --program nowhere in -o r
complain 2 "none.obj" "$SCRIPTS/submit" --dry-run none.obj -o r
complain 2 "expected strong or weak" "$SCRIPTS/scaling" --ranks 1,2 --mode both -o s
complain 2 "no numbers of ranks" "$SCRIPTS/scaling" --mode weak -o s
complain 2 "array.sbatch is for job arrays" bash "$SCRIPTS/array.sbatch" in -o r
complain 2 "is not a run directory" bash "$SCRIPTS/summary.sbatch" nowhere
complain 2 "say where results go" bash "$SCRIPTS/run.sbatch" in
echo 'site_launcher=prun' >bad.sh
complain 2 "expected srun or mpirun" "$SCRIPTS/submit" --site bad.sh in -o r
for script in submit scaling; do
    run "$SCRIPTS/$script" --help
    expect_code 0
    expect_out "slurm/$script"
done

# a plan becomes a script; nothing is written
cat >site.sh <<END
site_program=$QUADLOOM
site_sbatch=(--partition=standard --account=project)
site_sbatch_gpu=(--constraint=a100)
site_max_time=0:02:00
END
run "$SCRIPTS/submit" --dry-run --ranks 3 --nodes 2 in -o "a run" $FEW
expect_code 0
for line in "--ntasks=3" "--nodes=2" "--cpus-per-task=1" "--partition=standard" "--account=project" "--time=0:02:00" "--signal=USR1@120" \
    "--requeue" "--open-mode=append"; do expect_out "#SBATCH $line"; done
expect_out "jobs one after the other"
expect_out "run.sbatch in -o a\\ run --set train.steps=5"
expect_out "--dependency=afterany:JOB"
reject_out "a100"
[ ! -e "a run" ] || fail "--dry-run wrote"
run "$SCRIPTS/submit" --dry-run --gpus 4 --ranks-per-gpu 2 --mps --array 10%3 --time 1:00:00 --sbatch=--exclude=n7 --no-summary in -o r $FEW
expect_code 0
for line in --gpus=4 --ntasks=8 "--array=1-10%3" --time=1:00:00 --exclude=n7 --constraint=a100; do expect_out "#SBATCH $line"; done
expect_out "array.sbatch --parts 10 --mps in -o r"
reject_out "afterany"
# resources are the plan's own
quadloom plan in --ranks 3 --json $FEW --set engine.threads=1
memory=$("$PYTHON" -c "import json; print(json.load(open(\"$OUT\"))[\"rank_memory_mb\"] + 1)")
run "$SCRIPTS/submit" --dry-run --ranks 3 --cpus 1 in -o r $FEW
expect_out "#SBATCH --mem-per-cpu=${memory}M"
run "$SCRIPTS/submit" --dry-run --gpus 3 --time 1:00:00 in -o r $FEW
for line in --ntasks=3 --gpus-per-task=1 --cpus-per-task=4; do expect_out "#SBATCH $line"; done
echo site_launcher=mpirun >>site.sh
run "$SCRIPTS/submit" --dry-run --chain 4 in -o r $FEW
expect_code 0
for line in --signal=B:USR1@120 --dependency=singleton --no-requeue; do expect_out "#SBATCH $line"; done
expect_out "run.sbatch --chain in -o r"

# the container's recipe: what a linter would look at, since a build needs apptainer
DEF=$SCRIPTS/quadloom.def
expect "a base image with a fixed version" test "$(sed -n 's/^From: *//p' "$DEF")" = debian:12
expect "Bootstrap first" test "$(grep -m 1 -v '^#' "$DEF")" = "Bootstrap: docker"
expect "the sections, each once, no other" test "$(sed -n 's/^\(%[a-z]*\).*/\1/p' "$DEF" | sort | tr '\n' ' ')" = \
    "%environment %files %help %post %runscript %test "
section() { sed -n "/^%$1/,/^%/p" "$DEF" | sed '1d;/^%/d'; }
section post >post.sh
for part in post environment runscript test; do
    section $part >section.sh
    run sh -n section.sh
    expect_code 0
    if command -v shellcheck >/dev/null; then
        run shellcheck --shell=sh section.sh
        expect_code 0
    fi
done
section files | while read -r from _; do [ -e "$ROOT/$from" ] || exit 1; done || fail "quadloom.def copies what is not there"
grep -o 'cmake/[a-z._-]*[a-z]' post.sh | while read -r path; do [ -e "$ROOT/$path" ] || exit 1; done || fail "quadloom.def uses what is not there"
expect "its preset exists" grep -q "\"name\": \"$(sed -n 's/.*--preset \([a-z]*\).*/\1/p' post.sh)\"" "$ROOT/CMakePresets.json"
expect "stops at the first error" grep -q 'set -eu' post.sh
expect "asks nothing" grep -q DEBIAN_FRONTEND=noninteractive post.sh
reject() { ! grep -nE "$1" post.sh || fail "quadloom.def: $2"; }
reject 'sudo|apt-get install ([^-]|$)' "no sudo; apt-get install needs -y"
reject '(curl|wget).*\|' "nothing that is fetched is run"
expect "takes the package lists away" grep -q 'rm -rf /var/lib/apt/lists' post.sh
expect "takes the source away" grep -q 'rm -rf /opt/quadloom-source' post.sh
if command -v apt-cache >/dev/null && apt-cache show cmake >/dev/null 2>&1; then # its packages exist
    for package in $(grep -v '^#' "$ROOT/cmake/packages.txt" | awk '{print $1}'); do
        apt-cache show "$package" >/dev/null 2>&1 || fail "package $package of cmake/packages.txt is not known to apt"
    done
fi
if command -v apptainer >/dev/null; then
    run apptainer build --force "$WORK/quadloom.sif" "$DEF"
    expect_code 0
else
    echo "SKIPPED: build of slurm/quadloom.def (no apptainer; Debian 12 has none)"
fi

# a study without Slurm
need_mpi
cat >site.sh <<END
site_program=$QUADLOOM
END
run "$SCRIPTS/scaling" --local --ranks 1,2 --mode weak -o study --predict 8 in/ball.obj $FEW
expect_code 0
expect "two points and the prediction" test "$(cut -d, -f1,2,3,6 study/scaling.csv | tr '\n' ' ')" = \
    "kind,mode,ranks,meshes measured,weak,1,1 measured,weak,2,2 predicted,weak,1, predicted,weak,2, predicted,weak,4, predicted,weak,8, "
grep -q "Predicted, not measured" study/report.md || fail "the prediction is not marked"
