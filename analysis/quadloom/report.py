"""One page about a run: numbers, failures, loss curves and a picture of every field (of the first ones of a large run)."""
import os

import numpy as np


def _numbers(table):
    done = table.where(table["status"] == "finished")
    yield "| | median | smallest | largest |"
    yield "|---|---|---|---|"
    for name, values in done.items():
        if values.dtype != object and len(values) and np.isfinite(values).any():
            yield f"| {name} | {np.nanmedian(values):.5g} | {np.nanmin(values):.5g} | {np.nanmax(values):.5g} |"


def write_report(run, folder, pictures=24):
    from .plots import plot_history
    from .render import render
    os.makedirs(folder, exist_ok=True)
    table = run.table
    lines = [f"# Run {os.path.basename(os.path.abspath(run.path))}", ""]
    states, counts = np.unique(table["status"].astype(str), return_counts=True)
    lines += [", ".join(f"{count} {state}" for state, count in zip(states, counts)), ""]
    lines += list(_numbers(table)) + [""]
    failures = run.failures
    if failures:
        lines += ["## Failed", "", "| mesh | stage | reason | remedy |", "|---|---|---|---|"]
        lines += ["| " + " | ".join(str(entry).replace("|", "\\|") for entry in
                                    (name, what["stage"], what["reason"], what["remedy"])) + " |"
                  for name, what in failures.items()] + [""]
    shown = [result for result in run][:pictures]
    with_history = [result for result in shown if result.history is not None]
    if with_history:
        plot_history(with_history, os.path.join(folder, "losses.png"))
        lines += ["## Losses", "", "![loss terms over the steps](losses.png)", ""]
    lines += ["## Fields", ""]
    for result in shown:
        if result.alpha is None:
            continue
        render(result, os.path.join(folder, result.name + ".png"), size=600)
        lines += [f"### {result.name}", "", f"![field]({result.name}.png)", ""]
    if len(run) > len(shown):
        lines += [f"... and {len(run) - len(shown)} more.", ""]
    with open(os.path.join(folder, "report.md"), "w", encoding="utf-8") as out:
        out.write("\n".join(lines))
