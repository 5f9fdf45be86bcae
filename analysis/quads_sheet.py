#!/usr/bin/python3
"""Contact sheet of the quad meshes that quads.sh made: each input beside its quads.

    quads_sheet.py MESH_DIR OUT_DIR... -o SHEET.png [--columns N] [--size PIXELS]

Draws MESH_DIR/NAME.obj and OUT_DIR/NAME.obj for every quad mesh there is. Red and blue dots are vertices where three and
five quads meet.
"""
import argparse
import glob
import json
import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.collections import PolyCollection  # noqa: E402

VIEW = np.array([[0.80, 0.0, -0.60], [-0.25, 0.91, -0.33], [0.546, 0.414, 0.728]])  # rows: right, up, towards the eye


def load(path):
    vertices, faces = [], []
    with open(path, errors="replace") as lines:
        for line in lines:
            if line.startswith("v "):
                vertices.append([float(x) for x in line.split()[1:4]])
            elif line.startswith("f "):
                faces.append([int(t.split("/")[0]) - 1 for t in line.split()[1:]])
    return np.array(vertices), np.array(faces)


def upright(vertices):
    """Axes such that the two longer sides of the box are seen."""
    order = np.argsort(-np.ptp(vertices, axis=0))
    turned = vertices[:, order]
    if np.linalg.det(np.eye(3)[order]) < 0:
        turned[:, 2] *= -1
    return order, turned


def draw(axes, vertices, faces, colour, line):
    seen = vertices @ VIEW.T
    polygons = seen[faces]
    diagonals = polygons[:, 2] - polygons[:, 0], polygons[:, -1] - polygons[:, 1]
    normal = np.cross(*diagonals)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    front = np.argsort(polygons[:, :, 2].mean(1))
    light = 0.45 + 0.55 * np.clip(np.abs(normal @ np.array([0.3, 0.5, 0.81])), 0, 1)
    shade = np.array(colour)[None, :] * light[:, None]
    axes.add_collection(PolyCollection(polygons[front][:, :, :2], facecolors=shade[front], edgecolors="#202020", linewidths=line))
    axes.set_xlim(seen[:, 0].min(), seen[:, 0].max())
    axes.set_ylim(seen[:, 1].min(), seen[:, 1].max())
    axes.set_aspect("equal")
    axes.axis("off")
    return seen, normal, faces


def dots(axes, seen, normal, faces, size):
    """Irregular vertices on faces that look at the eye."""
    count = np.bincount(faces.ravel(), minlength=len(seen))
    rim = np.zeros(len(seen), bool)
    edges = np.sort(np.stack([faces, np.roll(faces, -1, 1)], 2).reshape(-1, 2), 1)
    kinds, uses = np.unique(edges, axis=0, return_counts=True)
    rim[kinds[uses == 1].ravel()] = True
    visible = np.zeros(len(seen), bool)
    visible[faces[normal[:, 2] > 0].ravel()] = True
    for wanted, colour in ((count < 4, "#d02020"), (count > 4, "#2040d0")):
        chosen = wanted & (count > 0) & ~rim & visible
        axes.scatter(seen[chosen, 0], seen[chosen, 1], s=size, c=colour, linewidths=0, zorder=3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meshes")
    parser.add_argument("out", nargs="+")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--columns", type=int, default=4, help="meshes in a row")
    parser.add_argument("--size", type=int, default=230, help="pixels of one picture")
    arguments = parser.parse_args()
    found = sorted((p for out in arguments.out for p in glob.glob(os.path.join(out, "*.obj"))), key=os.path.basename)
    rows = -(-len(found) // arguments.columns)
    figure, grid = plt.subplots(rows, 2 * arguments.columns, squeeze=False, dpi=100,
                                figsize=(2 * arguments.columns * arguments.size / 100, rows * (arguments.size + 24) / 100))
    for axes in grid.ravel():
        axes.axis("off")
    for i, path in enumerate(found):
        name = os.path.basename(path)[:-4]
        before, after = grid[i // arguments.columns, 2 * (i % arguments.columns):][:2]
        vertices, faces = load(os.path.join(arguments.meshes, name + ".obj"))
        order, turned = upright(vertices)
        draw(before, turned, faces, (0.78, 0.80, 0.84), 0.04)
        limits = before.get_xlim(), before.get_ylim()
        quads, quad_faces = load(path)
        placed = quads[:, order]
        if np.linalg.det(np.eye(3)[order]) < 0:
            placed[:, 2] *= -1
        dots(after, *draw(after, placed, quad_faces, (0.93, 0.86, 0.70), 0.16), 5)
        after.set_xlim(limits[0])
        after.set_ylim(limits[1])
        note = path[:-4] + ".json"
        text = ""
        if os.path.exists(note):
            numbers = json.load(open(note))
            text = ": %d quads, %d irregular" % (numbers["faces"], numbers["irregular_interior"])
        before.set_title(name + text, fontsize=7, loc="left", pad=2)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.975, 0.02, 0.12)
    figure.savefig(arguments.output)


if __name__ == "__main__":
    main()
