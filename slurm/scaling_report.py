"""scaling_report.py DIR: CSV, report and picture of a scaling study (slurm/scaling).

Measured, per number of ranks (median over the passes):
  wall_s        from the launcher's start to its end
  start_s       until the first mesh was begun: launcher, MPI, reading
  train_share   rank-seconds that compute in trainings / (ranks * wall); this and the next two are told by the ranks themselves
  comm_share    rank-seconds in exchanges between the ranks of a group / (ranks * wall); 0 where each mesh has one rank
  file_share    rank-seconds in checkpoints and results that the training waits for / (ranks * wall)
  wait_share    the rest: start, end, groups that are not complete yet, waiting for the last mesh
  speedup       strong: T(n0) n0 / T(n); weak: (n / n0) T(n0) / T(n) * n0      n0: the smallest number of ranks
  efficiency    speedup / n
Predicted: the makespan of `quadloom plan` (cost model and scheduling; no start-up), times one factor that makes it meet the
measurement at n0.
"""
import csv
import json
import pathlib
import statistics
import sys

COLUMNS = ["kind", "mode", "ranks", "nodes", "passes", "meshes", "wall_s", "start_s", "speedup", "efficiency",
           "train_share", "comm_share", "file_share", "wait_share"]


def seconds_of(stamp):
    from datetime import datetime, timezone
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def read_events(run):
    """When the first mesh was begun (seconds since 1970, None: never), and what the ranks say of their time, summed."""
    first, spent = None, {"busy_s": 0.0, "comm_s": 0.0, "io_s": 0.0}
    for log in run.glob("events/**/*.jsonl"):
        for line in log.read_text(errors="replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # torn by a crash
            if event.get("event") == "mesh_start":
                began = seconds_of(event["time"])
                first = began if first is None else min(first, began)
            elif event.get("event") == "end":
                for key in spent:
                    spent[key] += event.get(key, 0.0)
    return first, spent


def read_point(folder):
    """A finished point as a row; a text when it cannot count."""
    point = json.loads((folder / "point.json").read_text())
    if point["code"] != 0:
        return f"{folder.name}: the program ended with code {point['code']}: {folder}.log"
    with open(folder / "run" / "summary.csv", newline="") as file:
        meshes = [row for row in csv.DictReader(file) if row["status"] == "finished"]
    wall = point["ended"] - point["began"]
    began, spent = read_events(folder / "run")
    capacity = point["ranks"] * wall
    shares = [spent[key] / capacity for key in ("busy_s", "comm_s", "io_s")]
    return {"mode": point["mode"], "ranks": point["ranks"], "nodes": point["nodes"], "meshes": len(meshes), "wall_s": wall,
            "start_s": began - point["began"] if began else wall, "train_share": shares[0], "comm_share": shares[1],
            "file_share": shares[2], "wait_share": 1 - sum(shares), "cpus": point["cpus"], "online": point["online"],
            "host": point["host"]}


def medians(points):
    rows = []
    for ranks in sorted({p["ranks"] for p in points}):
        same = [p for p in points if p["ranks"] == ranks]
        row = {"kind": "measured", "passes": len(same)}
        for key in same[0]:
            row[key] = statistics.median(p[key] for p in same) if isinstance(same[0][key], float) else same[0][key]
        rows.append(row)
    return rows


def add_ratios(rows, base_ranks, base_s):
    for row in rows:
        growth = row["ranks"] / base_ranks if row["mode"] == "weak" else 1
        row["speedup"] = growth * base_ranks * base_s / row["wall_s"]
        row["efficiency"] = row["speedup"] / row["ranks"]


def predicted(folder, base):
    """Rows of the cost model, and the factor that makes it meet the first measurement."""
    curve = {}
    with open(folder / "predicted.csv", newline="") as file:
        for line in csv.reader(file):
            curve[int(line[0])] = float(line[1])
    known = [n for n in curve if n <= base["ranks"]]
    if not known or curve[max(known)] <= 0:
        return [], None
    factor = base["wall_s"] / curve[max(known)]
    return [{"kind": "predicted", "mode": base["mode"], "ranks": n, "wall_s": s * factor} for n, s in sorted(curve.items())], factor


def text(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows({k: text(v) for k, v in row.items()} for row in rows)


def percent(value):
    return f"{100 * value:.0f} %"


def write_report(path, measured, guess, factor, problems, picture):
    base = measured[0]
    lines = [f"# {base['mode'].capitalize()} scaling, {base['ranks']} to {measured[-1]['ranks']} ranks", ""]
    lines += [f"{base['cpus']} core(s) per rank, first rank on {base['host']} ({base['online']} hardware threads). "
              + ("The same collection at every point." if base["mode"] == "strong" else
                 "A copy of the collection for every rank."), ""]
    crowded = [r for r in measured if r["ranks"] * r["cpus"] > r["online"] * r["nodes"]]
    if crowded:
        lines += [f"**From {crowded[0]['ranks']} ranks on there are more ranks than hardware threads: these points test that it works, "
                  "they say nothing about speed.**", ""]
    lines += ["## Measured", "", "| ranks | nodes | meshes | passes | wall | start | speed-up | efficiency | training | communication | files | waiting |",
              "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    lines += [f"| {r['ranks']} | {r['nodes']} | {r['meshes']} | {r['passes']} | {r['wall_s']:.2f} s | {r['start_s']:.2f} s | {r['speedup']:.2f} | "
              f"{percent(r['efficiency'])} | {percent(r['train_share'])} | {percent(r['comm_share'])} | {percent(r['file_share'])} | "
              f"{percent(r['wait_share'])} |"
              for r in measured]
    lines += ["", "training, communication, files, waiting: shares of all ranks' time. Communication is the exchange between ranks that train a "
              "mesh together; files are checkpoints and results that a training waits for; waiting is everything else: start, end, groups "
              "that are not complete yet, idling while the last meshes finish.", ""]
    if guess:
        lines += ["## Predicted, not measured", "",
                  f"`quadloom plan` (cost model and scheduling of the run), times {factor:.3g} so that it meets the measurement at {base['ranks']} rank(s). "
                  "It knows no start-up, no network between nodes that was not measured, and no contention for the file system.", "",
                  "| ranks | wall (predicted) | speed-up (predicted) | efficiency (predicted) | measured |", "|---|---|---|---|---|"]
        found = {r["ranks"]: r for r in measured}
        lines += [f"| {r['ranks']} | {r['wall_s']:.2f} s | {r['speedup']:.2f} | {percent(r['efficiency'])} | "
                  + (f"{found[r['ranks']]['wall_s']:.2f} s" if r["ranks"] in found else "") + " |" for r in guess]
        lines += [""]
    if picture:
        lines += [f"![speed-up and efficiency, measured and predicted]({picture})", ""]
    if problems:
        lines += ["## Points that do not count", ""] + [f"- {p}" for p in problems] + [""]
    path.write_text("\n".join(lines))


def draw(path, measured, guess):
    try:
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: python3-matplotlib is not installed")
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    everything = sorted({r["ranks"] for r in measured + guess})
    left.plot(everything, everything, color="0.7", linestyle=":", label="ideal")
    right.axhline(1, color="0.7", linestyle=":")
    for axes, key in ((left, "speedup"), (right, "efficiency")):
        if guess:
            axes.plot([r["ranks"] for r in guess], [r[key] for r in guess], color="tab:orange", linestyle="--", label="predicted (cost model)")
        axes.plot([r["ranks"] for r in measured], [r[key] for r in measured], color="tab:blue", marker="o", label="measured")
        axes.set_xscale("log", base=2)
        axes.set_xlabel("ranks")
    left.set_yscale("log", base=2)
    left.set_ylabel("speed-up")
    right.set_ylabel("efficiency")
    right.set_ylim(bottom=0)
    left.legend()
    figure.suptitle(f"{measured[0]['mode'].capitalize()} scaling")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    return path.name


def main(folder):
    points, problems = [], []
    for file in sorted(folder.glob("points/*/point.json")):
        row = read_point(file.parent)
        points.append(row) if isinstance(row, dict) else problems.append(row)
    for log in sorted(folder.glob("points/*.log")):
        if not (log.with_suffix("") / "point.json").exists():
            problems.append(f"{log.stem}: did not end: {log}")
    if not points:
        print("\n".join([f"{folder}: no point of the study was finished"] + problems), file=sys.stderr)
        return 1
    measured = medians(points)
    base = measured[0]
    guess, factor = predicted(folder, base)
    add_ratios(measured, base["ranks"], base["wall_s"])
    add_ratios(guess, base["ranks"], base["wall_s"])
    write_csv(folder / "scaling.csv", measured + guess)
    write_report(folder / "report.md", measured, guess, factor, problems, draw(folder / "scaling.png", measured, guess))
    print(f"Report  {folder}/report.md\nTable   {folder}/scaling.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
