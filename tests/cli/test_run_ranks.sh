# timeout: 600
# labels: mpi
# The same meshes on 1, 2 and 4 ranks, alone, first or last: the same bytes.
. "$(dirname "$0")/harness.sh"
. "$(dirname "$0")/runs.sh"
need_mpi
make_meshes
cd "$WORK" || exit 1

on 1 run in -o one $FEW
expect_code 0
for n in 2 4; do
    on $n run in -o ranks$n $FEW
    expect_code 0
    expect_same one ranks$n
done
on 1 run in/sheet.off -o alone $FEW --set engine.threads=1
expect_code 0
expect_same one alone sheet

# more ranks than meshes; failures on one rank are everybody's exit code
echo nonsense >in/bad.off
on 4 run in/ball.obj in/bad.off -o sparse $FEW
expect_code 1
expect_out "1 of 2 meshes finished, 1 failed"
on 2 run in/none.obj -o sparse $FEW
expect_code 2
expect "said once" test "$(grep -c 'no such mesh' "$ERR")" -eq 1
