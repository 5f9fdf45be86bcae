#!/bin/sh
# What thousands of meshes cost besides their training: COUNT tiny meshes (tetrahedra with random corners), 1 step each, on RANKS
# ranks; then the same run again, which finds everything finished; then packing.
#
#     sh analysis/sweep_scale.sh [COUNT] [RANKS]        default 10000 2
#
# Prints seconds, overhead per mesh (wall time of a rank per mesh, less the training and the making of the networks before it:
# memory and 4.4 million initial values, the same for every mesh), the largest folder. QUADLOOM as elsewhere.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
quadloom=${QUADLOOM:-$root/build/bin/quadloom}
. "$root/tests/env.sh"
count=${1:-10000} ranks=${2:-2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 - "$work/in" "$count" <<'END'
import os, random, sys
folder, count = sys.argv[1], int(sys.argv[2])
random.seed(1)
for i in range(count):
    inside = f"{folder}/{i // 1000}"
    if i % 1000 == 0:
        os.makedirs(inside)
    v = [(1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1)]
    with open(f"{inside}/t{i}.obj", "w") as out:
        for p in v:
            out.write("v %.6f %.6f %.6f\n" % tuple(c + random.uniform(-0.3, 0.3) for c in p))
        out.write("f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
END
options="--set train.steps=1 --set train.off_points=1 --set engine.name=cpu --set engine.threads=1 --set store.parameters=false --set quads.enabled=false"
now() { date +%s.%N; }
began=$(now)
mpirun -n "$ranks" "$quadloom" run "$work/in" -o "$work/run" $options >"$work/out" 2>"$work/err"
ended=$(now)
mpirun -n "$ranks" "$quadloom" run "$work/in" -o "$work/run" $options >"$work/again" 2>&1
again=$(now)
mpirun -n "$ranks" "$quadloom" pack "$work/run" -o "$work/sweep.h5"
packed=$(now)
python3 - "$work/run" "$count" "$ranks" "$began" "$ended" "$again" "$packed" <<'END'
import csv, os, sys
run, count, ranks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
began, ended, again, packed = map(float, sys.argv[4:])
rows = list(csv.DictReader(open(run + "/summary.csv")))
assert len(rows) == count and all(r["status"] == "finished" for r in rows)
train, prepare = (sum(float(r[k]) for r in rows) for k in ("train_s", "prepare_s"))
largest = max((len(files), folder) for folder, _, files in os.walk(run))
print(f"{count} meshes on {ranks} ranks: {ended - began:.1f} s; of all ranks' time training {train:.1f} s, making networks {prepare:.1f} s")
print(f"overhead per mesh: {1000 * ((ended - began) * ranks - train - prepare) / count:.2f} ms of a rank")
print(f"the same command again: {again - ended:.1f} s; packed in {packed - again:.1f} s")
print(f"largest folder: {largest[0]} files ({os.path.relpath(largest[1], run)})")
END
