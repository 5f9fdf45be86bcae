#!/usr/bin/python3
"""A zoo of difficult triangle meshes to try a quad mesher on.

    zoo.py OUT_DIR [--from DIR] [--only TEXT]

Writes OUT_DIR/CLASS-NAME.obj: CAD-like solids (sharp booleans, extrusions, shafts, gears, thin plates, wedges), organic shapes,
every topology (genus 0 to 20, boundaries, one-sided surfaces, many components, nested shells) and bad sampling (needles, extreme
gradation, very coarse and very fine, far from the origin, tiny). With --from DIR, every k-th mesh of that folder comes changed as
well: rotated, decimated, subdivided, noised, sheared and stretched. All of it is a function of this file: no state, fixed seeds.

Needs python3-numpy, python3-scipy and python3-vtk9 (Debian).
"""
import argparse
import glob
import os

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy

ZOO = []


def exhibit(name):
    """The decorated function returns (vertices, faces)."""
    def keep(function):
        ZOO.append((name, function))
        return function
    return keep


def add(name, function, *arguments, **named):
    ZOO.append((name, lambda: function(*arguments, **named)))


# ---- vtk and back

def to_vtk(mesh):
    points, cells, out = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh[0], float), deep=True))
    rows = np.hstack([np.full((len(mesh[1]), 1), 3), mesh[1]]).astype(np.int64)
    cells.SetCells(len(mesh[1]), numpy_to_vtkIdTypeArray(rows.ravel(), deep=True))
    out.SetPoints(points)
    out.SetPolys(cells)
    return out


def from_vtk(data):
    polys = vtk_to_numpy(data.GetPolys().GetData()).reshape(-1, 4)[:, 1:]
    return compact(vtk_to_numpy(data.GetPoints().GetData()).astype(float), polys)


def filtered(kind, mesh, **settings):
    kind.SetInputData(to_vtk(mesh))
    for name, value in settings.items():
        getattr(kind, "Set" + name)(value)
    kind.Update()
    return from_vtk(kind.GetOutput())


def compact(vertices, faces):
    faces = np.asarray(faces)
    used = np.unique(faces)
    number = np.full(len(vertices), -1)
    number[used] = np.arange(len(used))
    return np.asarray(vertices, float)[used], number[faces]


def welded(mesh, digits=9):
    key, first, back = np.unique(np.round(mesh[0], digits), axis=0, return_index=True, return_inverse=True)
    faces = back.reshape(-1)[mesh[1]]
    good = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return compact(mesh[0][first], faces[good])


def joined(meshes):
    vertices, faces, base = [], [], 0
    for v, f in meshes:
        vertices.append(v)
        faces.append(np.asarray(f) + base)
        base += len(v)
    return np.vstack(vertices), np.vstack(faces)


def moved(mesh, offset=(0, 0, 0), scale=1.0):
    return mesh[0] * scale + np.asarray(offset, float), mesh[1]


def turned_inside_out(mesh):
    return mesh[0], mesh[1][:, ::-1]


def rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def subdivided(mesh, times):
    return filtered(vtk.vtkLinearSubdivisionFilter(), mesh, NumberOfSubdivisions=times)


def decimated(mesh, share):
    return filtered(vtk.vtkQuadricDecimation(), mesh, TargetReduction=1 - share)


def noised(mesh, share, seed=1):
    v, f = mesh
    length = np.linalg.norm(v[f[:, 1]] - v[f[:, 0]], axis=1).mean()
    return v + share * length * np.random.default_rng(seed).normal(size=v.shape), f


# ---- implicit solids: inside where f < 0

def sample(f, low, high, n):
    axes = [np.linspace(low[k], high[k], max(4, int(round(n * (high[k] - low[k]) / (high[0] - low[0]))) + 1)) for k in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    return axes, f(grid.reshape(-1, 3)).reshape(grid.shape[:3])


def marched(f, low, high, n):
    """Marching cubes: slivers and all."""
    axes, value = sample(f, low, high, n)
    image = vtk.vtkImageData()
    image.SetDimensions(*value.shape)
    image.SetOrigin(*low)
    image.SetSpacing(*[a[1] - a[0] for a in axes])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(-value.ravel(order="F")), deep=True))
    contour = vtk.vtkMarchingCubes()
    contour.SetInputData(image)
    contour.SetValue(0, 0)
    contour.ComputeNormalsOff()
    contour.Update()
    return outwards(from_vtk(contour.GetOutput()))


def outwards(mesh):
    v, f = mesh
    volume = (np.cross(v[f[:, 0]], v[f[:, 1]]) * v[f[:, 2]]).sum()
    return mesh if volume > 0 else (v, f[:, ::-1])


def sharpened(f, low, high, n):
    """Dual contouring (Ju et al. 2002): a vertex per cell where the tangent planes at its crossed edges meet; keeps creases."""
    axes, value = sample(f, low, high, n)
    inside, h = value < 0, axes[0][1] - axes[0][0]

    def gradient(p):
        e = 1e-5 * np.eye(3)
        g = np.stack([f(p + e[k]) - f(p - e[k]) for k in range(3)], 1)
        return g / np.maximum(np.linalg.norm(g, axis=1), 1e-12)[:, None]

    cell_of, quads, rows = {}, [], []
    for k in range(3):
        lower = [slice(None)] * 3
        upper = [slice(None)] * 3
        lower[k], upper[k] = slice(0, -1), slice(1, None)
        at = np.argwhere(inside[tuple(lower)] != inside[tuple(upper)])
        a = np.stack([axes[c][at[:, c]] for c in range(3)], 1)
        b = a.copy()
        b[:, k] = axes[k][at[:, k] + 1]
        fa = f(a)
        for _ in range(30):
            m = 0.5 * (a + b)
            fm = f(m)
            same = (fm < 0) == (fa < 0)
            a[same], b[~same] = m[same], m[~same]
        p = 0.5 * (a + b)
        normal = gradient(p)
        u, w = (k + 1) % 3, (k + 2) % 3
        for i, start in enumerate(at):
            ring = []
            for du, dw in ((-1, -1), (0, -1), (0, 0), (-1, 0)):
                c = start.copy()
                c[u] += du
                c[w] += dw
                ring.append(cell_of.setdefault(tuple(c), len(cell_of)))
                rows.append((ring[-1], p[i], normal[i]))
            quads.append(ring if inside[tuple(start)] else ring[::-1])
    cells = np.array(list(cell_of))
    origin = np.array([a[0] for a in axes])
    count = len(cells)
    ata, atb, centre, number = np.zeros((count, 3, 3)), np.zeros((count, 3)), np.zeros((count, 3)), np.zeros(count)
    which = np.array([r[0] for r in rows])
    p, normal = np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    np.add.at(centre, which, p)
    np.add.at(number, which, 1)
    centre /= number[:, None]
    np.add.at(ata, which, normal[:, :, None] * normal[:, None, :])
    np.add.at(atb, which, normal * (normal * (p - centre[which])).sum(1)[:, None])
    x = centre + np.einsum("nij,nj->ni", np.linalg.pinv(ata, rcond=0.05, hermitian=True), atb)
    x = np.clip(x, origin + h * (cells - 0.2), origin + h * (cells + 1.2))
    quads = np.array(quads)
    return outwards((x, np.vstack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])))


def box(p, centre, half):
    q = np.abs(p - np.asarray(centre)) - np.asarray(half)
    return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0)


def ball(p, centre, r):
    return np.linalg.norm(p - np.asarray(centre), axis=1) - r


def rod(p, a, b, r):
    a, b = np.asarray(a, float), np.asarray(b, float)
    t = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(p - a - t[:, None] * (b - a), axis=1) - r


def drill(p, axis, centre, r):
    q = p - np.asarray(centre)
    return np.linalg.norm(np.delete(q, axis, 1), axis=1) - r


def soft(*fields, k=0.1):
    return -k * np.log(sum(np.exp(-f / k) for f in fields))


# ---- polygons: extrusions with holes, triangulated as CAD programs do (needles)

def circle(r, n, centre=(0, 0), start=0.0):
    a = start + 2 * np.pi * np.arange(n) / n
    return np.stack([centre[0] + r * np.cos(a), centre[1] + r * np.sin(a)], 1)


def extruded(outer, holes, height):
    loops = [np.asarray(outer, float)] + [np.asarray(h, float)[::-1] for h in holes]
    data, points, lines = vtk.vtkPolyData(), vtk.vtkPoints(), vtk.vtkCellArray()
    points.SetDataTypeToDouble()
    for loop in loops:
        base = points.GetNumberOfPoints()
        for x, y in loop:
            points.InsertNextPoint(x, y, 0)
        for i in range(len(loop)):
            lines.InsertNextCell(2)
            lines.InsertCellPoint(base + i)
            lines.InsertCellPoint(base + (i + 1) % len(loop))
    data.SetPoints(points)
    data.SetLines(lines)
    fill = vtk.vtkContourTriangulator()
    fill.SetInputData(data)
    fill.Update()
    flat = vtk_to_numpy(fill.GetOutput().GetPolys().GetData()).reshape(-1, 4)[:, 1:]
    xy = np.vstack(loops)
    area = np.cross(xy[flat[:, 1]] - xy[flat[:, 0]], xy[flat[:, 2]] - xy[flat[:, 0]])
    flat = np.where(area[:, None] > 0, flat, flat[:, ::-1])
    n, faces, base = len(xy), [flat[:, ::-1], flat + len(xy)], 0
    for loop in loops:
        i = base + np.arange(len(loop))
        j = base + (np.arange(len(loop)) + 1) % len(loop)
        faces += [np.stack([i, j, j + n], 1), np.stack([i, j + n, i + n], 1)]
        base += len(loop)
    vertices = np.vstack([np.hstack([xy, np.zeros((n, 1))]), np.hstack([xy, np.full((n, 1), float(height))])])
    return outwards((vertices, np.vstack(faces)))


def gear(teeth, r=1.0, depth=0.15, height=0.3, bore=0.3):
    a = 2 * np.pi * (np.arange(teeth)[:, None] + np.array([0.0, 0.2, 0.5, 0.7])) / teeth
    rr = np.tile([r - depth, r, r, r - depth], (teeth, 1))
    return extruded(np.stack([rr * np.cos(a), rr * np.sin(a)], -1).reshape(-1, 2), [circle(bore, 48)], height)


# ---- surfaces by parameters

def sheet(f, nu, nv, close_u=False, close_v=False):
    """Triangulated grid of points f(u, v), u and v in [0, 1]."""
    u = np.arange(nu) / (nu if close_u else nu - 1)
    v = np.arange(nv) / (nv if close_v else nv - 1)
    uu, vv = np.meshgrid(u, v, indexing="ij")
    vertices = np.stack(np.broadcast_arrays(*f(uu.ravel(), vv.ravel())), 1).astype(float)
    i, j = np.meshgrid(np.arange(nu if close_u else nu - 1), np.arange(nv if close_v else nv - 1), indexing="ij")
    i, j = i.ravel(), j.ravel()
    a, b, c, d = i * nv + j, (i + 1) % nu * nv + j, (i + 1) % nu * nv + (j + 1) % nv, i * nv + (j + 1) % nv
    return vertices, np.vstack([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def revolved(profile, n):
    """profile: (r, z) rows; r = 0 at an end closes it."""
    profile = np.asarray(profile, float)
    m = len(profile)
    a = 2 * np.pi * np.arange(n) / n
    x = np.stack([profile[:, 0] * np.cos(a)[:, None], profile[:, 0] * np.sin(a)[:, None],
                  np.broadcast_to(profile[:, 1], (n, m))], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(n), np.arange(m - 1), indexing="ij")
    i, j = i.ravel(), j.ravel()
    a0, b0, c0, d0 = i * m + j, (i + 1) % n * m + j, (i + 1) % n * m + j + 1, i * m + j + 1
    return welded((x, np.vstack([np.stack([a0, b0, c0], 1), np.stack([a0, c0, d0], 1)])))


def tube(curve, radius, n, closed):
    """Sweep of a circle along points, frames by double reflection-like transport."""
    curve = np.asarray(curve, float)
    m = len(curve)
    tangent = np.roll(curve, -1, 0) - np.roll(curve, 1, 0)
    if not closed:
        tangent[0], tangent[-1] = curve[1] - curve[0], curve[-1] - curve[-2]
    tangent /= np.linalg.norm(tangent, axis=1)[:, None]
    side = np.cross(tangent[0], [0.3, 0.5, 0.8])
    rings = []
    for i in range(m):
        side = side - (side @ tangent[i]) * tangent[i]
        side /= np.linalg.norm(side)
        up = np.cross(tangent[i], side)
        a = 2 * np.pi * np.arange(n) / n
        r = radius(i / m) if callable(radius) else radius
        rings.append(curve[i] + r * (np.cos(a)[:, None] * side + np.sin(a)[:, None] * up))
    x = np.vstack(rings)
    i, j = np.meshgrid(np.arange(m if closed else m - 1), np.arange(n), indexing="ij")
    i, j = i.ravel(), j.ravel()
    shift = np.zeros_like(i)
    if closed:  # close with the nearest turn of the last ring
        best = np.argmin(np.linalg.norm(rings[0] - rings[-1][0], axis=1))
        shift = np.where(i == m - 1, best, 0)
    nxt = (i + 1) % m
    a, b, c, d = i * n + j, i * n + (j + 1) % n, nxt * n + (j + 1 + shift) % n, nxt * n + (j + shift) % n
    return x, np.vstack([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def sphere(level=4):
    """Subdivided icosahedron: 20 * 4^level faces."""
    g = 0.5 * (1 + 5 ** 0.5)
    v = np.array([[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g], [0, -1, -g], [0, 1, -g],
                  [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]], float)
    f = np.array([[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6],
                  [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10],
                  [8, 6, 7], [9, 8, 1]])
    mesh = (v, f)
    if level:
        mesh = welded(subdivided(mesh, level), 7)
    return mesh[0] / np.linalg.norm(mesh[0], axis=1)[:, None], mesh[1]


def ripples(p, seed, octaves=4):
    rng, sum_ = np.random.default_rng(seed), np.zeros(len(p))
    for o in range(octaves):
        for _ in range(6):
            k = rng.normal(size=3) * 2 ** o * 1.5
            sum_ += 0.5 ** o * np.sin(p @ k + rng.uniform(0, 6.28)) / 6
    return sum_


def rough_sphere(level, amount, seed, octaves=4):
    v, f = sphere(level)
    return v * (1 + amount * ripples(v, seed, octaves))[:, None], f


def cube(n=1):
    return welded(subdivided(extruded([(0, 0), (1, 0), (1, 1), (0, 1)], [], 1), n) if n else extruded([(0, 0), (1, 0), (1, 1), (0, 1)], [], 1))


def torus(nu, nv, big=1.0, small=0.35):
    return outwards(sheet(lambda u, v: ((big + small * np.cos(2 * np.pi * v)) * np.cos(2 * np.pi * u),
                                        (big + small * np.cos(2 * np.pi * v)) * np.sin(2 * np.pi * u),
                                        small * np.sin(2 * np.pi * v)), nu, nv, True, True))


# ---- CAD-like

SMALL = ((-1.3,) * 3, (1.3,) * 3)


def csg(which):
    def block_holes(p):
        return np.maximum(box(p, (0, 0, 0), (1, 0.8, 0.5)), -np.minimum(drill(p, 2, (0.4, 0.1, 0), 0.25), drill(p, 1, (-0.4, 0, 0.05), 0.2)))

    def ball_in_box(p):
        return np.maximum(box(p, (0, 0, 0), (0.8, 0.8, 0.8)), -ball(p, (0.5, 0.5, 0.5), 0.7))

    def crossed(p):
        return np.minimum(np.minimum(np.maximum(drill(p, 0, (0, 0, 0), 0.35), np.abs(p[:, 0]) - 1.1),
                                     np.maximum(drill(p, 1, (0, 0, 0), 0.3), np.abs(p[:, 1]) - 1.1)), np.maximum(drill(p, 2, (0, 0, 0), 0.25), np.abs(p[:, 2]) - 1.1))

    def dice(p):
        f = np.maximum(box(p, (0, 0, 0), (0.8,) * 3), ball(p, (0, 0, 0), 1.08))
        for c in ((0.8, 0, 0), (0, 0.8, 0.3), (0, 0.8, -0.3), (0, 0, 0.8)):
            f = np.maximum(f, -ball(p, c, 0.22))
        return f

    def tilted(p):
        q = p @ rotation(5).T
        return np.minimum(box(p, (0, 0, -0.3), (1, 1, 0.3)), box(q, (0.1, 0.1, 0.3), (0.3, 0.35, 0.8)))

    def nested(p):
        return np.maximum(box(p, (0, 0, 0), (1, 0.7, 0.6)), -np.minimum(box(p, (0, 0, 0.3), (0.85, 0.55, 0.6)), box(p, (0.9, 0, 0.2), (0.3, 0.2, 0.1))))

    def lens(p):
        return np.maximum(ball(p, (0.8, 0, 0), 1.15), ball(p, (-0.8, 0, 0), 1.15))

    def flange(p):
        f = np.minimum(np.maximum(drill(p, 2, (0, 0, 0), 1), np.abs(p[:, 2]) - 0.15), np.maximum(drill(p, 2, (0, 0, 0), 0.45), np.abs(p[:, 2] - 0.4) - 0.5))
        f = np.maximum(f, -drill(p, 2, (0, 0, 0), 0.3))
        for a in range(6):
            f = np.maximum(f, -drill(p, 2, (0.75 * np.cos(a * np.pi / 3), 0.75 * np.sin(a * np.pi / 3), 0), 0.11))
        return f

    def dovetail(p):
        slope = np.abs(p[:, 0]) - 0.25 - 0.5 * (0.6 - p[:, 2])
        return np.maximum(box(p, (0, 0, 0), (1, 0.8, 0.6)), -np.maximum(slope, -p[:, 2]))

    return {k: v for k, v in locals().items() if callable(v)}[which]


for kind in ("block_holes", "ball_in_box", "crossed", "dice", "tilted", "nested", "lens", "flange", "dovetail"):
    add("cad-" + kind, lambda kind=kind: sharpened(csg(kind), *SMALL, 44))
for kind in ("crossed", "flange", "dice"):
    add("cad-" + kind + "_marched", lambda kind=kind: marched(csg(kind), *SMALL, 50))
add("cad-plate_thin", extruded, [(0, 0), (1, 0), (1, 0.7), (0, 0.7)], [circle(0.1, 32, (0.3, 0.35)), circle(0.15, 32, (0.7, 0.35))], 0.01)
add("cad-plate_thin_fine", lambda: subdivided(extruded([(0, 0), (1, 0), (1, 0.7), (0, 0.7)], [circle(0.1, 32, (0.3, 0.35))], 0.01), 2))
add("cad-disc_thin", extruded, circle(1, 64), [], 0.02)
add("cad-holes_many", extruded, [(0, 0), (6, 0), (6, 4), (0, 4)], [circle(0.3, 20, (0.75 + 1.1 * i, 0.7 + 1.3 * j)) for i in range(5) for j in range(3)], 0.5)
add("cad-star", extruded, [((1 if i % 2 else 0.4) * np.cos(i * np.pi / 9), (1 if i % 2 else 0.4) * np.sin(i * np.pi / 9)) for i in range(18)], [], 0.5)
add("cad-slot", extruded, [(0, 0), (3, 0), (3, 1), (1.02, 1), (1.02, 0.2), (1, 0.2), (1, 1), (0, 1)], [], 0.8)
add("cad-comb", extruded, [(0, 0), (12.2, 0)] + [q for i in range(12, -1, -1) for q in ((i + 0.2, 0.2), (i + 0.2, 3), (i, 3), (i, 0.2))], [], 0.4)
add("cad-l_profile", lambda: subdivided(extruded([(0, 0), (2, 0), (2, 0.1), (0.1, 0.1), (0.1, 2), (0, 2)], [], 6), 2))
for teeth in (12, 40, 90):
    add("cad-gear%d" % teeth, gear, teeth)
add("cad-shaft", revolved, [(0, 0), (0.3, 0), (0.3, 1), (0.5, 1), (0.5, 1.6), (0.35, 1.6), (0.35, 3), (0.2, 3), (0.2, 3.4), (0, 3.4)], 48)
add("cad-shaft_chamfered", revolved, [(0, 0), (0.27, 0), (0.3, 0.03), (0.3, 1), (0.48, 1), (0.5, 1.02), (0.5, 1.6), (0.2, 2.2), (0, 2.2)], 60)
add("cad-cone", revolved, [(0, 0), (1, 0), (0, 2)], 64)
add("cad-cone_needle", revolved, [(0, 0), (0.2, 0), (0, 4)], 32)
add("cad-cone_open", revolved, np.stack([np.linspace(1, 0, 20), np.linspace(0, 1.5, 20)], 1), 40)
add("cad-double_cone", revolved, [(0, -1)] + [(r, r - 1) for r in np.linspace(0.1, 1, 10)] + [(r, 1 - r) for r in np.linspace(0.9, 0.1, 9)] + [(0, 1)], 48)
add("cad-cylinder_open", revolved, np.stack([np.full(20, 0.5), np.linspace(0, 2, 20)], 1), 40)
add("cad-pipe", revolved, [(0.4, 0), (0.5, 0), (0.5, 3), (0.4, 3), (0.4, 0)], 48)
for angle in (5, 10, 20, 30):
    t = np.tan(np.radians(angle))
    add("cad-wedge%d" % angle, lambda t=t: subdivided(extruded([(0, 0), (2, 0), (2, 2 * t)], [], 1), 4))
add("cad-tetrahedron", lambda: subdivided((np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float), np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])), 4))
add("cad-octahedron", lambda: subdivided((np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float),
                                          np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])), 4))
add("cad-prism_twisted", lambda: (lambda m: (np.stack([m[0][:, 0] * np.cos(m[0][:, 2]) - m[0][:, 1] * np.sin(m[0][:, 2]), m[0][:, 0] * np.sin(m[0][:, 2]) + m[0][:, 1] * np.cos(m[0][:, 2]), m[0][:, 2]], 1), m[1]))(
    subdivided(extruded([(-0.4, -0.4), (0.4, -0.4), (0.4, 0.4), (-0.4, 0.4)], [], 3), 5)))
T = np.linspace(0, 1, 160)
add("cad-spring", lambda: tube(np.stack([np.cos(25 * T), np.sin(25 * T), 3 * T], 1), 0.16, 14, False))
add("cad-knot", lambda: tube(np.stack([np.sin(2 * np.pi * T[:-1]) + 2 * np.sin(4 * np.pi * T[:-1]), np.cos(2 * np.pi * T[:-1]) - 2 * np.cos(4 * np.pi * T[:-1]), -np.sin(6 * np.pi * T[:-1])], 1), 0.35, 16, True))
add("cad-tube_swelling", lambda: tube(np.stack([4 * T, np.sin(5 * T), np.cos(4 * T)], 1), lambda t: 0.25 + 0.18 * np.sin(18 * t), 24, False))
add("cad-pipes_branching", lambda: sharpened(lambda p: np.maximum(np.minimum(np.minimum(rod(p, (-1, 0, 0), (1, 0, 0), 0.3), rod(p, (0, 0, 0), (0.6, 0.9, 0), 0.22)), rod(p, (0.3, 0, 0), (-0.2, -0.5, 0.9), 0.18)), box(p, (0, 0, 0), (1, 1, 1))), *SMALL, 46))
add("cad-pipes_manifold", lambda: marched(lambda p: np.minimum.reduce([rod(p, (-1, 0, 0), (1, 0, 0), 0.2)] + [rod(p, (x, 0, 0), (x, 0.9, 0.1), 0.13) for x in (-0.8, -0.4, 0, 0.4, 0.8)]), *SMALL, 60))
add("cad-fins", lambda: sharpened(lambda p: np.minimum(box(p, (0, 0, -0.4), (1, 1, 0.15)), np.minimum.reduce([box(p, (x, 0, 0.2), (0.045, 0.9, 0.6)) for x in np.linspace(-0.9, 0.9, 7)])), *SMALL, 60))
add("cad-steps", extruded, [(0, 0)] + [q for i in range(10) for q in ((10 - i, i * 0.5), (10 - i, (i + 1) * 0.5))] + [(0, 5)], [], 4)


# ---- organic

def metaballs(seed, count, spread=0.8):
    rng = np.random.default_rng(seed)
    c, r = rng.uniform(-spread, spread, (count, 3)), rng.uniform(0.15, 0.4, count)
    return lambda p: 1 - sum((r[i] / np.maximum(np.linalg.norm(p - c[i], axis=1), 1e-6)) ** 3 for i in range(count))


def tree(p, seed=4):
    rng, todo, parts = np.random.default_rng(seed), [(np.array([0, 0, -1.1]), np.array([0, 0, 1.0]), 0.5, 0.17, 0)], []
    while todo:
        a, d, length, r, depth = todo.pop()
        b = a + length * d
        parts.append(rod(p, a, b, r))
        for _ in range(2 + (depth == 0) if depth < 3 else 0):
            e = d + rng.normal(size=3) * 0.55
            todo.append((b, e / np.linalg.norm(e), length * 0.75, r * 0.66, depth + 1))
    return soft(*parts, k=0.03)


def hand(p):
    return soft(box(p, (0, 0, -0.5), (0.4, 0.12, 0.4)) - 0.1, *[rod(p, (x, 0, 0), (1.4 * x, 0.1 * x, 1.0 - x * x), 0.1) for x in (-0.42, -0.15, 0.13, 0.4)], rod(p, (0.4, 0, -0.6), (0.95, 0, -0.1), 0.12), k=0.03)


def skeleton(p):
    return soft(ball(p, (0, 0, 0.9), 0.22), rod(p, (0, 0, 0.7), (0, 0, -0.1), 0.2), rod(p, (0, 0, 0.5), (0.8, 0, 0.1), 0.08), rod(p, (0, 0, 0.5), (-0.8, 0.1, 0.6), 0.08),
                rod(p, (0, 0, -0.1), (0.3, 0, -1.1), 0.1), rod(p, (0, 0, -0.1), (-0.3, 0.2, -1.1), 0.1), k=0.04)


BIG = ((-1.7,) * 3, (1.7,) * 3)
add("organic-metaballs5", lambda: largest(marched(metaballs(1, 5), *BIG, 60)))
add("organic-metaballs12", lambda: marched(metaballs(2, 12), *BIG, 60))
add("organic-metaballs30", lambda: marched(metaballs(3, 30, 1.2), ((-2.2,) * 3), ((2.2,) * 3), 80))
add("organic-tree", lambda: largest(marched(tree, ((-1.8,) * 3), ((1.8,) * 3), 110)))
add("organic-hand", lambda: largest(marched(hand, *SMALL, 70)))
add("organic-skeleton", lambda: largest(marched(skeleton, *SMALL, 64)))
add("organic-gyroid", lambda: marched(lambda p: np.maximum(np.abs(np.sin(5 * p[:, 0]) * np.cos(5 * p[:, 1]) + np.sin(5 * p[:, 1]) * np.cos(5 * p[:, 2]) + np.sin(5 * p[:, 2]) * np.cos(5 * p[:, 0])) - 0.5, ball(p, (0, 0, 0), 1.1)), *SMALL, 60))
for amount, seed in ((0.15, 1), (0.4, 2), (0.8, 3)):
    add("organic-rough%02d" % (100 * amount), rough_sphere, 5, amount, seed)
add("organic-rough_fine", rough_sphere, 6, 0.3, 8, 6)
add("organic-spiky", lambda: (lambda m: (m[0] * (1 + 0.6 * np.maximum(0, np.sin(9 * m[0][:, 0]) * np.sin(9 * m[0][:, 1]) * np.sin(9 * m[0][:, 2])) ** 2 * 4)[:, None], m[1]))(sphere(6)))
add("organic-terrain", lambda: (lambda m: (np.column_stack([m[0][:, :2], 0.5 * ripples(m[0] * 3, 5)]), m[1]))(sheet(lambda u, v: (2 * u, 2 * v, 0 * u), 80, 80)))
add("organic-terrain_steep", lambda: (lambda m: (np.column_stack([m[0][:, :2], 2.0 * ripples(m[0] * 4, 6)]), m[1]))(sheet(lambda u, v: (2 * u, 2 * v, 0 * u), 90, 60)))
add("organic-terrain_terraced", lambda: (lambda m: (np.column_stack([m[0][:, :2], np.round(4 * ripples(m[0] * 2, 7)) / 6]), m[1]))(sheet(lambda u, v: (2 * u, 2 * v, 0 * u), 70, 70)))
add("organic-ellipsoid_flat", lambda: (sphere(5)[0] * (1, 0.6, 0.05), sphere(5)[1]))
add("organic-ellipsoid_long", lambda: (sphere(5)[0] * (10, 1, 1), sphere(5)[1]))
add("organic-shell", lambda: sheet(lambda u, v: (np.exp(1.2 * u) * np.cos(12 * u) * (1 + 0.4 * np.cos(2 * np.pi * v)), np.exp(1.2 * u) * np.sin(12 * u) * (1 + 0.4 * np.cos(2 * np.pi * v)), np.exp(1.2 * u) * (0.4 * np.sin(2 * np.pi * v) - 1.5)), 140, 22, False, True))
add("organic-leaf", lambda: sheet(lambda u, v: (3 * u, (v - 0.5) * np.sin(np.pi * np.clip(u, 0.02, 0.98)), 0.3 * np.sin(4 * u) * (v - 0.5) ** 2 * 4), 90, 24))


def largest(mesh):
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    v, f = mesh
    graph = coo_matrix((np.ones(2 * len(f)), (np.r_[f[:, 0], f[:, 1]], np.r_[f[:, 1], f[:, 2]])), (len(v), len(v)))
    label = connected_components(graph, directed=False)[1]
    return compact(v, f[label[f[:, 0]] == np.bincount(label).argmax()])


# ---- topology

def holed(nx, ny):
    c = [(i - (nx - 1) / 2, j - (ny - 1) / 2) for i in range(nx) for j in range(ny)]
    def f(p):
        q = p * np.array([nx / 2.0, nx / 2.0, nx / 2.0])
        h = np.minimum.reduce([np.hypot(q[:, 0] - x, q[:, 1] - y) for x, y in c]) - 0.28
        return soft(box(q, (0, 0, 0), (nx / 2.0, ny / 2.0, 0.25)), -99 + 0 * h, k=0.05) if False else -soft(-(box(q, (0, 0, 0), (nx / 2.0, ny / 2.0, 0.25))), h, k=0.05)
    return f


for nx, ny in ((2, 1), (3, 1), (4, 2), (5, 4)):
    add("topology-genus%d" % (nx * ny), lambda nx=nx, ny=ny: largest(marched(holed(nx, ny), *SMALL, 70 if nx < 5 else 90)))
add("topology-cage", lambda: largest(marched(lambda p: np.minimum.reduce([rod(p, a, b, 0.11) for a in np.array(np.meshgrid(*[(-0.9, 0.9)] * 3)).T.reshape(-1, 3) for b in np.array(np.meshgrid(*[(-0.9, 0.9)] * 3)).T.reshape(-1, 3) if np.abs(a - b).sum() in (1.8,) and tuple(a) < tuple(b)]), *SMALL, 70)))
add("topology-lattice", lambda: largest(marched(lambda p: np.minimum.reduce([np.hypot(np.abs(p[:, a]) % 0.8 - 0.4, np.abs(p[:, b]) % 0.8 - 0.4) - 0.12 for a, b in ((0, 1), (1, 2), (2, 0))] ) + 0 * p[:, 0] if False else np.maximum(np.minimum.reduce([np.hypot((p[:, a] + 0.4) % 0.8 - 0.4, (p[:, b] + 0.4) % 0.8 - 0.4) - 0.13 for a, b in ((0, 1), (1, 2), (2, 0))]), box(p, (0, 0, 0), (1.0, 1.0, 1.0))), *SMALL, 72)))
add("topology-moebius", sheet, lambda u, v: ((2 + (v - 0.5) * np.cos(3.1 * u)) * np.cos(6.2 * u), (2 + (v - 0.5) * np.cos(3.1 * u)) * np.sin(6.2 * u), (v - 0.5) * np.sin(3.1 * u)), 80, 10)


@exhibit("topology-moebius_closed")
def moebius():
    v, f = sheet(lambda u, v: ((2 + (v - 0.5) * np.cos(np.pi * u)) * np.cos(2 * np.pi * u), (2 + (v - 0.5) * np.cos(np.pi * u)) * np.sin(2 * np.pi * u), (v - 0.5) * np.sin(np.pi * u)), 81, 9)
    return welded((v, f), 6)


@exhibit("topology-klein")
def klein():
    def f(u, v):
        a, b = 2 * np.pi * u, 2 * np.pi * v
        r = 2 + np.cos(a / 2) * np.sin(b) - np.sin(a / 2) * np.sin(2 * b)
        return r * np.cos(a), r * np.sin(a), np.sin(a / 2) * np.sin(b) + np.cos(a / 2) * np.sin(2 * b)
    return welded(sheet(f, 81, 40, False, True), 6)


@exhibit("topology-moebius_among_others")
def moebius_among():
    return joined([moved(sphere(4), (5, 0, 0)), moebius(), moved(torus(40, 20), (0, 5, 0))])


add("topology-loops6", lambda: (lambda m: compact(m[0], m[1][np.all([np.linalg.norm(m[0][m[1]].mean(1) - c, axis=1) > 0.4 for c in np.vstack([np.eye(3), -np.eye(3)])], axis=0)]))(sphere(5)))
add("topology-annulus", sheet, lambda u, v: ((1 + v) * np.cos(2 * np.pi * u), (1 + v) * np.sin(2 * np.pi * u), 0 * u), 80, 12, True)
add("topology-disc", sheet, lambda u, v: ((0.001 + v) * np.cos(2 * np.pi * u), (0.001 + v) * np.sin(2 * np.pi * u), 0 * u), 60, 16, True)
add("topology-strip_long", sheet, lambda u, v: (50 * u, 0.2 * v, np.sin(20 * u)), 400, 3)
add("topology-square_slit", lambda: compact(*(lambda m: (m[0], m[1][~((np.abs(m[0][m[1]].mean(1)[:, 1] - 0.5) < 0.02) & (m[0][m[1]].mean(1)[:, 0] < 0.7))]))(sheet(lambda u, v: (u, v, 0 * u), 60, 60))))
add("topology-spheres_sizes", lambda: joined([moved(sphere(3), (3 * i, 0, 0), 0.2 ** i) for i in range(5)]))
add("topology-specks", lambda: joined([sphere(4)] + [moved(cube(0), tuple(2 * np.random.default_rng(i).normal(size=3)), 0.002) for i in range(200)]))
add("topology-sliver_beside", lambda: joined([sphere(4), (np.array([[3, 0, 0], [4, 0, 0], [3.5, 1e-9, 0]]), np.array([[0, 1, 2]]))]))
add("topology-flat_beside", lambda: joined([torus(40, 20), (np.array([[3, 0, 0], [4, 0, 0], [5, 0, 0.0]]), np.array([[0, 1, 2]]))]))
add("topology-shells_nested", lambda: joined([sphere(4), turned_inside_out(moved(sphere(4), scale=0.9)), moved(cube(2), (-0.3,) * 3, 0.6)]))
add("topology-tori_linked", lambda: joined([torus(48, 20), (torus(48, 20)[0][:, [0, 2, 1]] + (1, 0, 0), torus(48, 20)[1][:, ::-1])]))
add("topology-touching", lambda: welded(joined([cube(2), moved(cube(2), (1, 1, 0)), moved(cube(2), (2, 2, 1))])))
add("topology-torus_thin", torus, 200, 8, 1.0, 0.02)
add("topology-torus_fat", torus, 80, 60, 1.0, 0.95)
add("topology-cross_sheets", lambda: welded(joined([sheet(lambda u, v: (u - 0.5, v, 0 * u), 21, 21), sheet(lambda u, v: (0 * u, v, u - 0.5), 21, 21)]), 6))

# ---- sampling

add("sampling-cube12", cube, 0)
add("sampling-cube192", cube, 2)
add("sampling-cube50k", cube, 6)
add("sampling-ball20", sphere, 0)
add("sampling-ball80", sphere, 1)
add("sampling-ball200k", lambda: rough_sphere(7, 0.15, 4, 3) if False else rough_sphere(7, 0.15, 4, 3))
add("sampling-torus8", torus, 4, 3)
add("sampling-torus60", torus, 6, 5)
add("sampling-grid_plane", sheet, lambda u, v: (u, v, 0 * u), 50, 50)
add("sampling-needles", sheet, lambda u, v: (np.cos(2 * np.pi * u), np.sin(2 * np.pi * u), 2 * v), 1500, 3, True)
add("sampling-needles_ball", lambda: revolved(np.stack([np.sin(np.linspace(0, np.pi, 200)), -np.cos(np.linspace(0, np.pi, 200))], 1), 10))
add("sampling-gradation", lambda: outwards(sheet(lambda u, v: ((1 + 0.35 * np.cos(2 * np.pi * v)) * np.cos(2 * np.pi * u ** 5), (1 + 0.35 * np.cos(2 * np.pi * v)) * np.sin(2 * np.pi * u ** 5), 0.35 * np.sin(2 * np.pi * v)), 60, 40, True, True)))
add("sampling-gradation_plane", sheet, lambda u, v: (u ** 6, v ** 6, 0 * u), 60, 60)
add("sampling-duplicated", lambda: (sphere(4)[0][sphere(4)[1]].reshape(-1, 3), np.arange(3 * len(sphere(4)[1])).reshape(-1, 3)))
add("sampling-duplicated_gear", lambda: (lambda m: (m[0][m[1]].reshape(-1, 3), np.arange(3 * len(m[1])).reshape(-1, 3)))(gear(16)))
add("sampling-coplanar", lambda: (lambda m: (np.where(m[0] == m[0], m[0], 0), m[1]))(welded(joined([cube(3), moved(cube(3), (1, 0, 0))]))))
for name, make in (("bracket", lambda: extruded([(0, 0), (3, 0), (3, 1), (1, 1), (1, 3), (0, 3)], [circle(0.25, 24, (2.3, 0.5)), circle(0.2, 24, (0.5, 2.4))], 0.6)), ("ball", lambda: rough_sphere(4, 0.3, 5))):
    add("sampling-far_" + name, lambda make=make: moved(make(), (1e6, -2e6, 5e5)))
    add("sampling-tiny_" + name, lambda make=make: moved(make(), scale=1e-6))
    add("sampling-huge_" + name, lambda make=make: moved(make(), scale=1e7))
add("sampling-far_tiny", lambda: moved(rough_sphere(4, 0.3, 5), (1000, 1000, 1000), 0.01))
add("sampling-caps", lambda: (lambda m: joined([(m[0] + 0.49 * 0, m[1])]))(sheet(lambda u, v: (np.floor(u * 59.5) / 59 + 0.0085 * (np.round(v * 59) % 2), v, 0.05 * np.sin(9 * u)), 60, 60)))
add("sampling-marched_ball", marched, lambda p: ball(p, (0.013, 0.007, 0.003), 0.9), *SMALL, 26)
add("sampling-marched_coarse", lambda: marched(csg("tilted"), *SMALL, 12))
add("sampling-marched_step", lambda: marched(lambda p: np.where(ball(p, (0, 0, 0), 1) < 0, -1.0, 1.0), *SMALL, 40))

# ---- changed copies of given meshes

CHANGES = [
    ("rotated", lambda m: (m[0] @ rotation(3).T, m[1])),
    ("dec20", lambda m: decimated(m, 0.2)),
    ("dec05", lambda m: decimated(m, 0.05)),
    ("noise001", lambda m: noised(m, 0.01)),
    ("noise010", lambda m: noised(m, 0.1)),
    ("noise030", lambda m: noised(m, 0.3)),
    ("sheared", lambda m: (m[0] @ np.array([[1, 0.8, 0.3], [0, 1, 0.5], [0, 0, 1]]).T, m[1])),
    ("stretched", lambda m: (m[0] * (10, 1, 1), m[1])),
    ("flattened", lambda m: (m[0] * (1, 1, 0.1), m[1])),
    ("subdivided", lambda m: subdivided(m, 1)),
]


def load(path):
    v, f = [], []
    for line in open(path, errors="replace"):
        if line.startswith("v "):
            v.append([float(x) for x in line.split()[1:4]])
        elif line.startswith("f "):
            c = [int(t.split("/")[0]) for t in line.split()[1:]]
            c = [i - 1 if i > 0 else len(v) + i for i in c]
            f += [(c[0], c[i], c[i + 1]) for i in range(1, len(c) - 1)]
    return np.array(v), np.array(f)


def save(path, mesh):
    with open(path, "w") as file:
        file.writelines("v %.17g %.17g %.17g\n" % tuple(x) for x in mesh[0])
        file.writelines("f %d %d %d\n" % tuple(t) for t in np.asarray(mesh[1]) + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--from", dest="given", action="append", default=[])
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    zoo = list(ZOO)
    for folder in arguments.given:
        for i, path in enumerate(sorted(glob.glob(os.path.join(folder, "*.obj")))):
            name = os.path.splitext(os.path.basename(path))[0]
            for k in (i, i + 5):
                change, function = CHANGES[k % len(CHANGES)]
                zoo.append(("changed-%s_%s" % (name, change), lambda path=path, function=function: function(load(path))))
    for name, function in zoo:
        if arguments.only in name:
            mesh = function()
            save(os.path.join(arguments.out, name + ".obj"), mesh)
            print("%-36s %7d vertices %7d faces" % (name, len(mesh[0]), len(mesh[1])), flush=True)


if __name__ == "__main__":
    main()
