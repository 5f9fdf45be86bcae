"""How much of the ranks' time is work, by the plan's simulation: sweep_plan.py QUADLOOM COST OUT writes OUT.csv and OUT.png.

Log-normal collections (sigma 1.2), single meshes 10 % off their prediction, the machine of the cost model COST (a file that
`quadloom plan` keeps in ~/.cache/quadloom). Groups chosen by the plan, beside one rank per mesh (sweep.group=1, longest first).
"""
import csv
import json
import subprocess
import sys

COLUMNS = ["ranks", "meshes_per_rank", "group", "efficiency_mean", "efficiency_least", "makespan_over_bound", "planning_s"]
SEEDS = 5


def simulate(quadloom, cost, ranks, meshes, group, seed):
    command = [quadloom, "plan", "--simulate", "--cost", cost, "--ranks", str(ranks), "--count", str(meshes), "--seed", str(seed),
               "--set", "sweep.group=" + group, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(quadloom, cost, out):
    rows = []
    for group in "auto", "1":
        for per_rank in 4, 16:
            for ranks in [2 ** k for k in range(3, 13)] + [24, 100, 1000]:
                plans = [simulate(quadloom, cost, ranks, per_rank * ranks, group, seed) for seed in range(1, SEEDS + 1)]
                efficiency = [p["simulated_efficiency"] for p in plans]
                rows.append({
                    "ranks": ranks, "meshes_per_rank": per_rank, "group": group,
                    "efficiency_mean": sum(efficiency) / SEEDS, "efficiency_least": min(efficiency),
                    "makespan_over_bound": max(p["makespan_s"] / p["lower_bound_s"] for p in plans),
                    "planning_s": max(p["planning_s"] for p in plans)})
                print("{ranks:5} ranks, {meshes_per_rank:2} meshes each, group {group:4}: {efficiency_mean:.1%} "
                      "(least {efficiency_least:.1%})".format(**rows[-1]), flush=True)
    with open(out + ".csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    draw(rows, out)


def draw(rows, out):
    try:
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: python3-matplotlib is not installed")
        return
    figure, axes = plt.subplots(figsize=(6, 4))
    for group, text in ("auto", "groups by the plan"), ("1", "one rank per mesh"):
        for per_rank, style in (16, "-"), (4, "--"):
            line = sorted((r["ranks"], 100 * r["efficiency_mean"]) for r in rows
                          if r["group"] == group and r["meshes_per_rank"] == per_rank)
            axes.plot(*zip(*line), style, marker="o", color="C0" if group == "auto" else "C1",
                      label=f"{text}, {per_rank} meshes per rank")
    axes.set(xlabel="ranks", ylabel="% of the ranks' time that is work", xscale="log", ylim=(0, 102),
             title="Log-normal sizes (sigma 1.2), predictions 10 % off")
    axes.set_xscale("log", base=2)
    axes.legend()
    figure.tight_layout()
    figure.savefig(out + ".png", dpi=120)


main(*sys.argv[1:])
