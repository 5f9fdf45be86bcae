#!/usr/bin/python3
"""Cross-check in PyTorch: the method of docs/method.md written in the most natural fast way, nested automatic differentiation and
all. It is not used by quadloom; it is what quadloom is compared with, for numbers and for speed.

    neurcross.py golden FILE.h5... [--double]          against golden files: outputs, losses, gradient, two Adam steps
    neurcross.py bench --mesh FILE [--steps N] [...]   seconds per step on this machine, one JSON object
    neurcross.py train --mesh FILE --steps N -o FIELD.txt

Needs python3-torch, python3-numpy, python3-scipy, python3-h5py. Tune as one would: OMP_WAIT_POLICY=passive and, where the environment
pins OpenBLAS to an old kernel, unset OPENBLAS_CORETYPE.
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
from torch import nn
from torch.nn import functional as F

WEIGHTS = {"sdf": 7000.0, "off": 600.0, "eikonal": 50.0, "normal": 3.0, "align": 10.0, "smooth": 30.0}


# ---- tables (section 1) ----

class Tables:
    """Arrays of a mesh in numpy, double: points, normals, u, v (F x 3), sigma (F), pairs (i, j), transport (per pair)."""

    def __init__(self, vertices, faces, with_sigma=True):
        corner = vertices[faces]
        centroid = corner.mean(1)
        self.center = centroid.mean(0)
        self.scale = np.abs(centroid - self.center).max()
        self.points = (centroid - self.center) / self.scale
        n = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        length = np.linalg.norm(n, axis=1, keepdims=True)
        self.normals = np.divide(n, length, out=np.zeros_like(n), where=length > 0)
        self.u, self.v = frames(self.normals)
        if with_sigma:
            from scipy.spatial import cKDTree
            self.sigma = cKDTree(self.points).query(self.points, min(51, len(faces)))[0][:, -1]
        self._neighbours(vertices, faces)

    def _neighbours(self, vertices, faces):
        half = np.stack([faces, np.roll(faces, -1, 1)], 2).reshape(-1, 2)
        key = np.sort(half, 1)
        _, edge, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
        order = np.argsort(edge, kind="stable")
        two = order[np.repeat(count == 2, count)].reshape(-1, 2)
        i, j = np.concatenate([two[:, 0], two[:, 1]]), np.concatenate([two[:, 1], two[:, 0]])
        axis = vertices[half[i, 1]] - vertices[half[i, 0]]
        axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-300)
        self.i, self.j = i // 3, j // 3
        ni, nj, uj = self.normals[self.i], self.normals[self.j], self.u[self.j]
        cos, sin = (ni * nj).sum(1, keepdims=True), (np.cross(nj, ni) * axis).sum(1, keepdims=True)
        turned = uj * cos + np.cross(axis, uj) * sin + axis * (axis * uj).sum(1, keepdims=True) * (1 - cos)
        self.transport = np.arctan2((turned * self.v[self.i]).sum(1), (turned * self.u[self.i]).sum(1))


def frames(n):
    least = np.abs(n).argmin(1)
    a, b, rows = np.where(least == 0, 1, 0), np.where(least == 2, 1, 2), np.arange(len(n))
    u = np.zeros_like(n)
    u[rows, a], u[rows, b] = n[rows, b], -n[rows, a]
    v = np.cross(n, u)
    return tuple(x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-12) for x in (u, v))


# ---- networks (section 2) ----

class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(30 * x)


def sdf_network():
    layers = [nn.Linear(3, 256), Sine()]
    for _ in range(4):
        layers += [nn.Linear(256, 256), Sine()]
    net = nn.Sequential(*layers, nn.Linear(256, 1))
    with torch.no_grad():
        for k, layer in enumerate(m for m in net if isinstance(m, nn.Linear)):
            bound = 1 / 3 if k == 0 else math.sqrt(6 / 256) / 30
            layer.weight.uniform_(-bound, bound)
    return net


class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        q = d // 4
        self.down, self.norm1 = nn.Linear(d, q), nn.LayerNorm(q, eps=1e-6)
        self.mid, self.norm2 = nn.Linear(q, q), nn.LayerNorm(q, eps=1e-6)
        self.up, self.gamma = nn.Linear(q, d), nn.Parameter(torch.full((d,), 1e-6))
        self.drop = 1.0  # factor on the branch in this step

    def forward(self, x):
        if self.drop == 0:
            return F.relu(x)
        y = F.relu(self.norm1(self.down(x)))
        y = F.relu(self.norm2(self.mid(y)))
        return F.relu(x + self.gamma * self.drop * self.up(y))


def stage(d, count):
    return nn.Sequential(*(Block(d) for _ in range(count)))


def tail(d, out):
    return nn.Sequential(nn.LayerNorm(d, eps=1e-6), nn.Linear(d, out))


class AngleNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(12, 256), nn.LayerNorm(256, eps=1e-6))
        self.e0, self.e1, self.e2 = stage(256, 3), stage(256, 4), stage(256, 6)
        self.widen = nn.Sequential(nn.Linear(256, 512), nn.LayerNorm(512, eps=1e-6))
        self.e3, self.d0 = stage(512, 3), tail(512, 256)
        self.d1, self.t1 = stage(512, 3), tail(512, 256)
        self.d2, self.t2 = stage(512, 4), tail(512, 256)
        self.d3, self.t3 = stage(512, 6), tail(512, 128)
        self.s = nn.ModuleList(tail(256, 128) for _ in range(3))
        self.h, self.th = stage(512, 3), tail(512, 128)
        self.out = nn.Sequential(nn.LayerNorm(128, eps=1e-6), nn.Linear(128, 32), nn.GELU(), nn.Linear(32, 1))
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.02)
                nn.init.zeros_(m.bias)
        stages = [self.e0, self.e1, self.e2, self.e3], [self.d1, self.d2, self.d3, self.h]
        self.rates = [(b, 0.1 * k / 15) for half in stages for k, b in enumerate(b for s in half for b in s)]

    def draw_depth(self, enabled):
        for block, rate in self.rates:
            block.drop = 1.0 if not enabled else 0.0 if torch.rand(()).item() < rate else 1 / (1 - rate)

    def forward(self, x):
        e0 = self.e0(self.stem(x))
        e1 = self.e1(e0)
        e2 = self.e2(e1)
        d0 = self.d0(self.e3(self.widen(e2)))
        d1 = self.t1(self.d1(torch.cat([e2, d0], 1)))
        d2 = self.t2(self.d2(torch.cat([e1, d1], 1)))
        d3 = self.t3(self.d3(torch.cat([e0, d2], 1)))
        h = self.th(self.h(torch.cat([d3, self.s[2](d2), self.s[1](d1), self.s[0](d0)], 1)))
        return 2 * math.pi * self.out(h)[:, 0]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.sdf, self.angle = sdf_network(), AngleNetwork()
        a = self.angle
        order = [self.sdf, a.stem, a.e0, a.e1, a.e2, a.widen, a.e3, a.d0, a.d1, a.t1, a.d2, a.t2, a.d3, a.t3, *a.s, a.h, a.th, a.out]
        self.flat = []  # parameters in the order of the flat array
        for module in order:
            for m in module.modules():
                if isinstance(m, Block):
                    continue
                if isinstance(m, (nn.Linear, nn.LayerNorm)):
                    self.flat += [m.weight, m.bias]
                    owner = next((b for b, _ in a.rates if b.up is m), None)
                    if owner is not None:
                        self.flat.append(owner.gamma)

    def load(self, flat):
        at = 0
        with torch.no_grad():
            for p in self.flat:
                p.copy_(flat[at:at + p.numel()].view_as(p))
                at += p.numel()
        assert at == len(flat) == 4362562


# ---- loss (section 3) ----

def norm3(x):
    return x / (x.norm(dim=1, keepdim=True) + 1e-12)


class Loss:
    """All terms for one set of tables; grouped averages of the reference preset when grouped, else means over faces."""

    def __init__(self, points, normals, u, v, i, j, transport, grouped, dtype):
        as_tensor = lambda x: torch.as_tensor(np.asarray(x), dtype=dtype)
        self.points, self.normals, self.u, self.v = map(as_tensor, (points, normals, u, v))
        self.inputs = torch.cat([self.points, self.normals, self.u, self.v], 1)
        self.i, self.j, self.transport = torch.as_tensor(i.astype(np.int64)), torch.as_tensor(j.astype(np.int64)), as_tensor(transport)
        faces, count = len(points), np.bincount(i, minlength=len(points))
        if grouped:
            groups = [c for c in (1, 2, 3) if (count == c).any()]
            align = np.zeros(faces)
            for c in groups:
                align[count == c] = 1 / (len(groups) * (count == c).sum())
            smooth = (align / np.maximum(count, 1))[i]
        else:
            align, smooth = np.full(faces, 1 / faces), np.full(len(i), 1 / max(len(i), 1))
        self.align_share, self.smooth_share = as_tensor(align), as_tensor(smooth)

    def outputs(self, model, off):
        p, q = self.points.clone().requires_grad_(), off.clone().requires_grad_()
        f, f_off = model.sdf(p)[:, 0], model.sdf(q)[:, 0]
        g = torch.autograd.grad(f.sum(), p, create_graph=True)[0]
        g_off = torch.autograd.grad(f_off.sum(), q, create_graph=True)[0]
        h = torch.stack([torch.autograd.grad(g[:, c].sum(), p, create_graph=True)[0] for c in range(3)], 2)
        return f, g, h, f_off, g_off, model.angle(self.inputs)

    def terms(self, f, g, h, f_off, g_off, theta):
        cos, sin = torch.cos(theta)[:, None], torch.sin(theta)[:, None]
        alpha, beta = norm3(self.u * cos + self.v * sin), norm3(self.v * cos - self.u * sin)
        eikonal = (torch.cat([g_off, g]).norm(dim=1) - 1).abs().mean()
        bent = [torch.einsum("ij,ijk->ik", d, h) for d in (self.normals, alpha, beta)]
        turn = [torch.cross(x, d, dim=1).abs().mean(1) for x, d in zip(bent[1:], (alpha, beta))]
        delta = theta[self.j] + self.transport - theta[self.i]
        return {"sdf": f.abs().mean(), "off": torch.exp(-100 * f_off.abs()).mean(), "eikonal": eikonal,
                "normal": 0.5 * bent[0].abs().mean(), "align": 0.5 * (self.align_share * (turn[0] + turn[1])).sum(),
                "smooth": (self.smooth_share * (2 * (delta.cos().abs() + delta.sin().abs()) - 2)).sum()}


def normal_weight(step, steps):
    if step == 0:
        return 3.0
    t = (step - 1) / steps
    return 3.0 if t < 0.2 else 3 + (0.001 - 3) * (t - 0.2) / 0.2 if t < 0.4 else 0.001 * (1 - (t - 0.4) / 0.6)


def train_step(model, loss, optimiser, off, step=0, steps=10000):
    """One step; -> weighted total, terms (dict of tensors), gradient norm."""
    terms = loss.terms(*loss.outputs(model, off))
    weights = {**WEIGHTS, "normal": normal_weight(step, steps)}
    total = sum(weights[k] * terms[k] for k in terms)
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    norm = nn.utils.clip_grad_norm_(model.flat, 10.0)
    optimiser.step()
    return total, terms, norm


# ---- commands ----

def relative(ours, truth):
    ours, truth = np.asarray(ours, dtype=float), np.asarray(truth, dtype=float)
    return float(np.linalg.norm(ours - truth) / np.linalg.norm(truth))


def check_golden(path, double):
    import h5py
    dtype = torch.float64 if double else torch.float32
    with h5py.File(os.path.join(os.path.dirname(path), "parameters.h5")) as f:
        flat = torch.as_tensor(f["flat"][:])
    with h5py.File(path) as f:
        t, s = f["tables"], f["step0"]
        ptr = t["neighbour_ptr"][:]
        i = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        loss = Loss(t["points"][:], t["normals"][:], t["u"][:], t["v"][:], i, t["neighbour"][:], t["transport"][:], True, dtype)
        ours = Tables(f["mesh/vertices"][:].astype(float), f["mesh/faces"][:])
        truth = {k: s[k][:] for k in ("sdf", "gradient", "hessian", "off_sdf", "off_gradient", "theta")}
        truth_terms = {k: s.attrs["loss_" + k] for k in WEIGHTS}
        error = {k: 3 * v for k, v in f["float32_error"].attrs.items()}
        gradient, trajectory = s["parameter_gradient"][:], f["trajectory/float64"][:3]
        own = dict(zip(WEIGHTS, 3 * np.abs(f["trajectory/float32"][0, 1:7] / trajectory[0, 1:7] - 1)))  # plain float32 arithmetic
        off = torch.as_tensor(f["off_points"][:], dtype=dtype)
        table_errors = {k: relative(getattr(ours, k), t[k][:]) for k in ("points", "normals", "u", "v", "sigma")}
    model = Model().to(dtype)
    model.load(flat)
    model.angle.draw_depth(False)
    lines = [("table " + k, v, 2e-6) for k, v in table_errors.items()]
    out = loss.outputs(model, off)
    for name, x in zip(("sdf", "gradient", "hessian", "off_sdf", "off_gradient", "theta"), out):
        lines.append((name, relative(x.detach(), truth[name]), 1e-9 if double else error[name]))
    optimiser = torch.optim.Adam(model.flat, lr=5e-5)
    for step in range(3):
        terms = loss.terms(*loss.outputs(model, off))
        total = sum(WEIGHTS[k] * terms[k] for k in terms)
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        if step == 0:
            flat_gradient = torch.cat([p.grad.flatten() for p in model.flat])
            lines.append(("parameter_gradient", relative(flat_gradient, gradient), 3e-7 if double else error["parameter_gradient"]))
            lines += [("loss_" + k, relative(terms[k].item(), truth_terms[k]), (1e-7 if k == "smooth" else 1e-9) if double else max(2e-6, own[k])) for k in terms]
        else:
            lines.append((f"step {step} total", relative(total.item(), trajectory[step][0]), (0, 1e-5, 1e-4)[step]))
        nn.utils.clip_grad_norm_(model.flat, 10.0)
        optimiser.step()
    bad = [line for line in lines if not line[1] <= line[2]]
    for name, value, bar in lines:
        print("  %-20s %9.2e  (<= %8.1e)%s" % (name, value, bar, "" if value <= bar else "  OUTSIDE"))
    print("%s: %d of %d inside" % (path, len(lines) - len(bad), len(lines)))
    return not bad


def load_mesh(path):
    if path.endswith(".h5"):
        import h5py
        with h5py.File(path) as f:
            return f["mesh/vertices"][:].astype(float), f["mesh/faces"][:]
    vertices, faces = [], []
    with open(path) as lines:
        for line in lines:
            if line.startswith("v "):
                vertices.append([float(x) for x in line.split()[1:4]])
            elif line.startswith("f "):
                faces.append([int(x.split("/")[0]) - 1 for x in line.split()[1:4]])
    return np.array(vertices), np.array(faces)


class Session:
    """A training of a mesh that can be stepped: used by bench, train, and by scripts that alternate with quadloom."""

    def __init__(self, path, off_points=15000, preset="reference", threads=0, seed=1, device="cpu", steps=10000):
        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
        torch.manual_seed(seed)
        self.tables = Tables(*load_mesh(path), with_sigma=preset == "quality")
        t = self.tables
        self.loss = Loss(t.points, t.normals, t.u, t.v, t.i, t.j, t.transport, preset == "reference", torch.float32)
        self.model = Model()
        self.preset, self.off_points, self.device, self.step, self.steps = preset, off_points, torch.device(device), 0, steps
        if device != "cpu":
            self.model.to(device)
            for name, value in vars(self.loss).items():
                setattr(self.loss, name, value.to(device))
        self.optimiser = torch.optim.Adam(self.model.flat, lr=5e-5)

    def draw(self):
        if self.preset == "reference":
            return (torch.rand(self.off_points, 3, device=self.device) * 2 - 1) * 256
        near = self.off_points // 2
        pick = torch.randint(len(self.tables.points), (near,), device=self.device)
        sigma = torch.as_tensor(self.tables.sigma, dtype=torch.float32, device=self.device)
        close = self.loss.points[pick] + sigma[pick, None] * torch.randn(near, 3, device=self.device)
        return torch.cat([close, (torch.rand(self.off_points - near, 3, device=self.device) * 2 - 1) * 1.1])

    def run_step(self):
        self.model.angle.draw_depth(True)
        result = train_step(self.model, self.loss, self.optimiser, self.draw(), self.step, self.steps)
        self.step += 1
        return result


def bench(arguments):
    session = Session(arguments.mesh, arguments.off_points, arguments.preset, arguments.threads, device=arguments.device)
    wait = torch.cuda.synchronize if arguments.device != "cpu" else lambda: None
    seconds, processor = [], []
    for step in range(arguments.steps + 2):
        began, began_processor = time.perf_counter(), time.process_time()
        session.run_step()
        wait()
        if step >= 2:
            seconds.append(time.perf_counter() - began)
            processor.append(time.process_time() - began_processor)
    print(json.dumps({"faces": len(session.tables.points), "off_points": arguments.off_points, "backend": "torch " + torch.__version__,
                      "precision": "float32", "threads": torch.get_num_threads(), "device": arguments.device, "steps": arguments.steps,
                      "s_per_step": statistics.median(seconds), "s_per_step_min": min(seconds), "cpu_s_per_step": statistics.median(processor),
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def train(arguments):
    session = Session(arguments.mesh, arguments.off_points, arguments.preset, arguments.threads, arguments.seed, steps=arguments.steps)
    for step in range(arguments.stop_after or arguments.steps):
        total, terms, norm = session.run_step()
        if step % 10 == 0:
            print(step, "%.5g" % total.item(), " ".join("%s %.4g" % (k, v.item()) for k, v in terms.items()), flush=True)
    session.model.angle.draw_depth(False)
    with torch.no_grad():
        theta = session.model.angle(session.loss.inputs).cpu().numpy()[:, None]
    t = session.tables
    np.savetxt(arguments.output, np.hstack([t.u * np.cos(theta) + t.v * np.sin(theta), t.v * np.cos(theta) - t.u * np.sin(theta)]), fmt="%.9g")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    golden = commands.add_parser("golden")
    golden.add_argument("files", nargs="+")
    golden.add_argument("--double", action="store_true")
    for name in ("bench", "train"):
        sub = commands.add_parser(name)
        sub.add_argument("--mesh", required=True, help="OBJ with triangles, or a golden .h5")
        sub.add_argument("--steps", type=int, default=20)
        sub.add_argument("--off-points", type=int, default=15000)
        sub.add_argument("--preset", choices=("reference", "quality"), default="reference")
        sub.add_argument("--threads", type=int, default=0)
        sub.add_argument("--device", default="cpu")
        if name == "train":
            sub.add_argument("--stop-after", type=int, default=0)
            sub.add_argument("--seed", type=int, default=1)
            sub.add_argument("-o", "--output", required=True)
    arguments = parser.parse_args()
    if arguments.command == "golden":
        sys.exit(0 if all([check_golden(path, arguments.double) for path in arguments.files]) else 1)
    (bench if arguments.command == "bench" else train)(arguments)


if __name__ == "__main__":
    main()
