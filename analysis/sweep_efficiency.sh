#!/bin/sh
# A real sweep of 44 meshes of heavy-tailed sizes (log-normal, sigma 1.2), a few steps each: how much of the ranks' time is training,
# and how well the plan foresaw the end.
#
#     sh analysis/sweep_efficiency.sh [RANKS]...        default 2 4; more ranks than cores are oversubscribed
#
# STEPS=4 takes fewer steps. QUADS=smooth also makes the quads of every mesh (a trained field that has seen eight steps is noise, which says nothing about
# their time); the default is training alone. Appends to analysis/results/sweep_efficiency.csv. QUADLOOM names the program (default build/bin/quadloom). With a shared folder
# (QL_SHARED or ../shared) some of its real meshes take part. The machine must have nothing else to do.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
quadloom=${QUADLOOM:-$root/build/bin/quadloom}
shared=${QL_SHARED:-$root/../shared}
. "$root/tests/env.sh"
[ $# -gt 0 ] || set -- 2 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/in"
options="--set train.steps=${STEPS:-8} --set train.off_points=200 --set engine.name=cpu --set engine.threads=1 --set store.parameters=false"
quads=${QUADS:-none}
if [ "$quads" = none ]; then
    options="$options --set quads.enabled=false"
else
    options="$options --set quads.method=$quads"
fi
# quantiles of the log-normal distribution; one generator after the other
python3 - >"$work/sizes" <<'END'
import math, statistics
names = ["torus", "block", "double-torus", "bracket", "handles-2", "torus", "handles-0"]
for i in range(40):
    print(names[i % len(names)], int(300 * math.exp(1.2 * statistics.NormalDist().inv_cdf((i + 0.5) / 40))))
END
number=0
while read -r name faces; do
    number=$((number + 1))
    "$quadloom" generate "$name" --faces "$faces" -o "$work/in/$number.obj" >/dev/null
done <"$work/sizes"
find "$shared/meshes" -name '*.obj' -size -120k 2>/dev/null | sort | head -4 | while read -r mesh; do cp "$mesh" "$work/in/"; done
csv=$root/analysis/results/sweep_efficiency.csv
[ -f "$csv" ] || echo "date,ranks,cores,meshes,quads,seconds,predicted_s,predicted_over_actual,training_share,between_ranks_share,forming_share,files_share,idle_share" >"$csv"
export XDG_CACHE_HOME="$work/cache"
for ranks in "$@"; do
    "$quadloom" plan "$work/in" $options --ranks "$ranks" --json >"$work/plan.json"
    before=$(head -n 1 /proc/stat)
    mpirun -n "$ranks" "$quadloom" run "$work/in" -o "$work/run$ranks" $options >"$work/out"
    after=$(head -n 1 /proc/stat)
    python3 - "$work/run$ranks" "$work/plan.json" "$ranks" "$(nproc)" "$csv" "$quads" "$before" "$after" <<'END'
import datetime, glob, json, sys
run, plan, ranks, cores, csv = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
quads = sys.argv[6]
spent = [(int(b) - int(a)) / 100 for a, b in zip(sys.argv[7].split()[1:], sys.argv[8].split()[1:])]  # user nice system idle ...
ends = []
for log in glob.glob(run + "/events/**/*.jsonl", recursive=True):
    ends += [e for e in map(json.loads, open(log)) if e["event"] == "end"]
assert len(ends) == ranks
part = lambda name: sum(e.get(name, 0) for e in ends)
parts = {name: part(name) for name in ("busy_s", "comm_s", "form_s", "io_s", "idle_s")}
wall = max(sum(e.get(name, 0) for name in parts) for e in ends)
predicted = plan["makespan_s"] * max(1, ranks / cores)  # the model knows ranks with a core of their own
share = lambda name: parts[name] / (ranks * wall)
row = [datetime.date.today().isoformat(), ranks, cores, plan["meshes"], quads, f"{wall:.1f}", f"{predicted:.1f}", f"{predicted / wall:.3f}",
       f"{share('busy_s'):.3f}", f"{share('comm_s'):.3f}", f"{share('form_s'):.3f}", f"{share('io_s'):.3f}",
       f"{1 - sum(share(n) for n in parts if n != 'idle_s'):.3f}"]
open(csv, "a").write(",".join(map(str, row)) + "\n")
print(f"the machine meanwhile: {spent[0] + spent[1]:.0f} s of processes, {spent[2]:.0f} s of system, {spent[3]:.0f} s idle, {spent[7]:.0f} s stolen")
print(f"{ranks} ranks on {cores} cores, {plan['meshes']} meshes, quads {quads}: {wall:.1f} s, predicted {predicted:.1f} s; training {share('busy_s'):.1%} "
      f"of the ranks' time, between ranks {share('comm_s'):.1%}, forming {share('form_s'):.1%}, files {share('io_s'):.1%}")
END
done
