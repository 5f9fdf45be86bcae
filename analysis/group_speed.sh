#!/bin/sh
# One mesh on two ranks of one thread against one rank of two threads: the same cores, so the difference is what it costs to share a
# mesh (sums of the gradient, gathering of the angles, uneven parts). Alternating, since the speed of machines drifts.
#
#     sh analysis/group_speed.sh [FACES] [STEPS] [ROUNDS]       default 20000 3 2
#
# Appends to analysis/results/group_speed.csv. QUADLOOM as elsewhere. The machine must have nothing else to do.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
quadloom=${QUADLOOM:-$root/build/bin/quadloom}
. "$root/tests/env.sh"
faces=${1:-20000} steps=${2:-3} rounds=${3:-2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    "$quadloom" bench train --faces "$faces" --steps "$steps" --set engine.threads=2 --json >>"$work/one"
    mpirun -n 2 "$quadloom" bench train --faces "$faces" --steps "$steps" --set engine.threads=1 --json >>"$work/two"
done
python3 - "$work/one" "$work/two" "$root/analysis/results/group_speed.csv" <<'END'
import datetime, json, os, statistics, sys
one, two = ([json.loads(line) for line in open(path)] for path in sys.argv[1:3])
csv = sys.argv[3]
if not os.path.exists(csv):
    open(csv, "w").write("date,faces,off_points,steps,rounds,kernels,s_per_step_1x2,s_per_step_2x1,speed_of_2x1,least_1x2,least_2x1,speed_of_2x1_least\n")
median = lambda runs: statistics.median(r["s_per_step"] for r in runs)
least = lambda runs: min(r["s_per_step_min"] for r in runs)
row = [datetime.date.today().isoformat(), one[0]["faces"], one[0]["off_points"], one[0]["steps"], len(one), one[0]["kernels"], f"{median(one):.4f}",
       f"{median(two):.4f}", f"{median(one) / median(two):.3f}", f"{least(one):.4f}", f"{least(two):.4f}", f"{least(one) / least(two):.3f}"]
open(csv, "a").write(",".join(map(str, row)) + "\n")
print(f"{one[0]['faces']} faces: 1 rank of 2 threads {median(one):.3f} s per step, 2 ranks of 1 thread {median(two):.3f} s: {median(one) / median(two):.1%} of the speed "
      f"(fastest steps: {least(one) / least(two):.1%})")
for name, runs in (("1 x 2", one), ("2 x 1", two)):
    print(name, [r["s_per_step"] for r in runs], {k: round(v, 3) for k, v in runs[-1]["stages_s_per_step"].items()})
END
