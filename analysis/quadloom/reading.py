"""Run directories and result files (docs/results.md says what is in them)."""
import csv
import glob
import io
import json
import os

import h5py
import numpy as np


def _plain(value):
    """HDF5 attribute as str, int or float."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value


class Result:
    """One finished mesh. Arrays are read when asked for; parts that the file does not have are None."""

    def __init__(self, path):
        self.path = path
        with h5py.File(path, "r") as file:
            self.summary = {name: _plain(value) for name, value in file.attrs.items()}
            self.parts = [name for name in file if name != "VTKHDF"]
        if self.summary.get("format") != "quadloom-result":
            raise ValueError(f"{path}: is not a result of quadloom")

    def read(self, name):
        """A dataset by its path in the file, None when there is none."""
        with h5py.File(self.path, "r") as file:
            return file[name][()] if name in file else None

    def attributes(self, name):
        with h5py.File(self.path, "r") as file:
            return {key: _plain(value) for key, value in file[name].attrs.items()} if name in file else {}

    name = property(lambda self: self.summary["mesh"])
    vertices = property(lambda self: self.read("mesh/vertices"))
    faces = property(lambda self: self.read("mesh/faces"))
    theta = property(lambda self: self.read("field/theta"))
    alpha = property(lambda self: self.read("field/alpha"))
    beta = property(lambda self: self.read("field/beta"))
    sdf = property(lambda self: self.read("field/sdf"))
    singularity_index = property(lambda self: self.read("field/singularity_index"))
    parameters = property(lambda self: self.read("model/parameters"))
    history = property(lambda self: self.read("train/history"))
    quad_vertices = property(lambda self: self.read("quads/vertices"))
    quads = property(lambda self: self.read("quads/faces"))
    quality = property(lambda self: self.attributes("quads/quality"))
    provenance = property(lambda self: self.attributes("provenance"))

    def parameter(self, name):
        """One tensor of the networks by its name in /model/layout, e.g. "sdf.0.weight"."""
        with h5py.File(self.path, "r") as file:
            layout = file["model/layout"]
            names = [entry.decode() for entry in layout["name"][()]]
            if name not in names:
                raise KeyError(f"{name}: not in /model/layout")
            k = names.index(name)
            first, shape = int(layout["offset"][k]), tuple(layout["shape"][k])
            flat = file["model/parameters"][first:first + shape[0] * shape[1]]
            return flat if shape[1] == 1 else flat.reshape(shape)

    def __repr__(self):
        return f"<quadloom result {self.name}: {self.summary.get('faces')} faces>"


class Table(dict):
    """Column name -> numpy array: float (NaN = not there) or str."""

    def __len__(self):
        return len(next(iter(self.values()))) if self.keys() else 0

    def where(self, keep):
        return Table((name, column[keep]) for name, column in self.items())

    @staticmethod
    def from_rows(rows):
        """Of dictionaries; a column is text when it is one of TEXTS or anything in it is no number."""
        table = Table()
        for name in dict.fromkeys(name for row in rows for name in row):
            cells = [row.get(name, "") for row in rows]
            try:
                if name in TEXTS:
                    raise ValueError
                table[name] = np.array([float(cell) if cell != "" else np.nan for cell in cells])
            except ValueError:
                table[name] = np.array([str(cell) for cell in cells], dtype=object)
        return table


# columns that stay text even when they look like numbers
TEXTS = {"mesh", "name", "status", "stage", "reason", "input", "mesh_hash", "options_hash", "preset", "engine", "seed",
         "date", "format"}


class Run:
    """A run directory, finished or not."""

    def __init__(self, path):
        self.path = path
        if not os.path.isdir(os.path.join(path, "meshes")):
            raise ValueError(f"{path}: is not a run directory of quadloom (it has no meshes/)")

    @property
    def finished(self):
        """Names (NAME-HASH8) of the finished meshes."""
        return sorted(self._files("meshes", ".h5"))

    def _files(self, folder, ending):
        """ID -> path of the files in a folder and, in a run of many meshes, the folders in it."""
        inside = os.path.join(glob.escape(self.path), folder)
        found = glob.glob(os.path.join(inside, "*" + ending)) + glob.glob(os.path.join(inside, "[0-9a-f][0-9a-f]", "*" + ending))
        return {os.path.basename(file)[:-len(ending)]: file for file in found}

    @property
    def failures(self):
        """Name -> what failures/NAME.json says."""
        found = {}
        for name, file in sorted(self._files("failures", ".json").items()):
            with io.open(file, encoding="utf-8") as stream:
                found[name] = json.load(stream)
        return found

    @property
    def table(self):
        """summary.csv; of a run that has none yet, the same from the finished results."""
        path = os.path.join(self.path, "summary.csv")
        if os.path.exists(path):
            with io.open(path, newline="", encoding="utf-8") as stream:
                return Table.from_rows(list(csv.DictReader(stream)))
        return Table.from_rows([self[name].summary for name in self.finished])

    def events(self):
        """Every event of every rank in order of time; torn lines are left out."""
        events = []
        for file in glob.glob(os.path.join(glob.escape(self.path), "events", "**", "*.jsonl"), recursive=True):
            with io.open(file, encoding="utf-8", errors="replace") as stream:
                for line in stream:
                    try:
                        events.append(dict(json.loads(line), log=os.path.basename(file)[:-6]))
                    except ValueError:
                        continue
        return sorted(events, key=lambda event: event.get("time", ""))

    def __getitem__(self, name):
        flat = os.path.join(self.path, "meshes", name + ".h5")
        part = os.path.join(self.path, "meshes", name.rpartition("-")[2][:2], name + ".h5")
        return Result(part if os.path.exists(part) else flat)

    def __iter__(self):
        return (self[name] for name in self.finished)

    def __len__(self):
        return len(self.finished)

    def __repr__(self):
        return f"<quadloom run {self.path}: {len(self)} finished>"


def open(path):  # noqa: A001 (quadloom.open is the promised name)
    """A run directory or a result file."""
    return Run(path) if os.path.isdir(path) else Result(path)
