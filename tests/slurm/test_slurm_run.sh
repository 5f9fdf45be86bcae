# timeout: 900
# labels: slurm
# Jobs on a real Slurm: several nodes, another number of ranks, GPUs of uneven number, MPS, an array with a broken mesh, checks.
. "$(dirname "$0")/cluster.sh"
cd "$WORK" || exit 1
cluster --nodes 4 --cpus 2 --gpus 2,1,0
make_meshes
on 1 run in -o whole $FEW
expect_code 0

# 3 ranks on 2 nodes; then one mesh by one rank and the rest by 4 on 4 nodes
submit two --nodes=2 --ntasks=3 "$SCRIPTS/run.sbatch" in -o two $FEW
two=$JOB
submit one --ntasks=1 "$SCRIPTS/run.sbatch" in/deep -o four $FEW
wait_job "$JOB" 100
submit four --nodes=4 --ntasks=4 "$SCRIPTS/run.sbatch" in -o four $FEW
wait_job "$two" 100
expect_state COMPLETED
log two
expect_out "2 node(s) n[1-2], 3 rank(s)"
expect_out "all 2 node(s) see the run directory"
expect_out "4 of 4 meshes finished"
expect_out "all done"
expect_same whole two
wait_job "$JOB" 100
expect_state COMPLETED
log four
expect_out "4 meshes: 3 to do, 1 finished"
expect_same whole four

# GPUs: 2 on n1, 1 on n2, a rank each; the MPS server is one that notes what is done with it
mkdir bin
cat >bin/nvidia-cuda-mps-control <<'END'
#!/bin/sh
if [ "$*" = -f ]; then
    echo "$(uname -n) $CUDA_VISIBLE_DEVICES" >>"$MPS_NOTES/started"
    exec sleep 300
fi
read -r word && echo "$(uname -n) $word" >>"$MPS_NOTES/told"
END
chmod +x bin/nvidia-cuda-mps-control
PATH=$WORK/bin:$PATH MPS_NOTES=$WORK submit gpu --ntasks=3 --gpus-per-task=1 --nodes=2 "$SCRIPTS/run.sbatch" --doctor --mps in -o two $FEW
gpu=$JOB
# the same where the program fails at once, and without MPS
mkdir failed off
PATH=$WORK/bin:$PATH MPS_NOTES=$WORK/failed submit gpufail --ntasks=2 --gpus-per-task=1 -w n1 "$SCRIPTS/run.sbatch" --mps --no-check in -o gpufail --set train.stepz=1
gpufail=$JOB
PATH=$WORK/bin:$PATH MPS_NOTES=$WORK/off submit gpuoff --ntasks=1 --gpus-per-task=1 -w n2 "$SCRIPTS/run.sbatch" --no-check in/ball.obj -o gpuoff $FEW
gpuoff=$JOB

# a rank that hangs in a group on the other node: the job ends with the code that has it requeued, on all nodes
HANGING=$(dirname "$QUADLOOM")/../tests/mpi/test_forming
if [ -x "$HANGING" ]; then
    {
        echo '#!/bin/bash'
        echo ". '$SCRIPTS/lib.sh' && ql_site_defaults && ql_environment && ql_launcher"
        echo "\"\${ql_words[@]}\" '$HANGING' step"
        echo 'echo "code $?"'
    } >hang.sh
    submit hang --nodes=2 --ntasks=2 hang.sh
    hang=$JOB
fi

# a container, with an apptainer that has no containers but takes the words that the real one does
cat >bin/apptainer <<'END'
#!/bin/sh
[ "$1" = exec ] && shift || exit 90
while :; do
    case $1 in
    --bind) [ -d "$2" ] && shift 2 || exit 91 ;;
    --nv) shift ;;
    -*) exit 92 ;;
    *) break ;;
    esac
done
[ -r "$1" ] || exit 93
echo "$(uname -n) rank ${PMIX_RANK:-none}: $3" >>"$APPTAINER_NOTES"
shift
exec "$@"
END
chmod +x bin/apptainer
: >image.sif
PATH=$WORK/bin:$PATH APPTAINER_NOTES=$WORK/contained submit box --nodes=2 --ntasks=2 "$SCRIPTS/run.sbatch" --container "$WORK/image.sif" in -o box $FEW
box=$JOB

# the array: three good parts of a collection, one mesh of which is none; and the job after it
cp -r in poisoned
printf 'v 0 0 0\nv 1 0 0\nf 1 2 3\n' >poisoned/broken.obj
run "$SCRIPTS/submit" --array 5 --mem-per-cpu 100 --time 10 poisoned -o array $FEW
expect_code 0
expect_out "#SBATCH --array=1-5"
array=$(sed -n 's/^Submitted  *\([0-9]*\) .*/\1/p' "$OUT")
last=$(sed -n 's/^At the end  *\([0-9]*\):.*/\1/p' "$OUT")

wait_job "$gpu" 100
expect_state COMPLETED
log gpu
if grep -q isolation=ns c/params; then # nodes have names of their own
    for place in "n1, local rank 0" "n1, local rank 1" "n2, local rank 0" "GPU 0 of 0,1" "GPU 1 of 0,1" "GPU 0 of 0"; do expect_out "$place"; done
    expect_out "MPS servers run"
    expect "an MPS server on both nodes, for all GPUs of each" test "$(sort started | tr '\n' ' ')" = "n1 0,1 n2 0 "
    expect "both were told to quit" test "$(sort told | tr '\n' ' ')" = "n1 quit n2 quit "
fi
wait_job "$gpufail" 100
expect_state FAILED
log gpufail
expect_out "ended with code 2: wrong command line or options"
expect "one server for two ranks of a node, told to quit though the program failed" \
    test "$(cat failed/started failed/told | wc -l)" -eq 2 -a "$(grep -c quit failed/told)" -eq 1
wait_job "$gpuoff" 100
expect_state COMPLETED
log gpuoff
expect_out "MPS off"
expect "no server without --mps" test ! -e off/started

if [ -x "$HANGING" ]; then
    wait_job "$hang" 60
    log hang
    expect_out "a rank of it hangs; ending the job"
    expect_out "code 75"
    reject_out "came back"
fi
wait_job "$box" 100
expect_state COMPLETED
expect_same whole box
for rank in 0 1; do expect "rank $rank is in a container" grep -q "rank $rank: run$" contained; done

wait_job "$last" 200
expect "one of five tasks ended with 1" test "$(grep -c 'ended with code 1: done, some meshes failed' array/slurm/quadloom-array-"$array"_*.log | grep -c ':1$')" -eq 1
expect "the others with 0" test "$(cat array/slurm/quadloom-array-"$array"_*.log | grep -c 'ended with code 0: all done')" -eq 4
expect_same whole array
cp "array/slurm/quadloom-array-summary-$last.log" "$OUT"
expect_out "4 of 5 finished, 1 failed"
expect_out "4 results, 0 checkpoints: all good"

# a run directory that only one node can see
if grep -q isolation=ns c/params; then
    submit local --nodes=2 --ntasks=2 "$SCRIPTS/run.sbatch" in -o /dev/shm/quadloom-test $FEW
    wait_job "$JOB" 60
    expect_state FAILED
    log local
    expect_out "must be on a shared file system"
    expect_out "1 of 2 nodes did not pass the check"
fi
