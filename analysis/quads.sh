#!/bin/sh
# Quad meshes of every mesh in a folder, judged, beside what other quad meshers do.
#
#     analysis/quads.sh DIR [OUT_DIR]
#
# Environment: QUADLOOM (program; default build/bin/quadloom), QUADS (target, default 4000), METHOD (smooth or trained; with
# trained, FIELDS names a folder with NAME.rosy or NAME.txt), QL_SHARED (folder with tools/quadjudge.py and peers/peers.csv;
# default ../shared beside the checkout). Writes OUT_DIR/NAME.obj, NAME.json and NAME.judge; prints a table.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
meshes=${1:?usage: analysis/quads.sh DIR [OUT_DIR]}
out=${2:-quads-out}
program=${QUADLOOM:-$here/build/bin/quadloom}
shared=${QL_SHARED:-$here/../shared}
target=${QUADS:-4000}
method=${METHOD:-smooth}
mkdir -p "$out"
for mesh in "$meshes"/*.obj "$meshes"/*.ply "$meshes"/*.off "$meshes"/*.stl; do
    [ -f "$mesh" ] || continue
    name=$(basename "$mesh")
    name=${name%.*}
    set --
    if [ "$method" = trained ]; then
        for ending in rosy txt; do
            [ -f "${FIELDS:?FIELDS names no folder}/$name.$ending" ] && set -- --field "$FIELDS/$name.$ending"
        done
    fi
    rm -f "$out/$name.obj" "$out/$name.judge"
    if OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 "$program" quads "$mesh" --method "$method" --target-quads "$target" "$@" \
        -o "$out/$name.obj" --json >"$out/$name.json" 2>"$out/$name.log"; then
        if [ -f "$shared/tools/quadjudge.py" ] && [ "${mesh##*.}" = obj ]; then
            /usr/bin/python3 "$shared/tools/quadjudge.py" "$out/$name.obj" "$mesh" >"$out/$name.judge"
        fi
    else
        echo "$name: $(tail -n 1 "$out/$name.log")"
    fi
done
/usr/bin/python3 - "$out" "$shared/peers/peers.csv" <<'PYTHON'
import csv, glob, json, os, statistics, sys

out, peers_path = sys.argv[1:]
peers = {}
if os.path.exists(peers_path):
    for row in csv.DictReader(open(peers_path)):
        if row["irr_int"] and row["sj_neg"] == "0" and row["nonquad"] == "0" and row["chi"] == row["chi_in"]:
            peers.setdefault(row["mesh"], []).append((int(row["irr_int"]), row["method"]))
rows = []
print("%-16s %-6s %-6s %6s %5s %7s %7s %6s %6s %6s   %s" % ("mesh", "valid", "rung", "quads", "irr", "sj_min", "angle", "haus%", "feat",
                                                          "s", "best valid peer (irregular)"))
for path in sorted(glob.glob(os.path.join(out, "*.json"))):
    name = os.path.basename(path)[:-5]
    best = min(peers.get(name, []), default=None)
    beside = "%d %s" % best if best else "none"
    text = open(path).read()
    if not text.strip():
        print("%-16s %-6s %68s" % (name, "failed", beside))
        rows.append({"valid": False})
        continue
    ours = json.loads(text)
    judge_path = path[:-5] + ".judge"
    judged = json.load(open(judge_path)) if os.path.exists(judge_path) else ours
    row = {"valid": judged["valid"], "irr": ours["irregular_interior"], "sj": judged["sj_min"], "haus": judged["hausdorff_pct"],
           "feat": judged.get("feature_recall"), "s": ours["total_s"], "best": best}
    rows.append(row)
    print("%-16s %-6s %-6s %6d %5d %7.3f %7.2f %6.3f %6s %6.2f   %s" % (
        name, "valid" if row["valid"] else "-", ours["rung"], ours["faces"], row["irr"], row["sj"], judged["angle_dev_mean"],
        row["haus"], "-" if row["feat"] is None else "%.3f" % row["feat"], row["s"], beside))
good = [r for r in rows if r["valid"]]
if good:
    print("valid %d/%d; irregular <= best valid peer on %d of %d; sj_min >= 0.2 on %d; median hausdorff %.3f %%; seconds median %.2f, worst %.2f" % (
        len(good), len(rows), sum(r["irr"] <= r["best"][0] for r in good if r["best"]), sum(1 for r in good if r["best"]),
        sum(r["sj"] >= 0.2 for r in good), statistics.median(r["haus"] for r in good), statistics.median(r["s"] for r in good),
        max(r["s"] for r in good)))
PYTHON
