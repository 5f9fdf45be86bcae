"""A small renderer of triangle meshes in numpy: parallel projection, depth buffer, smooth shading with creases."""
import numpy as np

CREASE_DEG = 40
BACKGROUND = np.array([1.0, 1.0, 1.0])
SURFACE = np.array([0.87, 0.89, 0.92])
INSIDE = np.array([0.62, 0.60, 0.58])  # back faces of open meshes


def rotation(azimuth, elevation, up):
    """Rows: right, up and towards the viewer."""
    order = {"y": [0, 1, 2], "z": [1, 2, 0], "x": [2, 0, 1]}[up]  # axes that play x, y, z
    a, e = np.radians([azimuth, elevation])
    right = np.array([np.cos(a), 0, -np.sin(a)])
    toward = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    frame = np.empty((3, 3))
    frame[:, order] = np.array([right, np.cross(toward, right), toward])
    return frame


class View:
    """Projects points to pixels (x right, y down) and a depth that grows towards the viewer."""

    def __init__(self, vertices, azimuth, elevation, up, size):
        self.frame = rotation(azimuth, elevation, up)
        seen = vertices @ self.frame.T
        low, high = seen.min(0), seen.max(0)
        self.size = size
        self.scale = 0.92 * size / max(high[0] - low[0], high[1] - low[1], 1e-300)
        self.middle = (low + high) / 2
        self.diameter = float(np.linalg.norm(vertices.max(0) - vertices.min(0)))

    def project(self, points):
        seen = (points @ self.frame.T - self.middle) * self.scale
        return np.stack([seen[..., 0] + self.size / 2, self.size / 2 - seen[..., 1], seen[..., 2]], axis=-1)


def face_normals(vertices, faces):
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(length > 0, length, 1), length[:, 0] / 2


def corner_normals(faces, normals, areas, vertex_count):
    """Per corner the mean normal of the faces around its vertex that are not across a crease."""
    corners = faces.ravel()
    order = np.argsort(corners, kind="stable")
    begin = np.searchsorted(corners[order], np.arange(vertex_count + 1))
    count = (begin[1:] - begin[:-1])[corners]
    mine = np.repeat(np.arange(len(corners)), count)  # pairs of corners at one vertex
    step = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count)
    other = order[begin[corners][mine] + step]
    near = (normals[mine // 3] * normals[other // 3]).sum(1) > np.cos(np.radians(CREASE_DEG))
    weight = np.where(near, areas[other // 3], 0)[:, None] * normals[other // 3]
    smooth = np.stack([np.bincount(mine, weight[:, k], minlength=len(corners)) for k in range(3)], axis=1)
    smooth += 1e-12 * normals[np.arange(len(corners)) // 3]
    return (smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-300)).reshape(-1, 3, 3)


def rasterise(view, vertices, faces):
    """Per pixel: face (-1 = none), its barycentric coordinates and the depth."""
    size = view.size
    pixel = view.project(vertices)[faces]
    face = np.full((size, size), -1, dtype=np.int32)
    depth = np.full((size, size), -np.inf)
    weights = np.zeros((size, size, 2))
    low = np.clip(np.floor(pixel[:, :, :2].min(1) - 0.5), 0, size - 1).astype(int)
    high = np.clip(np.ceil(pixel[:, :, :2].max(1) + 0.5), 0, size - 1).astype(int)
    edge1, edge2 = pixel[:, 1] - pixel[:, 0], pixel[:, 2] - pixel[:, 0]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    for f in np.nonzero(np.abs(area) > 1e-12)[0]:
        (x0, y0), (x1, y1) = low[f], high[f]
        x = np.arange(x0, x1 + 1) + 0.5 - pixel[f, 0, 0]
        y = (np.arange(y0, y1 + 1) + 0.5 - pixel[f, 0, 1])[:, None]
        s = (x * edge2[f, 1] - y * edge2[f, 0]) / area[f]
        t = (y * edge1[f, 0] - x * edge1[f, 1]) / area[f]
        z = pixel[f, 0, 2] + s * edge1[f, 2] + t * edge2[f, 2]
        window = np.s_[y0:y1 + 1, x0:x1 + 1]
        inside = (s >= -1e-9) & (t >= -1e-9) & (s + t <= 1 + 1e-9) & (z > depth[window])
        if not inside.any():
            continue
        depth[window][inside] = z[inside]
        face[window][inside] = f
        weights[window][inside] = np.stack([s, t], axis=-1)[inside]
    return face, weights, depth


def shade(view, vertices, faces, face, weights, depth):
    """Colours of all pixels: a key light over the left shoulder, a weak one from the right, dark silhouettes."""
    normals, areas = face_normals(vertices, faces)
    corners = corner_normals(faces, normals, areas, len(vertices))
    hit = face >= 0
    s, t = weights[hit][:, :1], weights[hit][:, 1:]
    triple = corners[face[hit]]
    n = (triple[:, 0] * (1 - s - t) + triple[:, 1] * s + triple[:, 2] * t) @ view.frame.T
    n /= np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-300)
    back = (normals[face[hit]] @ view.frame[2]) < 0
    n[back] *= -1
    key, fill = np.array([-0.45, 0.65, 0.61]), np.array([0.75, 0.05, 0.35])
    key, fill = key / np.linalg.norm(key), fill / np.linalg.norm(fill)
    light = 0.44 + 0.50 * np.clip(n @ key, 0, 1) + 0.16 * np.clip(n @ fill, 0, 1)
    shine = 0.12 * np.clip(n @ ((key + [0, 0, 1]) / np.linalg.norm(key + [0, 0, 1])), 0, 1) ** 40
    rim = 0.65 + 0.35 * np.clip(n[:, 2:] / 0.35, 0, 1)
    image = np.tile(BACKGROUND, face.shape + (1,))
    image[hit] = np.where(back[:, None], INSIDE, SURFACE) * light[:, None] * rim + shine[:, None]
    return outline(image, depth, view)


def outline(image, depth, view):
    """Darkens pixels before a jump in depth."""
    filled = np.where(np.isfinite(depth), depth, -1e9)
    jump = np.zeros(depth.shape, dtype=bool)
    limit = 0.03 * view.diameter * view.scale
    for axis in (0, 1):
        for step in (1, -1):
            jump |= filled - np.roll(filled, step, axis=axis) > limit
    image[jump] *= 0.45
    return np.clip(image, 0, 1)


def shrink(image, factor):
    """Mean over blocks: the smoothing of edges."""
    size = image.shape[0] // factor
    return image.reshape(size, factor, size, factor, 3).mean(axis=(1, 3))


def visible(view, depth, points, slack=0.012):
    """Which points on the surface are not hidden; `slack` in units of the diameter."""
    pixel = view.project(points)
    x = np.clip(pixel[..., 0].astype(int), 0, view.size - 1)
    y = np.clip(pixel[..., 1].astype(int), 0, view.size - 1)
    return pixel[..., 2] >= depth[y, x] - slack * view.diameter * view.scale
