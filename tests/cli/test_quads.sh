# `quadloom quads`: a field in each format, bad input (each one line that names file, place, remedy), sizes, verification.
. "$(dirname "$0")/harness.sh"
cd "$WORK" || exit 1
"$QUADLOOM" generate icosphere --faces 80 -o ball.obj >/dev/null || fail "generate"
lines() { i=0; while [ $i -lt "$1" ]; do echo "$2"; i=$((i + 1)); done; }

# fields: text, .rosy, none
lines 80 "1 0 0  0 1 0" >field.txt
{ echo 80; echo 4; lines 80 "1 0 0"; } >field.rosy
for field in field.txt field.rosy; do
    quadloom quads ball.obj --field $field --target-quads 200 -o out.obj
    expect_code 0
    expect_out "verified"
done
quadloom quads ball.obj --method smooth --target-quads 200 -o out.ply --json
expect_code 0
expect_out '"valid": true'
expect "a PLY file" grep -q "^element face" out.ply

# the same bytes for every number of threads that a BLAS may use
"$QUADLOOM" generate torus --faces 3000 -o torus.obj >/dev/null || fail "generate"
for threads in 1 2 3; do
    run env OPENBLAS_NUM_THREADS=$threads OMP_NUM_THREADS=$threads "$QUADLOOM" quads torus.obj --method smooth --target-quads 2000 \
        -o threads$threads.obj
    expect_code 0
    expect "equal bytes with 1 and $threads threads" cmp threads1.obj threads$threads.obj
done

# a quad mesh is judged alone against the mesh it was made from
quadloom verify threads1.obj --input torus.obj
expect_code 0
expect_out "good threads1.obj"
expect_out "1 quad mesh: all good"
quadloom verify threads1.obj --input ball.obj
expect_code 1
expect_out "BAD  threads1.obj: Euler characteristic 0, input has 2"
awk '/^v / { $2 += 9 } { print }' torus.obj >moved.obj
quadloom verify threads1.obj --input moved.obj
expect_code 1
expect_out "of the diagonal away from moved.obj; name the mesh that it was made from"
awk '/^f/ && !done { $2 = $3; done = 1 } { print }' threads1.obj >damaged.obj
quadloom verify threads1.obj damaged.obj --input torus.obj
expect_code 1
expect_out "BAD  damaged.obj: Euler characteristic"
quadloom verify torus.obj --input torus.obj
expect_code 1
expect_out "torus.obj: face 1 has 3 corners, not 4"
quadloom verify threads1.obj
expect_code 2
expect_err "add --input MESH"

# fields that do not belong
bad() { # TEXT ARG...
    text=$1
    shift
    rm -f out.obj
    quadloom quads "$@" -o out.obj
    [ "$CODE" -ne 0 ] || fail "accepted"
    expect_err "$text"
    [ "$(wc -l <"$ERR")" -eq 1 ] || fail "more than one line"
    [ ! -e out.obj ] || fail "left an output"
}
lines 79 "1 0 0  0 1 0" >short.txt
bad "short.txt: field of 79 faces, the mesh has 80" ball.obj --field short.txt
lines 81 "1 0 0  0 1 0" >long.txt
bad "long.txt: line 81: more lines than the mesh has faces (80)" ball.obj --field long.txt
{ lines 9 "1 0 0  0 1 0"; lines 71 "1 0 0  0 nan 0"; } >nan.txt
bad "nan.txt: line 10: not a finite number" ball.obj --field nan.txt
{ echo 79; echo 4; lines 79 "1 0 0"; } >short.rosy
bad "short.rosy: line 1: field of 79 faces, the mesh has 80" ball.obj --field short.rosy
{ echo 80; echo 2; lines 80 "1 0 0"; } >two.rosy
bad "two.rosy: line 2: 2 directions per face, expected 4" ball.obj --field two.rosy
lines 80 "1 0 0" >half.txt
bad "half.txt: line 1: expected 6 numbers (alpha xyz beta xyz)" ball.obj --field half.txt
bad "none.txt" ball.obj --field none.txt

# sizes
bad "target of 0 quads: expected 1 to 20000000" ball.obj --target-quads 0
bad "target of 1000000000 quads: expected 1 to 20000000" ball.obj --target-quads 1000000000
bad "at most 20000000" ball.obj --edge-length 1e-9
bad "--edge-length nan" ball.obj --edge-length nan

# a strip that has one side only
awk 'BEGIN { n = 12; pi = 3.14159265358979
    for (i = 0; i < n; i++) for (s = -1; s <= 1; s += 2) { a = 2 * pi * i / n; r = 3 + s * cos(a / 2)
        print "v", r * cos(a), r * sin(a), s * sin(a / 2) }
    for (i = 0; i < n; i++) { a = 2 * i + 1; b = a + 1; c = i < n - 1 ? a + 2 : 2; d = i < n - 1 ? a + 3 : 1
        print "f", a, c, b; print "f", b, c, d } }' >moebius.obj
bad "moebius.obj: surface is not orientable" moebius.obj --method smooth

# a single triangle and an unreferenced vertex; two components
printf 'v 0 0 0\nv 1 0 0\nv 0 1 0\nv 7 7 7\nf 1 2 3\n' >triangle.obj
quadloom quads triangle.obj --method smooth --target-quads 12 -o out.obj --json
expect_code 0
expect_out '"euler": 1,'
printf 'v 0 0 0\nv 1 0 0\nv 0 1 0\nv 5 0 0\nv 6 0 0\nv 5 1 0\nf 1 2 3\nf 4 5 6\n' >pair.obj
quadloom quads pair.obj --method smooth --target-quads 24 -o out.obj --json
expect_code 0
expect_out '"euler": 2,'
expect_out '"boundary_loops": 2,'

# a component without area beside a good one is left out and named; thin ones do not hold up the rest
{ cat ball.obj; printf 'v 3 0 0\nv 4 0 0\nv 5 0 0\nf -3 -2 -1\n'; } >beside.obj
quadloom quads beside.obj --method smooth --target-quads 200 -o out.obj
expect_code 0
expect_out "1 component without area left out"
for width in 0.001 0.00001; do
    printf 'v 0 0 0\nv 1 0 0\nv 0.5 %s 0\nf 1 2 3\n' $width >thin.obj
    quadloom quads thin.obj --method smooth --target-quads 200 -o out.obj
    expect_code 0
    expect_out "verified"
done

quadloom quads ball.obj --method smooth --irregular-price -1 -o no.obj
expect_code 2
expect_err "--irregular-price -1: expected a number not below 0"

# what is no mesh, and no output named
printf 'v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n' >flat.obj
bad "flat.obj" flat.obj --method smooth
quadloom quads ball.obj
expect_code 2
expect_err "-o OUT.obj"
