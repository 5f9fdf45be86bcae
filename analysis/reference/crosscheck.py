#!/usr/bin/env python3
"""The method in PyTorch, written as one would naturally write it: tables precomputed, derivatives by autograd.

    crosscheck.py check GOLDEN.h5... [--dtype float64]   equality with the golden numbers (parameters.h5 beside them)
    crosscheck.py bench MESH.obj [--steps N] [--json]    seconds per step, the opponent of `quadloom bench train`

It shares no code with the C engines, so that an error in one of them is seen. Needs python3-torch, python3-h5py,
python3-numpy and python3-scipy.
"""
import argparse
import json
import math
import os
import resource
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

WEIGHTS = {"sdf": 7000.0, "off": 600.0, "eikonal": 50.0, "normal": 3.0, "align": 10.0, "smooth": 30.0}
STAGES = [("e0", 256, 3), ("e1", 256, 4), ("e2", 256, 6), ("e3", 512, 3),
          ("d1", 512, 3), ("d2", 512, 4), ("d3", 512, 6), ("h", 512, 3)]


# ---- tables ----

def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-300)


def frames(normals):
    """u, v for each normal: the component of smallest size is left out (the first one on ties)."""
    u = np.zeros_like(normals)
    smallest = np.argmin(np.abs(normals), axis=1)
    rows = np.arange(len(normals))
    a, b = np.array([[1, 2], [0, 2], [0, 1]])[smallest].T
    u[rows, a] = normals[rows, b]
    u[rows, b] = -normals[rows, a]
    v = np.cross(normals, u)
    return u / (np.linalg.norm(u, axis=1, keepdims=True) + 1e-12), v / (np.linalg.norm(v, axis=1, keepdims=True) + 1e-12)


def neighbours(faces):
    """Pairs (i, j, edge) of faces across edges that exactly two faces share, sorted by i."""
    corners = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, inverse, count = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    order = order[count[inverse.reshape(-1)[order]] == 2].reshape(-1, 2)
    i = np.concatenate([order[:, 0], order[:, 1]])
    j = np.concatenate([order[:, 1], order[:, 0]])
    edge = edges[inverse.reshape(-1)[i]]
    by_face = np.argsort(i, kind="stable")
    return i[by_face] // 3, j[by_face] // 3, edge[by_face]


def transport_angles(normals, u, v, i, j):
    """Angle in the frame of i of u_j after the rotation about the shared edge that takes n_j to n_i."""
    axis = np.cross(normals[j], normals[i])
    sine = np.linalg.norm(axis, axis=1)
    cosine = np.sum(normals[j] * normals[i], axis=1)
    axis = np.where(sine[:, None] > 1e-12, axis / np.maximum(sine, 1e-300)[:, None], 0.0)
    uj = u[j]
    along = np.sum(axis * uj, axis=1, keepdims=True) * axis
    turned = along + (uj - along) * cosine[:, None] + np.cross(axis, uj) * sine[:, None]
    return np.arctan2(np.sum(turned * v[i], axis=1), np.sum(turned * u[i], axis=1))


def build_tables(vertices, faces):
    corners = vertices[faces]
    centroids = corners.mean(axis=1)
    points = centroids - centroids.mean(axis=0)
    points /= np.abs(points).max()
    normals = unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    u, v = frames(normals)
    i, j, _ = neighbours(faces)
    return {"points": points, "normals": normals, "u": u, "v": v, "i": i, "j": j,
            "transport": transport_angles(normals, u, v, i, j)}


def read_obj(path):
    vertices, faces = [], []
    with open(path) as lines:
        for line in lines:
            words = line.split()
            if words[:1] == ["v"]:
                vertices.append([float(x) for x in words[1:4]])
            elif words[:1] == ["f"]:
                corner = [int(w.split("/")[0]) - 1 for w in words[1:]]
                faces += [[corner[0], corner[k], corner[k + 1]] for k in range(1, len(corner) - 1)]
    return np.array(vertices), np.array(faces)


def group_shares(count, i):
    """Share of each face in the mean of E_align: over the faces of each number of neighbours, then over those groups."""
    number = np.bincount(i, minlength=count)
    members = np.bincount(number, minlength=4)
    groups = np.count_nonzero(members[1:])
    share = np.where(number > 0, 1.0 / (groups * np.maximum(members[number], 1)), 0.0)
    return share, share / np.maximum(number, 1)


# ---- networks ----

def sdf_network(p, x):
    for layer in range(5):
        x = torch.sin(30 * F.linear(x, p[f"sdf.{layer}.weight"], p[f"sdf.{layer}.bias"]))
    return F.linear(x, p["sdf.5.weight"], p["sdf.5.bias"]).squeeze(-1)


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], 1e-6)


def tail(p, name, x):
    return linear(p, name + ".tail.linear", norm(p, name + ".tail.norm", x))


def block(p, name, x, drop):
    if drop == 0:
        return F.relu(x)
    y = F.relu(norm(p, name + ".norm1", linear(p, name + ".down", x)))
    y = F.relu(norm(p, name + ".norm2", linear(p, name + ".mid", y)))
    return F.relu(x + p[name + ".gamma"] * drop * linear(p, name + ".up", y))


def angle_network(p, inputs, drop):
    factors = iter(drop)

    def stage(name, x):
        for k in range(dict((s, n) for s, _, n in STAGES)[name]):
            x = block(p, f"angle.{name}.{k}", x, next(factors))
        return x

    e0 = stage("e0", norm(p, "angle.in.norm", linear(p, "angle.in.linear", inputs)))
    e1 = stage("e1", e0)
    e2 = stage("e2", e1)
    e3 = stage("e3", norm(p, "angle.widen.norm", linear(p, "angle.widen.linear", e2)))
    d0 = tail(p, "angle.d0", e3)
    d1 = tail(p, "angle.d1", stage("d1", torch.cat([e2, d0], -1)))
    d2 = tail(p, "angle.d2", stage("d2", torch.cat([e1, d1], -1)))
    d3 = tail(p, "angle.d3", stage("d3", torch.cat([e0, d2], -1)))
    s = [tail(p, f"angle.s{k}", d) for k, d in enumerate((d0, d1, d2))]
    h = tail(p, "angle.h", stage("h", torch.cat([d3, s[2], s[1], s[0]], -1)))
    g = linear(p, "angle.out.linear", F.gelu(linear(p, "angle.out.hidden", norm(p, "angle.out.norm", h))))
    return 2 * math.pi * g.squeeze(-1)


def draw_drop(generator):
    rates = [0.1 * (b % 16) / 15 for b in range(32)]
    draws = torch.rand(32, generator=generator).tolist()
    return [0.0 if x < r else 1 / (1 - r) for x, r in zip(draws, rates)]


# ---- loss ----

def normalised(x):
    return x / (x.norm(dim=-1, keepdim=True) + 1e-12)


class Problem:
    """Tables of a mesh as tensors."""

    def __init__(self, tables, dtype):
        as_tensor = lambda x: torch.tensor(np.asarray(x), dtype=dtype)
        self.points, self.normals, self.u, self.v = (as_tensor(tables[k]) for k in ("points", "normals", "u", "v"))
        self.transport = as_tensor(tables["transport"])
        self.i, self.j = (torch.tensor(np.asarray(tables[k]), dtype=torch.int64) for k in ("i", "j"))
        self.inputs = torch.cat([self.points, self.normals, self.u, self.v], 1)
        self.align_share, smooth = group_shares(len(self.points), np.asarray(tables["i"]))
        self.align_share, self.smooth_share = as_tensor(self.align_share), as_tensor(smooth)

    def fields(self, p, off_points, drop):
        """Outputs of both networks: f, gradient and Hessian on the surface, f and gradient off it, theta."""
        surface = self.points.clone().requires_grad_(True)
        off = off_points.clone().requires_grad_(True)
        f, f_off = sdf_network(p, surface), sdf_network(p, off)
        g, = torch.autograd.grad(f.sum(), surface, create_graph=True)
        g_off, = torch.autograd.grad(f_off.sum(), off, create_graph=True)
        hessian = torch.stack([torch.autograd.grad(g[:, c].sum(), surface, create_graph=True)[0] for c in range(3)], -1)
        return {"sdf": f, "gradient": g, "hessian": hessian, "off_sdf": f_off, "off_gradient": g_off,
                "theta": angle_network(p, self.inputs, drop)}

    def terms(self, out):
        h, theta = out["hessian"], out["theta"][:, None]
        alpha = normalised(self.u * torch.cos(theta) + self.v * torch.sin(theta))
        beta = normalised(self.v * torch.cos(theta) - self.u * torch.sin(theta))
        times = lambda x: torch.einsum("fij,fj->fi", h, x)
        crossed = lambda x: torch.cross(times(x), x, dim=-1).abs().mean(-1)
        length = torch.cat([out["off_gradient"], out["gradient"]]).norm(dim=-1)
        delta = out["theta"][self.j] + self.transport - out["theta"][self.i]
        pair = 2 * (delta.cos().abs() + delta.sin().abs()) - 2
        return {"sdf": out["sdf"].abs().mean(), "off": torch.exp(-100 * out["off_sdf"].abs()).mean(),
                "eikonal": (length - 1).abs().mean(), "normal": 0.5 * times(self.normals).abs().mean(),
                "align": (0.5 * (crossed(alpha) + crossed(beta)) * self.align_share).sum(),
                "smooth": (pair * self.smooth_share[self.i]).sum()}


def total_of(terms):
    return sum(WEIGHTS[k] * terms[k] for k in terms)


# ---- golden ----

def relative(a, b):
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def load_parameters(path, dtype):
    import h5py
    with h5py.File(path, "r") as file:
        flat, names = file["flat"][:], [n.decode() for n in file["layout/name"][:]]
        offsets, shapes = file["layout/offset"][:], file["layout/shape"][:]
    parameters = {}
    for name, offset, (rows, columns) in zip(names, offsets, shapes):
        array = torch.tensor(flat[offset:offset + rows * columns], dtype=dtype)
        parameters[name] = (array.reshape(rows, columns) if name.endswith("weight") and "norm" not in name
                            else array).requires_grad_(True)
    return parameters


def check_file(path, dtype):
    import h5py
    p = load_parameters(os.path.join(os.path.dirname(path) or ".", "parameters.h5"), dtype)
    with h5py.File(path, "r") as file:
        tables = {k: file["tables/" + k][:] for k in ("points", "normals", "u", "v", "transport")}
        pointers = file["tables/neighbour_ptr"][:]
        tables["i"] = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
        tables["j"] = file["tables/neighbour"][:]
        own = build_tables(file["mesh/vertices"][:].astype(np.float64), file["mesh/faces"][:])
        off_points = torch.tensor(file["off_points"][:], dtype=dtype)
        step0 = {k: file["step0/" + k][:] for k in file["step0"]}
        losses = {k[5:]: v for k, v in file["step0"].attrs.items() if k.startswith("loss_")}
        yardstick = dict(file["float32_error"].attrs)
    problem = Problem(tables, dtype)
    out = problem.fields(p, off_points, [1.0] * 32)
    terms = problem.terms(out)
    total = total_of(terms)
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(total, list(p.values()))])
    double = dtype == torch.float64
    rows = [(k, relative(own[k], tables[k]), 2e-6) for k in ("points", "normals", "u", "v")]
    for k, value in {**out, "parameter_gradient": gradient}.items():
        room = (3e-7 if k == "parameter_gradient" else 1e-9) if double else 3 * yardstick[k]
        rows.append((k, relative(value.detach(), step0[k]), room))
    for k, value in {**terms, "total": total}.items():
        # rounding of far-field phases in float32 reaches E_off: the program's own error is as large
        room = (1e-7 if k in ("smooth", "total") else 1e-9) if double else (3e-5 if k == "off" else 2e-6)
        rows.append(("loss_" + k, abs(value.item() - losses[k]) / abs(losses[k]), room))
    return rows


def check(arguments):
    failed = 0
    for path in arguments.files:
        for name, error, room in check_file(path, getattr(torch, arguments.dtype)):
            failed += error > room
            print(f"{os.path.basename(path):16} {arguments.dtype} {name:20} {error:9.2e} (<= {room:.1e})"
                  f"{'' if error <= room else '  OUTSIDE'}")
    return 1 if failed else 0


# ---- speed ----

def initial_parameters(dtype, generator):
    p = {}

    def add(name, *shape, bound=None, deviation=None, value=0.0):
        x = torch.full(shape, value, dtype=dtype)
        if bound is not None:
            x.uniform_(-bound, bound, generator=generator)
        if deviation is not None:
            x.normal_(0, deviation, generator=generator)
        p[name] = x.requires_grad_(True)

    def add_linear(name, inputs, outputs):
        add(name + ".weight", outputs, inputs, deviation=0.02)
        add(name + ".bias", outputs)

    def add_norm(name, width):
        add(name + ".weight", width, value=1.0)
        add(name + ".bias", width)

    for layer in range(6):
        inputs, outputs = (3 if layer == 0 else 256), (1 if layer == 5 else 256)
        add(f"sdf.{layer}.weight", outputs, inputs, bound=1 / 3 if layer == 0 else math.sqrt(6 / 256) / 30)
        add(f"sdf.{layer}.bias", outputs, bound=1 / math.sqrt(inputs))
    for name, inputs, outputs in (("angle.in", 12, 256), ("angle.widen", 256, 512)):
        add_linear(name + ".linear", inputs, outputs)
        add_norm(name + ".norm", outputs)
    for stage, width, count in STAGES:
        for k in range(count):
            name = f"angle.{stage}.{k}"
            for part, inputs, outputs in (("down", width, width // 4), ("mid", width // 4, width // 4),
                                          ("up", width // 4, width)):
                add_linear(f"{name}.{part}", inputs, outputs)
            add_norm(name + ".norm1", width // 4)
            add_norm(name + ".norm2", width // 4)
            add(name + ".gamma", width, value=1e-6)
    for name, inputs, outputs in (("d0", 512, 256), ("d1", 512, 256), ("d2", 512, 256), ("d3", 512, 128),
                                  ("s0", 256, 128), ("s1", 256, 128), ("s2", 256, 128), ("h", 512, 128)):
        add_norm(f"angle.{name}.tail.norm", inputs)
        add_linear(f"angle.{name}.tail.linear", inputs, outputs)
    add_norm("angle.out.norm", 128)
    add_linear("angle.out.hidden", 128, 32)
    add_linear("angle.out.linear", 32, 1)
    return p


def bench(arguments):
    dtype = getattr(torch, arguments.dtype)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(1)
    problem = Problem(build_tables(*read_obj(arguments.mesh)), dtype)
    p = initial_parameters(dtype, generator)
    optimiser = torch.optim.Adam(p.values(), lr=5e-5)
    seconds, processor = [], []
    for step in range(arguments.steps + 1):
        begin, cpu = time.perf_counter(), time.process_time()
        off = (2 * torch.rand(arguments.off_points, 3, generator=generator, dtype=dtype) - 1) * 256
        total = total_of(problem.terms(problem.fields(p, off, draw_drop(generator))))
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), 10.0)
        optimiser.step()
        if step > 0:
            seconds.append(time.perf_counter() - begin)
            processor.append(time.process_time() - cpu)
    report = {"faces": len(problem.points), "off_points": arguments.off_points, "backend": "torch " + torch.__version__,
              "precision": arguments.dtype, "threads": torch.get_num_threads(), "steps": arguments.steps,
              "s_per_step": statistics.median(seconds), "s_per_step_min": min(seconds),
              "cpu_s_per_step": statistics.median(processor),
              "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    print(json.dumps(report) if arguments.json else "\n".join(f"{k:16} {v}" for k, v in report.items()))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("check", help="compare with golden files")
    command.add_argument("files", nargs="+")
    command.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    command.set_defaults(run=check)
    command = commands.add_parser("bench", help="time training steps")
    command.add_argument("mesh")
    command.add_argument("--steps", type=int, default=20)
    command.add_argument("--off-points", type=int, default=15000)
    command.add_argument("--threads", type=int, default=0)
    command.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    command.add_argument("--json", action="store_true")
    command.set_defaults(run=bench)
    arguments = parser.parse_args()
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
