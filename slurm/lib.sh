# shellcheck shell=bash disable=SC2034 # much of it is for those who source it
# What the batch scripts of this folder share; sourced by them. Needs bash 4.2 and Slurm's own commands, nothing else.
#
# A job goes through: options -> site file -> report of the environment -> check of the nodes -> the program -> what now?
# The program checkpoints and ends with 75 when it is asked to stop (time limit, preemption, scancel). Then, in this order:
# a job that Slurm itself ends (scancel) is left alone, a chained one leaves the work to its successor, any other is requeued up to a limit. A
# program that was killed (code 128 and above) is treated the same: whoever runs next goes on from the checkpoints.
#
# Signals: Slurm sends USR1 to the tasks themselves (--signal=USR1@T). What reaches this shell instead (TERM at preemption and
# scancel, USR1 with --signal=B:USR1@T, which a launcher other than srun needs) is passed on to the launcher as USR1.

QUADLOOM_SLURM=${QUADLOOM_SLURM:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)}

ql_say() { printf '%s slurm: %s\n' "$(date '+%F %T')" "$*"; }

ql_die() { # CODE TEXT: 2 usage, 3 environment
    printf 'quadloom slurm: %s\n' "$2" >&2
    exit "$1"
}

# ---------------------------------------------------------------- the site file
# Everything that differs between clusters; site.sh.example explains each name.
ql_site_defaults() {
    site_sbatch=() site_sbatch_gpu=()
    site_launcher=srun
    site_srun=(--mpi=pmix --cpu-bind=cores)
    site_mpirun=()
    site_python='' site_program='' site_container='' site_container_bind=''
    site_max_time='' site_margin_s=30 site_signal_s=120
    site_setup() { :; }
}

ql_site_load() { # [FILE]
    local file=${1:-${QUADLOOM_SITE:-}} candidate
    ql_site_defaults
    if [ -z "$file" ]; then
        for candidate in "$QUADLOOM_SLURM/site.sh" "${XDG_CONFIG_HOME:-${HOME:-/nonexistent}/.config}/quadloom/site.sh"; do
            [ ! -r "$candidate" ] || { file=$candidate && break; }
        done
    fi
    site_file=$file
    [ -n "$file" ] || return 0
    [ -r "$file" ] || ql_die 2 "site file $file cannot be read; see $QUADLOOM_SLURM/site.sh.example"
    # shellcheck disable=SC1090 # its name is an option
    . "$file" || ql_die 2 "site file $file: its last command failed"
    case $site_launcher in srun | mpirun) ;; *) ql_die 2 "site file $file: site_launcher=$site_launcher; expected srun or mpirun" ;; esac
}

# The program as a list of words: from the option, the site file, the checkout's build, the prefix it was installed to, PATH.
ql_find_program() { # [PROGRAM] [IMAGE.sif]
    local program=${1:-$site_program} image=${2:-$site_container} tool candidate
    quadloom=()
    if [ -n "$image" ]; then
        tool=$(command -v apptainer || command -v singularity) ||
            ql_die 3 "a container ($image) was asked for, but there is neither apptainer nor singularity in PATH; a module in site_setup?"
        [ -r "$image" ] || ql_die 3 "container image $image cannot be read; $QUADLOOM_SLURM/quadloom.def tells how to build it"
        quadloom=("$tool" exec)
        [ -z "${SLURM_JOB_GPUS:-${SLURM_GPUS_ON_NODE:-}}" ] || quadloom+=(--nv)
        [ -z "$site_container_bind" ] || quadloom+=(--bind "$site_container_bind")
        quadloom+=(--bind "$PWD" "$image" "${program:-quadloom}")
        return
    fi
    for candidate in "$program" "$QUADLOOM_SLURM/../build/release/bin/quadloom" "$QUADLOOM_SLURM/../../../bin/quadloom"; do
        [ -n "$candidate" ] || continue
        if [ -x "$candidate" ] && [ ! -d "$candidate" ]; then
            quadloom=("$(cd "$(dirname "$candidate")" && pwd -P)/$(basename "$candidate")")
            return
        fi
        [ "$candidate" != "$program" ] || ql_die 3 "program $program is not there or not executable"
    done
    candidate=$(command -v quadloom) ||
        ql_die 3 "no quadloom: build it (cmake --preset release && cmake --build build/release), or name it by --program or site_program"
    quadloom=("$candidate")
}

# A Python that has MODULES, in ql_python; else any, else nothing
ql_find_python() { # MODULES, with commas
    local candidate
    ql_python=$site_python
    for candidate in python3 /usr/bin/python3; do
        [ -z "$site_python" ] && "$candidate" -c "import $1" 2>/dev/null && ql_python=$candidate && return
    done
    ql_python=${ql_python:-python3}
}

# ---------------------------------------------------------------- options of the scripts
ql_options_text='
  --site FILE        site file (default: site.sh beside the scripts, ~/.config/quadloom/site.sh)
  --program FILE     quadloom itself (default: site_program, the build of this checkout, PATH)
  --container IMAGE  run inside this Apptainer image
  --requeues N       requeue an unfinished job so many times (default 20; 0: never)
  --chain            one of several jobs in a row (--dependency=singleton): never requeue
  --mps              start the MPS server of NVIDIA on every node: several ranks share a GPU
  --doctor           print how every rank is placed and bound before the work begins
  --no-check         do not check the nodes first'

# Takes the options above from the front; the rest is in job_arguments.
ql_read_options() {
    job_site='' job_program='' job_container='' job_requeues=20 job_chain=0 job_mps=0 job_doctor=0 job_check=1
    while [ $# -gt 0 ]; do
        case $1 in
        --site | --program | --container | --requeues)
            [ $# -ge 2 ] || ql_die 2 "$1 needs a value"
            printf -v "job_${1#--}" %s "$2"
            shift
            ;;
        --chain | --mps | --doctor) printf -v "job_${1#--}" 1 ;;
        --no-check) job_check=0 ;;
        --) shift && break ;;
        *) break ;;
        esac
        shift
    done
    case $job_requeues in '' | *[!0-9]*) ql_die 2 "--requeues $job_requeues: expected a whole number" ;; esac
    job_arguments=("$@")
}

# RUN_DIR of the arguments of `quadloom run`
ql_run_directory() {
    local previous=''
    for word; do
        case $previous in -o | --output) printf '%s\n' "$word" && return ;; esac
        case $word in -o?*) printf '%s\n' "${word#-o}" && return ;; --output=*) printf '%s\n' "${word#*=}" && return ;; esac
        previous=$word
    done
    return 1
}

# ---------------------------------------------------------------- what Slurm knows
# The name by which Slurm knows just this job: the plain number of an array's first task means the whole array.
ql_job_name() {
    if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then
        printf '%s_%s\n' "$SLURM_ARRAY_JOB_ID" "$SLURM_ARRAY_TASK_ID"
    else
        printf '%s\n' "$SLURM_JOB_ID"
    fi
}

# STATE/REASON/RESTARTS. A job that Slurm is ending is COMPLETING; the reason TimeLimit tells that from scancel and preemption.
# The number of restarts tells a life on a node that was cut off from the one that runs now.
ql_job_state() {
    scontrol -o show job "$(ql_job_name)" 2>/dev/null |
        sed -n 's/.* JobState=\([A-Z_]*\) Reason=\([^ ]*\) .* Restarts=\([0-9]*\) .*/\1\/\2\/\3/p' | head -n 1
}

# [D-][[H:]M:]S as squeue prints it; nothing for UNLIMITED, NOT_SET, INVALID
ql_to_seconds() {
    local text=$1 days=0 part total=0
    case $text in *-*) days=${text%%-*} text=${text#*-} ;; esac
    case $text in '' | *[!0-9:]*) return ;; esac
    case $days in *[!0-9]*) return ;; esac
    local IFS=:
    for part in $text; do total=$((total * 60 + 10#$part)); done
    printf '%s\n' $((10#$days * 86400 + total))
}

# Seconds until the job's end; nothing when there is no limit. Slurm 22.05 has no SLURM_JOB_END_TIME yet: squeue tells it.
ql_seconds_left() {
    if [ -n "${SLURM_JOB_END_TIME:-}" ]; then
        printf '%s\n' $((SLURM_JOB_END_TIME - $(date +%s)))
    else
        ql_to_seconds "$(squeue -h -j "$(ql_job_name)" -o %L 2>/dev/null | head -n 1)"
    fi
}

# ---------------------------------------------------------------- environment
ql_environment() {
    # Open MPI 4 with Slurm's PMIx plugin of 22.05: other fences crash some starts on several nodes
    export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}
    export SLURM_EXPORT_ENV=ALL # sbatch --export=NONE, or a site's default of it, must not empty the tasks' environment
    export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
}

ql_report() {
    local left
    left=$(ql_seconds_left)
    ql_say "job $(ql_job_name), life $((${SLURM_RESTART_COUNT:-0} + 1)), ${SLURM_JOB_NUM_NODES:-1} node(s) ${SLURM_JOB_NODELIST:-$(uname -n)}, ${SLURM_NTASKS:-1} rank(s) of ${SLURM_CPUS_PER_TASK:-1} core(s)${SLURM_JOB_PARTITION:+, partition $SLURM_JOB_PARTITION}"
    ql_say "program ${quadloom[*]}: $("${quadloom[@]}" --version 2>&1 | head -n 1)"
    ql_say "folder $PWD; site file ${site_file:-none}; time left ${left:-without limit}${left:+ s}"
    [ -z "${SLURM_JOB_GPUS:-}" ] || ql_say "GPUs on $(uname -n): $SLURM_JOB_GPUS; MPS $([ "$job_mps" = 1 ] && echo on || echo off)"
}

# ---------------------------------------------------------------- starting things
# The words that start a program on every rank, in ql_words.
ql_launcher() {
    local ranks=${SLURM_NTASKS:-1}
    if [ "$site_launcher" = srun ]; then
        # --kill-on-bad-exit=0: ranks that end with 75 a moment apart must not kill each other
        # Without SLURM_GPUS_PER_TASK a rank sees all GPUs of its node that the job has and takes the one of its local number: so
        # ranks can copy directly between them. (--gpu-bind=none would leave CUDA_VISIBLE_DEVICES empty on 22.05.)
        ql_words=(env -u SLURM_GPUS_PER_TASK srun "${site_srun[@]}" --kill-on-bad-exit=0 --ntasks="$ranks" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}")
    else
        ql_words=(env -u SLURM_GPUS_PER_TASK mpirun -n "$ranks")
        [ "${#site_mpirun[@]}" -eq 0 ] || ql_words+=("${site_mpirun[@]}")
    fi
}

ql_launch_per_node() { # CMD once on every node
    env -u SLURM_NTASKS_PER_GPU -u SLURM_GPUS_PER_TASK -u SLURM_NTASKS_PER_NODE -u SLURM_CPUS_PER_TASK \
        srun --overlap --mpi=none --kill-on-bad-exit=0 --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
        --ntasks-per-node=1 --cpus-per-task=1 "$@"
}

# CMD in the background; signals to this shell go to it as USR1, so that it checkpoints. Returns its code.
ql_forward() {
    ql_woken=1
    ql_say "$1 received: the program writes its checkpoints"
    kill -USR1 "$ql_child" 2>/dev/null
}
ql_guarded() {
    local code last=0
    "$@" </dev/null &
    ql_child=$!
    trap 'ql_forward USR1' USR1
    trap 'ql_forward TERM' TERM
    trap 'ql_forward INT' INT
    while :; do
        ql_woken=0
        wait "$ql_child"
        code=$?
        [ "$ql_woken" = 1 ] || break
        last=$code # it may have ended in the very moment of the signal: then this was its code
    done
    trap '' USR1 TERM INT # what follows is short and must not be cut off
    [ "$code" != 127 ] || [ "$last" = 0 ] || code=$last
    return "$code"
}

# ---------------------------------------------------------------- nodes
ql_check_nodes() {
    local token found=0 node text
    [ "$job_check" = 1 ] && [ -n "${SLURM_JOB_NUM_NODES:-}" ] && command -v srun >/dev/null || return 0
    token=$ql_began
    text=$(ql_launch_per_node bash "$QUADLOOM_SLURM/check_node" "$token" "$("${quadloom[@]}" --version 2>&1 | head -n 1)" "${quadloom[@]}" 2>&1)
    while read -r node; do
        case $node in 'node '*': ok'*) found=$((found + 1)) ;; *) ql_say "$node" ;; esac
    done <<<"$text"
    [ "$found" = "$SLURM_JOB_NUM_NODES" ] ||
        ql_die 3 "$((SLURM_JOB_NUM_NODES - found)) of $SLURM_JOB_NUM_NODES nodes did not pass the check above; leave them out with sbatch --exclude=NODE, or skip the check with --no-check"
    ql_say "all $found node(s) see the run directory and run this program"
}

# MPS: a control daemon per node for as long as the job lasts, as a step of its own (a daemon would be killed with its step).
ql_mps_start() {
    [ "$job_mps" = 1 ] || return 0
    [ -n "${SLURM_JOB_GPUS:-${SLURM_GPUS_ON_NODE:-}}" ] || ql_die 2 "--mps: this job has no GPU; ask for some with --gpus"
    CUDA_MPS_PIPE_DIRECTORY=/tmp/quadloom-mps-$(id -u)-$SLURM_JOB_ID
    CUDA_MPS_LOG_DIRECTORY=$CUDA_MPS_PIPE_DIRECTORY
    export CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    # as many tasks as the program will have, of which the first of each node stays: a step of one per node gets but one GPU
    # shellcheck disable=SC2016 # expands on the node
    env -u SLURM_GPUS_PER_TASK srun --overlap --mpi=none --kill-on-bad-exit=0 --ntasks="${SLURM_NTASKS:-1}" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
        sh -c '[ "$SLURM_LOCALID" = 0 ] || exit 0
        mkdir -p "$CUDA_MPS_PIPE_DIRECTORY" &&
        { command -v nvidia-cuda-mps-control >/dev/null || { echo "node $(uname -n): no nvidia-cuda-mps-control; run without --mps"; exit 3; }; } &&
        exec nvidia-cuda-mps-control -f' &
    ql_mps=$!
    sleep 2
    kill -0 $ql_mps 2>/dev/null || ql_die 3 "the MPS servers did not start (the lines above say why)"
    ql_say "MPS servers run, pipes in $CUDA_MPS_PIPE_DIRECTORY"
}
ql_mps_stop() {
    [ -n "${ql_mps:-}" ] || return 0
    # shellcheck disable=SC2016
    ql_launch_per_node sh -c 'echo quit | timeout 10 nvidia-cuda-mps-control; rm -rf "$CUDA_MPS_PIPE_DIRECTORY"' >/dev/null 2>&1
    kill "$ql_mps" 2>/dev/null
    wait "$ql_mps" 2>/dev/null
    ql_mps=''
}

# ---------------------------------------------------------------- and then?
ql_explain() { # CODE
    case $1 in
    0) echo "all done" ;;
    1) echo "done, some meshes failed" ;;
    2) echo "wrong command line or options: see above" ;;
    3) echo "the environment does not allow it: see above" ;;
    75) echo "stopped early with checkpoints" ;;
    *) [ "$1" -lt 128 ] && echo "ended unexpectedly" || echo "killed (signal $(($1 - 128)) or a lost rank)" ;;
    esac
}

# Whether this life of the job brought anything that lasts
ql_has_progress() { # RUN_DIR
    [ -n "$(find "$1/meshes" "$1/checkpoints" "$1/failures" -type f -newer "$ql_began" -print -quit 2>/dev/null)" ]
}

# Requeues the job if there is something left to do and it may be; ends with the program's code.
ql_finish() { # CODE RUN_DIR
    local code=$1 run=$2 state left count=${SLURM_RESTART_COUNT:-0} job
    job=$(ql_job_name)
    ql_say "the program ended with code $code: $(ql_explain "$code")"
    if [ "$code" -le 1 ] && [ "$job_chain" = 1 ]; then
        scancel --quiet --state=PENDING --name="$SLURM_JOB_NAME" --user="$(id -un)" 2>/dev/null &&
            ql_say "nothing is left to do: jobs of the same name that still wait are cancelled"
    fi
    [ "$code" = 75 ] || [ "$code" -ge 128 ] || exit "$code"
    state=$(ql_job_state)
    left=$(ql_seconds_left)
    case $state in
    */"$count") ;;
    '') ;;
    *) ql_say "another life of job $job is at work: this one leaves it alone" && exit "$code" ;;
    esac
    case $state in
    RUNNING/* | COMPLETING/TimeLimit/* | TIMEOUT/*) ;;
    '') ql_say "Slurm does not answer: job $job is not requeued; submit it again to go on from the checkpoints" && exit "$code" ;;
    *) ql_say "Slurm itself ends job $job (cancelled, or preempted and requeued by Slurm): not requeued from here" && exit "$code" ;;
    esac
    if [ -n "$left" ] && [ "$left" -lt $((site_signal_s + 60)) ] && ! ql_has_progress "$run"; then
        ql_say "the whole time limit brought neither a result nor a checkpoint: not requeued, it would repeat. Submit it with more --time"
    elif [ "$job_chain" = 1 ]; then
        ql_say "the next job of this name goes on (squeue --me --name=$SLURM_JOB_NAME)"
    elif [ "$job_requeues" = 0 ]; then
        ql_say "not requeued (--requeues 0): submit it again to go on from the checkpoints"
    elif [ "$count" -ge "$job_requeues" ]; then
        ql_say "requeued $count times, the limit (--requeues $job_requeues): not again. Look into the log; submit it again to go on"
    elif scontrol requeue "$job"; then
        ql_say "requeued: life $((count + 2)) of job $job goes on from the checkpoints"
    else
        ql_say "Slurm does not let job $job be requeued (see above); submit it again to go on, or use slurm/submit --chain N"
    fi
    exit "$code"
}

# The whole of a job: options and arguments of `quadloom run`.
ql_job() {
    local run code
    ql_read_options "$@"
    [ "${#job_arguments[@]}" -gt 0 ] || ql_die 2 "no input named. Usage: sbatch [...] SCRIPT [OPTION]... INPUT... -o RUN_DIR; options:$ql_options_text"
    run=$(ql_run_directory "${job_arguments[@]}") || ql_die 2 "no run directory; say where results go: -o RUN_DIR"
    ql_site_load "$job_site"
    site_setup || ql_die 3 "site file $site_file: site_setup failed"
    ql_environment
    ql_find_program "$job_program" "$job_container"
    ql_report
    mkdir -p "$run/slurm" || ql_die 3 "$run/slurm cannot be made: can this user write to $(dirname "$run") from $(uname -n)?"
    ql_began=$(mktemp "$run/slurm/.began.XXXXXX") || ql_die 3 "$run/slurm cannot be written from $(uname -n)"
    trap 'rm -f "$ql_began"' EXIT
    ql_check_nodes
    ql_mps_start
    ql_launcher
    [ "$job_doctor" = 0 ] || "${ql_words[@]}" "${quadloom[@]}" doctor </dev/null || ql_say "doctor ended with code $?"
    ql_work "${job_arguments[@]}"
    code=$?
    ql_mps_stop
    ql_finish $code "$run"
}

# `quadloom run` with a time limit that lies before Slurm's, in case its signal does not come
ql_work() {
    local left arguments=("$@")
    left=$(ql_seconds_left)
    case " $* " in *' --time-limit'*) left='' ;; esac
    [ -z "$left" ] || [ "$left" -le $((2 * site_margin_s)) ] || arguments+=(--time-limit $((left - site_margin_s)))
    ql_say "$site_launcher: quadloom run ${arguments[*]}"
    ql_guarded "${ql_words[@]}" "${quadloom[@]}" run "${arguments[@]}"
}

# ---------------------------------------------------------------- one point of a scaling study
# MODE [--local RANKS] --study DIR [--pass R] [OPTION]... INPUT... [options of `quadloom run`]: leaves DIR/points/MODE-RANKS-R/point.json
ql_point() {
    local mode=$1 study='' repeat=1 ranks=${SLURM_NTASKS:-1} here=0 point began ended code word inputs=() options=()
    shift
    while [ $# -ge 2 ]; do
        case $1 in
        --local) here=1 ranks=$2 ;;
        --study) study=$2 ;;
        --pass) repeat=$2 ;;
        *) break ;;
        esac
        shift 2
    done
    [ -n "$study" ] || ql_die 2 "no study: --study DIR; slurm/scaling does it all"
    ql_read_options "$@"
    set -- "${job_arguments[@]}"
    while [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; do inputs+=("$1") && shift; done
    options=("$@")
    [ "${#inputs[@]}" -gt 0 ] || ql_die 2 "no input named"
    ql_site_load "$job_site"
    site_setup || ql_die 3 "site file $site_file: site_setup failed"
    ql_environment
    ql_find_program "$job_program" "$job_container"
    point=$study/points/$mode-$ranks-$repeat
    rm -rf "$point"
    mkdir -p "$point" || ql_die 3 "$point cannot be made"
    [ "$mode" = strong ] || ql_copy_for_ranks "$ranks" "$point/meshes" "${inputs[@]}"
    [ "$mode" = strong ] || inputs=("$point/meshes")
    if [ $here = 0 ]; then
        ql_report
        ql_launcher
    else
        ql_words=(mpirun -n "$ranks")
        [ "${#site_mpirun[@]}" -eq 0 ] || ql_words+=("${site_mpirun[@]}")
        [ "$ranks" != 1 ] || ql_words=(env)
    fi
    began=$(date +%s.%N)
    ql_guarded "${ql_words[@]}" "${quadloom[@]}" run "${inputs[@]}" -o "$point/run" "${options[@]}"
    code=$?
    ended=$(date +%s.%N)
    printf '{"mode": "%s", "ranks": %d, "nodes": %d, "pass": %d, "cpus": %d, "began": %s, "ended": %s, "code": %d, "job": "%s", "host": "%s", "online": %d}\n' \
        "$mode" "$ranks" "${SLURM_JOB_NUM_NODES:-1}" "$repeat" "${SLURM_CPUS_PER_TASK:-1}" "$began" "$ended" "$code" \
        "${SLURM_JOB_ID:-}" "$(uname -n)" "$(getconf _NPROCESSORS_ONLN)" >"$point/point.json"
    [ "$mode" = strong ] || rm -rf "$point/meshes"
    ql_say "the program ended with code $code: $(ql_explain $code)"
    exit $code
}

ql_copy_for_ranks() { # RANKS FOLDER INPUT...: real copies, for links to one mesh are trained once
    local ranks=$1 folder=$2 files=() path r
    shift 2
    mapfile -d '' files < <(find "$@" -type f \( -iname '*.obj' -o -iname '*.ply' -o -iname '*.off' -o -iname '*.stl' \) -print0)
    [ "${#files[@]}" -gt 0 ] || ql_die 2 "no mesh files in $*"
    mkdir -p "$folder" || ql_die 3 "$folder cannot be made"
    for ((r = 0; r < ranks; ++r)); do
        for path in "${files[@]}"; do
            cp "$path" "$folder/copy$r-$(basename "$path")" || ql_die 3 "$path cannot be copied to $folder"
        done
    done
}
