#!/usr/bin/python3
"""Table of the quad meshes that quads.sh made, beside what other quad meshers do on the same meshes.

    quads_table.py OUT_DIR [--target N] [--peers peers.csv] [--manifest manifest.csv] [--csv TABLE.csv]

Reads OUT_DIR/NAME.json (`quadloom quads --json`) and, where there is one, NAME.judge (quadjudge.py), whose numbers count then. A
peer is valid when all its faces are quads, its Euler characteristic is the input's and no scaled Jacobian is <= 0.
"""
import argparse
import csv
import glob
import json
import os
import statistics

COLUMNS = ["mesh", "valid", "rung", "quads", "off_target_pct", "irregular", "peer_irregular", "peer", "sj_min", "angle_dev_deg",
           "hausdorff_pct", "feature_recall", "wall_s", "cpu_s"]


def best_peers(path):
    """mesh -> (irregular vertices, method) of the valid peer that has fewest."""
    best = {}
    if path and os.path.exists(path):
        for row in csv.DictReader(open(path)):
            if row["irr_int"] and row["sj_neg"] == "0" and row["nonquad"] == "0" and row["chi"] == row["chi_in"]:
                entry = (int(row["irr_int"]), row["method"])
                best[row["mesh"]] = min(best.get(row["mesh"], entry), entry)
    return best


def row_of(path, peers, target):
    name = os.path.basename(path)[:-5]
    text = open(path).read()
    row = dict.fromkeys(COLUMNS, "")
    row.update(mesh=name, valid=False, peer_irregular=peers.get(name, ("", ""))[0], peer=peers.get(name, ("", ""))[1])
    if not text.strip():
        return row
    ours = json.loads(text)
    judge = path[:-5] + ".judge"
    judged = json.load(open(judge)) if os.path.exists(judge) else ours
    row.update(valid=bool(judged["valid"]), rung=ours["rung"], quads=int(ours["faces"]),
               off_target_pct=round(100 * (ours["faces"] / target - 1), 1), irregular=int(ours["irregular_interior"]),
               sj_min=round(judged["sj_min"], 3), angle_dev_deg=round(judged["angle_dev_mean"], 2),
               hausdorff_pct=round(judged["hausdorff_pct"], 3), wall_s=round(ours["total_s"], 2),
               cpu_s=round(ours["cpu_s"], 2) if "cpu_s" in ours else "")
    if judged.get("feature_recall") is not None:
        row["feature_recall"] = round(judged["feature_recall"], 3)
    return row


def say(rows, cad):
    good = [r for r in rows if r["valid"]]
    if not good:
        return
    beside = [r for r in good if r["peer"]]
    recall = [r["feature_recall"] for r in good if r["feature_recall"] != "" and (not cad or r["mesh"] in cad)]
    seconds = [r["cpu_s"] if r["cpu_s"] != "" else r["wall_s"] for r in good]
    print("valid                     %d of %d" % (len(good), len(rows)))
    print("within 10 %% of the target  %d; not: %s" % (
        sum(abs(r["off_target_pct"]) <= 10 for r in good),
        ", ".join("%s %+.0f %% (%s)" % (r["mesh"], r["off_target_pct"], r["rung"]) for r in good if abs(r["off_target_pct"]) > 10) or "none"))
    if beside:
        print("irregular vertices        <= best valid peer on %d of %d; more than 1.5 times on: %s" % (
            sum(r["irregular"] <= r["peer_irregular"] for r in beside), len(beside),
            ", ".join(r["mesh"] for r in beside if r["irregular"] > 1.5 * r["peer_irregular"]) or "none"))
    print("scaled Jacobian           smallest >= 0.2 on %d, smallest of all %.3f" % (
        sum(r["sj_min"] >= 0.2 for r in good), min(r["sj_min"] for r in good)))
    if recall:
        print("feature recall            median %.3f on %d %s" % (statistics.median(recall), len(recall), "CAD models" if cad else "models"))
    print("Hausdorff                 median %.3f %%" % statistics.median(r["hausdorff_pct"] for r in good))
    print("seconds (processor)       median %.2f, worst %.2f" % (statistics.median(seconds), max(seconds)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="+")
    parser.add_argument("--target", type=float, default=4000)
    parser.add_argument("--peers")
    parser.add_argument("--manifest")
    parser.add_argument("--csv")
    arguments = parser.parse_args()
    peers = best_peers(arguments.peers)
    cad = set()
    if arguments.manifest and os.path.exists(arguments.manifest):
        cad = {r["name"] for r in csv.DictReader(open(arguments.manifest)) if "cad" in r["class"].lower()}
    paths = sorted((p for out in arguments.out for p in glob.glob(os.path.join(out, "*.json"))), key=os.path.basename)
    rows = [row_of(p, peers, arguments.target) for p in paths]
    print("%-16s %-6s %-6s %6s %5s %-18s %7s %7s %6s %6s %7s %7s" % (
        "mesh", "valid", "rung", "quads", "irr", "best valid peer", "sj_min", "angle", "haus%", "recall", "wall s", "cpu s"))
    for r in rows:
        print("%-16s %-6s %-6s %6s %5s %-18s %7s %7s %6s %6s %7s %7s" % (
            r["mesh"], "valid" if r["valid"] else "-", r["rung"], r["quads"], r["irregular"],
            ("%s %s" % (r["peer_irregular"], r["peer"])).strip() or "none", r["sj_min"], r["angle_dev_deg"], r["hausdorff_pct"],
            r["feature_recall"], r["wall_s"], r["cpu_s"]))
    say(rows, cad)
    if arguments.csv:
        with open(arguments.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
