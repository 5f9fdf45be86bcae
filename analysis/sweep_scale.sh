#!/bin/sh
# What thousands of meshes cost besides their training: COUNT tiny meshes (tetrahedra with random corners), 1 step each, on RANKS
# ranks, killed (-9) when half of them are finished and started again; then once more the same command, which finds everything
# finished; status, verify, pack with removal of the results, unpack, verify.
#
#     sh analysis/sweep_scale.sh [COUNT] [RANKS]        default 10000 2
#
# Appends to analysis/results/sweep_scale.csv: seconds of each part; overhead per mesh (wall time of a rank per mesh, less the
# training and the making of the networks before it: memory and 4.4 million initial values, the same for every mesh; it holds both
# starts and the tables at the end); the largest folder. WORK names the folder to work in (default: a temporary one), QUADLOOM the
# program.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
quadloom=${QUADLOOM:-$root/build/bin/quadloom}
. "$root/tests/env.sh"
count=${1:-10000} ranks=${2:-2}
case $count$ranks in *[!0-9]* | 0*) echo "sweep_scale.sh $*: expected a number of meshes and one of ranks, above 0" >&2 && exit 2 ;; esac
work=${WORK:-$(mktemp -d)}
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
seconds() { # NAME CMD...: runs it, notes its time in $work/times
    name=$1 began=$(date +%s.%N)
    shift
    "$@" >"$work/$name.out" 2>"$work/$name.err" || code=$?
    [ "${code:-0}" = "${allowed:-0}" ] || [ "${allowed:-0}" = any ] || { tail -n 20 "$work/$name.out" "$work/$name.err" && exit 1; }
    code=0
    echo "$name $(date +%s.%N) $began" | awk '{printf "%s %.2f\n", $1, $2 - $3}' | tee -a "$work/times"
}
run() { mpirun -n "$ranks" "$quadloom" run "$work/in" -o "$work/run" $options; }
half_done() { [ "$(find "$work/run/meshes" -name '*.h5' 2>/dev/null | wc -l)" -ge $((count / 2)) ]; }
killer() { # a rank dies, MPI ends the rest
    until half_done; do sleep 1; done
    kill -9 "$(pgrep -f "^$quadloom run $work/in -o $work/run" | head -n 1)"
}
killer &
allowed=any seconds until_killed run
wait
while pgrep -f "^$quadloom run $work/in -o $work/run" >/dev/null; do sleep 0.2; done
find "$work/run/meshes" -name '*.h5' | wc -l >"$work/survived"
allowed=0
seconds resumed run
seconds nothing_left run
seconds status "$quadloom" status "$work/run"
cp "$work/run/summary.csv" "$work/summary.csv"
find "$work/run" -type f -printf '%h\n' | sort | uniq -c | sort -rn | head -n 1 >"$work/largest"
seconds verify "$quadloom" verify "$work/run"
seconds pack mpirun -n "$ranks" "$quadloom" pack "$work/run" -o "$work/sweep.h5" --delete
seconds status_packed "$quadloom" status "$work/run"
seconds nothing_left_packed run
seconds unpack "$quadloom" unpack "$work/sweep.h5" -o "$work/run"
seconds verify_unpacked "$quadloom" verify "$work/run"
python3 - "$work" "$count" "$ranks" "$(nproc)" "$root/analysis/results/sweep_scale.csv" <<'END'
import csv, datetime, os, sys
work, count, ranks, cores, table = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
times = {name: float(s) for name, s in (line.split() for line in open(work + "/times"))}
rows = list(csv.DictReader(open(work + "/summary.csv")))
assert len(rows) == count and all(r["status"] == "finished" for r in rows), len(rows)
used = sum(float(r["train_s"]) + float(r["prepare_s"]) for r in rows)
spent = times["until_killed"] + times["resumed"]
row = {"date": datetime.date.today().isoformat(), "meshes": count, "ranks": ranks, "cores": cores,
       "survived_kill": open(work + "/survived").read().strip(),
       "overhead_ms": f"{1000 * (spent * ranks - used) / count:.2f}",
       "prepare_ms": f"{1000 * sum(float(r['prepare_s']) for r in rows) / count:.1f}",
       "train_ms": f"{1000 * sum(float(r['train_s']) for r in rows) / count:.1f}",
       "files_in_largest_folder": open(work + "/largest").read().split()[0]}
row.update({name + "_s": f"{s:.1f}" for name, s in times.items()})
new = not os.path.exists(table)
with open(table, "a", newline="") as out:
    writer = csv.DictWriter(out, row.keys(), lineterminator="\n")
    if new:
        writer.writeheader()
    writer.writerow(row)
print(row)
END
