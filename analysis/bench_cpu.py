"""Table and picture of analysis/bench_cpu.sh: bench_cpu.py FOLDER OUT writes OUT.csv and OUT.png."""
import csv
import json
import os
import statistics
import sys

COLUMNS = ["faces", "backend", "threads", "s_per_step", "s_per_step_min", "cpu_s_per_step", "gflops", "fraction_of_peak",
           "peak_rss_mb"]


def main(folder, out):
    runs = {}
    with open(os.path.join(folder, "lines")) as file:
        for line in file:
            row = json.loads(line)
            backend = row["backend"] + (" bf16" if row.get("precision") == "bf16" else "")
            runs.setdefault((row["faces"], row["threads"], backend), []).append(row)
    with open(os.path.join(folder, "gemm")) as file:
        peak = json.load(file)
    rows = []
    for (faces, threads, backend), group in sorted(runs.items()):
        row = {"faces": faces, "backend": backend, "threads": threads}
        for column in COLUMNS[3:]:
            values = [g[column] for g in group if column in g]
            row[column] = (min if column == "s_per_step_min" else statistics.median)(values) if values else ""
        if "peak_gflops" in group[0]:
            # Not the median of the runs' own fractions: a neighbour on the machine while a peak is measured would flatter them.
            row["fraction_of_peak"] = row["gflops"] / statistics.median(g["peak_gflops"] for g in group)
        rows.append(row)
    with open(out + ".csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in r.items()} for r in rows)
    find = {(r["faces"], r["threads"], "torch" if r["backend"].startswith("torch") else r["backend"]): r for r in rows}
    print(f"kernels {peak['kernels']}, OpenBLAS {peak['openblas_kernels']}, peak of a core {peak['peak_gflops']:.0f} GFLOP/s")
    for r in rows:
        if r["backend"].startswith("torch"):
            continue
        other = find.get((r["faces"], r["threads"], "torch"))
        single = find.get((r["faces"], 1, r["backend"]))
        print(f"{r['backend']}, {r['faces']:6} faces {r['threads']} threads: {r['s_per_step']:.3f} s, {100 * r['fraction_of_peak']:.0f} % of peak, "
              f"{r['peak_rss_mb']:.0f} MB"
              + (f"; torch {other['s_per_step']:.3f} s ({other['s_per_step'] / r['s_per_step']:.2f} times, in processor time "
                 f"{other['cpu_s_per_step'] / r['cpu_s_per_step']:.2f})" if other else "")
              + (f"; over 1 thread {single['s_per_step'] / r['s_per_step']:.2f}" if r["threads"] > 1 and single else ""))
    report_start(folder)
    draw(rows, out)


def report_start(folder):
    """All of a run of one step but that step, from its events and the clock around it."""
    if not os.path.exists(os.path.join(folder, "start")):
        return
    with open(os.path.join(folder, "start")) as file:
        events = [json.loads(line) for line in file]
    with open(os.path.join(folder, "start.clock")) as file:
        begin, end = map(float, file.read().split())
    step = sum(e["seconds_per_step"] for e in events if e["event"] == "sample")
    faces = next(e["faces"] for e in events if e["event"] == "mesh_start")
    print(f"{faces} faces: {end - begin:.1f} s for a run of one step, {end - begin - step:.1f} s without the step")


def draw(rows, out):
    try:
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: python3-matplotlib is not installed")
        return
    figure, axes = plt.subplots(figsize=(6, 4))
    for threads in sorted({r["threads"] for r in rows}):
        for backend in sorted({r["backend"] for r in rows}):
            line = sorted((r["faces"], r["s_per_step"]) for r in rows
                          if r["threads"] == threads and r["backend"] == backend)
            axes.plot(*zip(*line), marker="o", label=f"{backend}, {threads} threads")
    axes.set(xlabel="faces", ylabel="seconds per step", xscale="log", yscale="log",
             title="A training step with 15,000 off-surface points")
    axes.legend()
    figure.tight_layout()
    figure.savefig(out + ".png", dpi=120)


main(*sys.argv[1:])
