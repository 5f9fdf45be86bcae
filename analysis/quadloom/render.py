"""Pictures of fields and quads on their mesh."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.collections import LineCollection  # noqa: E402

from . import raster  # noqa: E402
from .lines import field_lines  # noqa: E402

SUPERSAMPLING = 2
INK = "#16324f"
POSITIVE, NEGATIVE = "#d1495b", "#1d74c4"  # valence 3 and valence 5 of a quad mesh
LINES_ACROSS = 55  # lines over the diameter of the mesh
MOST_CROSSES = 6000


def _segments_of_crosses(result, vertices, faces):
    corner = vertices[faces]
    _, areas = raster.face_normals(vertices, faces)
    chosen = np.arange(len(faces))
    if len(faces) > MOST_CROSSES:  # of a fine mesh a sample by area, drawn larger
        random = np.random.default_rng(1)
        chosen = random.choice(len(faces), MOST_CROSSES, replace=False, p=areas / areas.sum())
    grow = max(1.0, np.sqrt(len(faces) / MOST_CROSSES))
    arm = 0.35 * grow * np.sqrt(areas[chosen])[:, None]
    centre = corner[chosen].mean(1)
    directions = [result.alpha[chosen].astype(float), result.beta[chosen].astype(float)]
    segments = np.concatenate([np.stack([centre - arm * d, centre + arm * d], axis=1) for d in directions])
    return segments, np.concatenate([chosen, chosen])


def _segments_of_lines(result, vertices, faces, view):
    lines = field_lines(vertices, faces, result.alpha, result.beta, view.diameter / LINES_ACROSS)
    if not lines:
        raise ValueError(f"{result.path}: no line could be drawn")
    segments = np.concatenate([np.stack([points[:-1], points[1:]], axis=1) for points, _ in lines])
    return segments, np.concatenate([on for _, on in lines])


def _draw_segments(axes, view, depth, normals, segments, on, width):
    """Those on faces towards the viewer and not hidden; thinner where the surface turns away."""
    facing = np.abs(normals[on] @ view.frame[2])
    seen = raster.visible(view, depth, segments.mean(1)) & (normals[on] @ view.frame[2] > 0.02)
    pixel = view.project(segments[seen])[:, :, :2] / SUPERSAMPLING
    axes.add_collection(LineCollection(pixel, colors=INK, linewidths=width * (0.35 + 0.65 * facing[seen]),
                                       capstyle="round", alpha=0.9))


def _draw_singularities(axes, view, depth, vertices, faces, normals, index, scale):
    at = np.zeros((len(vertices), 3))
    for k in range(3):
        np.add.at(at, faces[:, k], normals)
    shown = np.flatnonzero((index != 0) & raster.visible(view, depth, vertices) & (at @ view.frame[2] > 0))
    pixel = view.project(vertices[shown])[:, :2] / SUPERSAMPLING
    colours = np.where(index[shown] > 0, POSITIVE, NEGATIVE)
    axes.scatter(pixel[:, 0], pixel[:, 1], s=scale, c=colours, edgecolors="white", linewidths=0.9, zorder=5)


def _quad_edges(quads):
    edges = np.sort(np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)]), axis=1)
    edges, first = np.unique(edges, axis=0, return_index=True)
    return edges, first % len(quads)


def _geometry(result, what):
    if what == "quads":
        vertices, quads = result.quad_vertices, result.quads
        if quads is None:
            raise ValueError(f"{result.path}: has no quads")
        return vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    if result.alpha is None:
        raise ValueError(f"{result.path}: has no field")
    return result.vertices, result.faces


def render(result, output, azimuth=35.0, elevation=20.0, size=1200, what="lines", up="y", title=None):
    """Writes a picture (PNG, or what the name's ending says) of `size` pixels."""
    vertices, faces = _geometry(result, what)
    view = raster.View(vertices, azimuth, elevation, up, size * SUPERSAMPLING)
    face, weights, depth = raster.rasterise(view, vertices, faces)
    image = raster.shrink(raster.shade(view, vertices, faces, face, weights, depth), SUPERSAMPLING)
    normals, _ = raster.face_normals(vertices, faces)
    figure = plt.figure(figsize=(size / 100, size / 100), dpi=100)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.imshow(image, extent=(0, size, size, 0), interpolation="nearest")
    if what == "quads":
        edges, on = _quad_edges(result.quads)
        segments = vertices[edges]
    elif what == "lines":
        segments, on = _segments_of_lines(result, vertices, faces, view)
    else:
        segments, on = _segments_of_crosses(result, vertices, faces)
    _draw_segments(axes, view, depth, normals, segments, on, size / 1000)
    if what != "quads" and result.singularity_index is not None:
        _draw_singularities(axes, view, depth, vertices, faces, normals, result.singularity_index, (size / 120) ** 2)
    if title:
        axes.text(0.02, 0.02, title, transform=axes.transAxes, fontsize=size / 75, color=INK)
    axes.set(xlim=(0, size), ylim=(size, 0))
    axes.axis("off")
    figure.savefig(output, dpi=100)
    plt.close(figure)
