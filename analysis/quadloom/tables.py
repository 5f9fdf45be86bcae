"""Tables on a terminal: the rows of a run, and how two results differ."""
import numpy as np

from .reading import Result

BRIEF = ["mesh", "status", "faces", "euler", "steps", "loss_total", "singular_vertices", "mismatch_mean_deg",
         "quads_faces", "quads_sj_min", "train_s"]


def _cell(value):
    if isinstance(value, str):
        return value if len(value) <= 48 else value[:45] + "..."
    if np.isnan(value):
        return "-"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def _print(rows, out):
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        out.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n")


def print_table(run, columns, sort, descending, out):
    table = run.table
    if len(table) == 0:
        raise ValueError(f"{run.path}: nothing finished or failed yet")
    if columns == "all":
        names = list(table)
    else:
        names = columns.split(",") if columns else [name for name in BRIEF if name in table]
    for name in names + [sort]:
        if name not in table:
            raise ValueError(f"no column {name}; there are {', '.join(table)}")
    order = np.argsort(table[sort], kind="stable")
    order = order[::-1] if descending else order
    _print([names] + [[_cell(table[name][k]) for name in names] for k in order], out)
    states, counts = np.unique(table["status"].astype(str), return_counts=True)
    out.write(", ".join(f"{count} {state}" for state, count in zip(states, counts)) + "\n")


def cross_angle_deg(first, second):
    """Angle between two crosses per face modulo 90 degrees, 0 to 45; NaN on degenerate faces."""
    a, b, c = first.alpha.astype(float), first.beta.astype(float), second.alpha.astype(float)
    angle = np.degrees(np.arctan2((b * c).sum(1), (a * c).sum(1))) % 90
    angle = np.minimum(angle, 90 - angle)
    angle[(a ** 2).sum(1) == 0] = np.nan
    return angle


def compare(first, second):
    """What differs between two results of one mesh, as a dictionary."""
    if first.summary["mesh_hash"] != second.summary["mesh_hash"]:
        raise ValueError(f"{first.path} and {second.path} are of different meshes")
    angle = cross_angle_deg(first, second)
    mine, theirs = first.parameters, second.parameters
    return {
        "mesh": first.name,
        "same_field": "yes" if np.array_equal(first.theta, second.theta) else "no",
        "same_parameters": "-" if mine is None or theirs is None else "yes" if np.array_equal(mine, theirs) else "no",
        "median_deg": float(np.nanmedian(angle)),
        "p95_deg": float(np.nanpercentile(angle, 95)),
        "singular": f"{first.summary.get('singular_vertices')} / {second.summary.get('singular_vertices')}",
        "loss": f"{first.summary.get('loss_total', np.nan):.5g} / {second.summary.get('loss_total', np.nan):.5g}",
    }


def print_comparison(first, second, out):
    """Exit code 0: all fields are the same bytes, 1: some differ."""
    if isinstance(first, Result) and isinstance(second, Result):
        found = [compare(first, second)]
    elif isinstance(first, Result) or isinstance(second, Result):
        raise ValueError("compare two results or two runs")
    else:
        common = [name for name in first.finished if name in set(second.finished)]
        if not common:
            raise ValueError("the two runs have no finished mesh in common")
        found = [compare(first[name], second[name]) for name in common]
    _print([list(found[0])] + [[_cell(value) for value in row.values()] for row in found], out)
    return 0 if all(row["same_field"] == "yes" for row in found) else 1
