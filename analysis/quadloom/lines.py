"""Lines along a cross field, evenly spaced (Jobard and Lefer 1997), walked from triangle to triangle."""
import numpy as np

LONGEST = 400  # triangles per half line
CLOSEST = 0.6  # a line ends when another is nearer, in units of the spacing
NEAR_SAMPLES = 5  # samples of a line, half a spacing apart, that are too fresh to stand in its own way


def neighbours(faces):
    """F x 3: (face, its half-edge) across the edge opposite to corner k as one number 3 f + k, -1 at boundaries."""
    first, second = faces[:, [1, 2, 0]].ravel(), faces[:, [2, 0, 1]].ravel()
    low, high = np.minimum(first, second).astype(np.int64), np.maximum(first, second)
    key = low * (faces.max() + 1) + high
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[begins, len(ordered)])
    across = np.full(len(key), -1)
    pair = begins[counts == 2]
    across[order[pair]], across[order[pair + 1]] = order[pair + 1], order[pair]
    return across.reshape(-1, 3)


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)


class Tracer:
    def __init__(self, vertices, faces, alpha, beta, spacing):
        self.vertices, self.faces, self.spacing = vertices, faces, spacing
        self.alpha, self.beta = alpha.astype(float), beta.astype(float)
        self.across = neighbours(faces)
        self.corner = vertices[faces]
        normal = np.cross(self.corner[:, 1] - self.corner[:, 0], self.corner[:, 2] - self.corner[:, 0])
        square = np.maximum((normal ** 2).sum(1), 1e-300)[:, None]
        # gradients of the three barycentric coordinates
        self.gradient = np.stack([np.cross(normal, self.corner[:, (k + 2) % 3] - self.corner[:, (k + 1) % 3]) / square
                                  for k in range(3)], axis=1)
        edges = np.stack([self.corner[:, (k + 2) % 3] - self.corner[:, (k + 1) % 3] for k in range(3)], axis=1)
        self.edge, self.inward = _unit(edges), _unit(self.gradient)  # of the edge opposite to each corner
        self.taken = {}  # cell -> [(x, y, z, direction)]

    def cell(self, x, y, z):
        return int(x // self.spacing), int(y // self.spacing), int(z // self.spacing)

    def is_crowded(self, point, direction, distance):
        """A line in about the same direction is nearer than `distance`. (Plain numbers: quicker than tiny arrays.)"""
        x, y, z = point.tolist()
        u, v, w = direction.tolist()
        limit = distance * distance
        i, j, k = self.cell(x, y, z)
        for a in (i - 1, i, i + 1):
            for b in (j - 1, j, j + 1):
                for c in (k - 1, k, k + 1):
                    for px, py, pz, pu, pv, pw in self.taken.get((a, b, c), ()):
                        if (px - x) ** 2 + (py - y) ** 2 + (pz - z) ** 2 < limit and abs(pu * u + pv * v + pw * w) > 0.75:
                            return True
        return False

    def claim(self, samples):
        """Notes points of a line for the lines to come, and for itself when it comes round again."""
        for point, direction in samples:
            x, y, z = point.tolist()
            self.taken.setdefault(self.cell(x, y, z), []).append((x, y, z, *direction.tolist()))

    def follow(self, face, direction):
        """The direction of this face's cross that is nearest to `direction`."""
        a, b = self.alpha[face], self.beta[face]
        p, q = a @ direction, b @ direction
        return (a if p > 0 else -a) if abs(p) >= abs(q) else (b if q > 0 else -b)

    def unfold(self, direction, face, k, other):
        """Turns a direction about the shared edge (opposite to corner k) into the plane of the other face."""
        edge = self.edge[face, k]
        return edge * (direction @ edge) - self.inward[other // 3, other % 3] * (direction @ self.inward[face, k])

    def half_line(self, face, point, direction):
        """Points, faces and the samples not yet claimed (the first ones, next to the other half), until the boundary, a
        fold, or a line that is too near, perhaps itself."""
        points, faces, samples, weight = [point], [], [], np.full(3, 1 / 3)
        claimed = first = 2 * NEAR_SAMPLES
        for _ in range(LONGEST):
            rate = self.gradient[face] @ direction
            time = min(((-weight[k] / rate[k], k) for k in range(3) if rate[k] < -1e-12), default=None)
            if time is None:
                break
            time, k = time
            for part in np.arange(self.spacing / 4, time + self.spacing / 4, self.spacing / 2):
                sample = point + min(part, time) * direction
                if self.is_crowded(sample, direction, CLOSEST * self.spacing):
                    return points, faces, samples[:first] + samples[claimed:]
                samples.append((sample, direction))
            while claimed < len(samples) - NEAR_SAMPLES:
                self.claim(samples[claimed:claimed + 1])
                claimed += 1
            point = point + time * direction
            points.append(point)
            faces.append(face)
            other = int(self.across[face, k])
            if other < 0:
                break
            direction = self.follow(other // 3, self.unfold(direction, face, k, other))
            if not direction.any():
                break
            weight = weight + time * rate
            place = {int(self.faces[face, c]): weight[c] for c in range(3) if c != k}
            face = other // 3
            weight = np.array([place.get(int(vertex), 0.0) for vertex in self.faces[face]])
        return points, faces, samples[:first] + samples[claimed:]

    def line(self, face, direction):
        centre = self.corner[face].mean(0)
        if not direction.any() or self.is_crowded(centre, direction, self.spacing):
            return None
        ahead, ahead_faces, ahead_samples = self.half_line(face, centre, direction)
        behind, behind_faces, behind_samples = self.half_line(face, centre, -direction)
        self.claim(ahead_samples + behind_samples)
        points = behind[::-1] + ahead[1:]
        return (np.array(points), np.array(behind_faces[::-1] + ahead_faces)) if len(points) > 2 else None


def field_lines(vertices, faces, alpha, beta, spacing, seed=1):
    """List of (points n x 3, faces n - 1)."""
    tracer = Tracer(vertices, faces, alpha, beta, spacing)
    found = []
    for face in np.random.default_rng(seed).permutation(len(faces)):
        for direction in (tracer.alpha[face], tracer.beta[face]):
            line = tracer.line(face, direction)
            if line is not None:
                found.append(line)
    return found
