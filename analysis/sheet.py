#!/usr/bin/python3
"""One picture of several results: a row each, the trained field on the left, the quad mesh on the right, white margins cut off.

    sheet.py RESULT.h5... -o OUT.png [--size PIXELS]

The picture of the README is the demo's: sheet.py out/demo/run/meshes/double-torus-*.h5 out/demo/run/meshes/block-*.h5 -o docs/field.png
"""
import argparse
import os
import sys
import tempfile

import numpy as np
from matplotlib import image

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import quadloom  # noqa: E402
from quadloom.render import render  # noqa: E402

MARGIN = 12  # pixels kept round the drawing


def cut(pixels):
    """Without the white border."""
    drawn = (pixels[..., :3] < 0.99).any(2)
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    tall, wide = drawn.shape
    return pixels[max(rows[0] - MARGIN, 0):min(rows[-1] + MARGIN, tall), max(columns[0] - MARGIN, 0):min(columns[-1] + MARGIN, wide)]


def padded(pixels, tall, wide):
    out = np.ones((tall, wide, pixels.shape[2]), pixels.dtype)
    top, left = (tall - pixels.shape[0]) // 2, (wide - pixels.shape[1]) // 2
    out[top:top + pixels.shape[0], left:left + pixels.shape[1]] = pixels
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--size", type=int, default=700, help="of one drawing before its margin is cut (default 700)")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.results:
            row = []
            for what in ("lines", "quads"):
                one = os.path.join(folder, "one.png")
                render(quadloom.open(path), one, size=arguments.size, what=what)
                row.append(cut(image.imread(one)))
            rows.append(row)
    wide = max(x.shape[1] for row in rows for x in row)
    sheet = np.vstack([np.hstack([padded(x, max(y.shape[0] for y in row), wide) for x in row]) for row in rows])
    image.imsave(arguments.output, np.ascontiguousarray(sheet))


if __name__ == "__main__":
    main()
