#!/bin/bash
# A job array of TASKS tasks on one run directory, each with one tiny mesh, one of them broken, on a real Slurm of two nodes that is
# started for it (tests/slurm/testbed); then the summary job. Tells how many tasks ended with what, the rate at the beginning and at
# the end (does anything grow with the tasks?), the largest folder, what the summary job took.
#
#     bash analysis/sweep_array.sh [TASKS]         default 1000; some minutes. Appends to analysis/results/sweep_array.csv
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
export QUADLOOM=${QUADLOOM:-$root/build/bin/quadloom}
if [ "${1:-}" != --inside ]; then
    case ${1:-1000} in *[!0-9]* | 0) echo "sweep_array.sh ${1:-}: expected a number of tasks above 0" >&2 && exit 2 ;; esac
    exec "$root/tests/slurm/testbed" run --nodes 2 --cpus 2 --mem 4100 -- bash "$0" --inside "${1:-1000}"
fi
tasks=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export QUADLOOM_SITE=$work/site.sh
echo "site_program=$QUADLOOM" >site.sh
python3 - "$tasks" <<'END'
import os, random, sys
os.mkdir("meshes")
random.seed(2)
for i in range(int(sys.argv[1])):
    corners = [[c + random.uniform(-0.3, 0.3) for c in p] for p in [(1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1)]]
    with open(f"meshes/t{i}.obj", "w") as out:
        out.writelines("v %.6f %.6f %.6f\n" % tuple(p) for p in corners)
        out.write("f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
open("meshes/t0.obj", "w").write("v 0 0 0\nv 1 0 0\nf 1 2 3\n")
END
"$root/slurm/submit" --array "$tasks" --cpus 1 --mem-per-cpu 300 --time 30 --no-check meshes -o run --set train.steps=1 --set train.off_points=1 \
    --set engine.name=cpu --set engine.threads=1 --set store.parameters=false --set quads.enabled=false >submit.log || exit
last=$(sed -n 's/^At the end  *\([0-9]*\):.*/\1/p' submit.log)
began=$(date +%s)
while [ -n "$(squeue -h -j "$last" -o %i 2>/dev/null)" ]; do
    echo "$(($(date +%s) - began)) $(find run/meshes -name '*.h5' 2>/dev/null | wc -l)" >>progress
    sleep 5
done
cat run/slurm/*summary*.log
python3 - "$root/analysis/results/sweep_array.csv" "$tasks" "$(($(date +%s) - began))" "$(nproc)" <<'END'
import collections, csv, datetime, glob, os, re, sys
table, tasks, seconds, cores = sys.argv[1:]
codes = collections.Counter(c for log in glob.glob("run/slurm/*_*.log") for c in re.findall(r"ended with code (\d+)", open(log).read()))
at = [tuple(map(int, line.split())) for line in open("progress")]
done = max(n for _, n in at)
when = lambda share: next(t for t, n in at if n >= share * done)
rows = list(csv.DictReader(open("run/summary.csv")))
largest = max((len(files), os.path.relpath(folder, "run")) for folder, _, files in os.walk("run"))
row = {"date": datetime.date.today().isoformat(), "tasks": tasks, "nodes": 2, "cores": cores, "ended_0": codes["0"], "ended_1": codes["1"],
       "finished": sum(r["status"] == "finished" for r in rows), "failed": sum(r["status"] == "failed" for r in rows),
       "first_tenth_s": when(0.1), "last_tenth_s": when(1) - when(0.9), "tasks_s": when(1), "with_summary_s": seconds,
       "files_in_largest_folder": largest[0], "largest_folder": largest[1]}
new = not os.path.exists(table)
with open(table, "a", newline="") as out:
    writer = csv.DictWriter(out, row.keys(), lineterminator="\n")
    if new:
        writer.writeheader()
    writer.writerow(row)
print(row)
END
