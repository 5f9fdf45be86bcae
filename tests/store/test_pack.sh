# Packing results into one file and back, on 1, 2 and 4 ranks; killed in the middle; refused where something would be lost.
. "$(dirname "$0")/../cli/harness.sh"
STORE_SAMPLE=${STORE_SAMPLE:?the test program store_sample}
HERE=$(dirname "$0")
cd "$WORK" || exit 1
same() { expect "the same files" "$PYTHON" "$HERE/same_files.py" "$@"; }

expect "a run directory" "$STORE_SAMPLE" run 40
expect "a run directory with networks" "$STORE_SAMPLE" heavy 3 --parameters
cp -r run/meshes original

# ---- alone ----
quadloom pack run
expect_code 2
quadloom pack run -o one.h5
expect_code 0
expect_out "40 meshes in one.h5, every byte compared"
expect "results still there" test "$(ls run/meshes | wc -l)" -eq 40
expect "nothing left over" test ! -e one.h5.partial -a ! -e one.h5.state
quadloom verify one.h5
expect_code 0
expect_out "40 results"
quadloom unpack one.h5 --list
expect_code 0
expect "all are listed" test "$(wc -l <"$OUT")" -eq 40
quadloom unpack one.h5 -o back
expect_code 0
same original back
id=$(ls original | sed -n '5s/.h5//p')
quadloom unpack one.h5 -o single "$id"
expect_code 0
expect "one file" test "$(ls single)" = "$id.h5"
quadloom unpack one.h5 -o single nobody-01234567
expect_code 2
expect_err "not in this pack"
quadloom pack heavy -o heavy.h5 --buffer-mb 20
expect_code 0
quadloom unpack heavy.h5 -o heavy_back
same heavy/meshes heavy_back
quadloom pack heavy -o one.h5 --delete
expect_code 1
expect_err "differs from heavy/meshes"
expect "nothing was removed" test "$(ls heavy/meshes | wc -l)" -eq 3
quadloom pack run -o heavy.h5
expect_code 2
expect_err "does not hold"

# ---- what Python sees ----
run "$PYTHON" -c '
import h5py, sys
pack, file = h5py.File("one.h5"), h5py.File("original/" + sys.argv[1] + ".h5")
names = [n.decode() for n in pack["index/mesh"][()]]
i, c = names.index(sys.argv[1]), [n.decode() for n in pack["index/columns"][()]].index("field/theta")
start, count = pack["index/start"][i, c], pack["index/count"][i, c]
assert (pack["data/field/theta"][start:start + count] == file["field/theta"][()]).all()
assert pack["data/field/theta"].compression == "gzip" and pack["data/field/theta"].fletcher32
assert len(pack["table/faces"]) == 40
' "$id"
expect_code 0

# ---- a damaged pack is noticed ----
cp one.h5 bad.h5
"$PYTHON" -c '
import h5py
with h5py.File("bad.h5", "r+") as f:
    f["data/field/theta"][17] += 1
'
quadloom verify bad.h5
expect_code 1
expect_out "1 bad"
head -c 100000 one.h5 >bad.h5
quadloom verify bad.h5
expect_code 1

# ---- killed at every tenth point where a file could be torn, then finished ----
for point in 1 12 23 34 45 56 67 78 89 100 111 122; do
    rm -f torn.h5*
    env "QL_TEST_CRASH_AT=$point" "$QUADLOOM" pack run -o torn.h5 --buffer-mb 0 >/dev/null 2>&1
    case $? in 0) break ;; 137) ;; *) fail "killed at point $point" ;; esac
    expect "not there before it is whole" test ! -e torn.h5 -o ! -e torn.h5.partial
    [ $point -ne 122 ] || quadloom pack run -o torn.h5 --buffer-mb 0
    [ $point -eq 122 ] || quadloom pack run -o torn.h5
    expect_code 0
done
quadloom verify torn.h5
expect_code 0

# ---- ranks ----
if command -v mpirun >/dev/null 2>&1 && ! "$QUADLOOM" doctor | grep -q '^  mpi  *not built in'; then
    for ranks in 2 4; do
        run mpirun -n $ranks "$QUADLOOM" pack run -o many$ranks.h5 --buffer-mb 0
        expect_code 0
        expect_out "40 meshes"
        rm -rf many_back
        run mpirun -n $ranks "$QUADLOOM" unpack many$ranks.h5 -o many_back
        expect_code 0
        expect_out "40 results"
        same original many_back
    done
    # begun by two ranks, killed, finished by four; then by one
    for from in 0.3 0.5 0.7; do
        rm -f broken.h5*
        # mpirun itself can hang when its children die while it starts them: not for longer than that
        timeout -s KILL 20 mpirun -n 2 "$QUADLOOM" pack run -o broken.h5 --buffer-mb 0 >/dev/null 2>&1 &
        job=$!
        sleep $from
        kill -9 $(pgrep -P "$(pgrep -P $job)") 2>/dev/null
        wait $job
        sleep 1 # ranks outlive a killed mpirun a little
        run mpirun -n 4 "$QUADLOOM" pack run -o broken.h5
        expect_code 0
    done
    rm -rf many_back
    quadloom unpack broken.h5 -o many_back
    expect_code 0
    same original many_back
fi

# ---- the originals go only when asked, and everything still finds them ----
cp run/summary.csv before.csv
env QL_TEST_CRASH_AT=60 "$QUADLOOM" pack run -o one.h5 --delete >/dev/null 2>&1 # killed while it removes them
quadloom pack run -o one.h5 --delete
expect_code 0
expect "no result is left" test "$(ls run/meshes | wc -l)" -eq 0
quadloom status run
expect_out "40"
cut -d, -f1-3 before.csv >a.csv
cut -d, -f1-3 run/summary.csv >b.csv
expect "the same table" cmp a.csv b.csv
quadloom verify run
expect_code 0
expect_out "40 results"
quadloom export run --what field --format txt -o exported
expect_code 1
expect_out "40 are packed"
quadloom pack run -o two.h5
expect_code 2
expect_err "no finished mesh"
quadloom unpack one.h5 -o run
expect_code 0
same original run/meshes
quadloom verify run
expect_code 0
