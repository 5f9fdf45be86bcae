"""Reads the run directories of store_sample with h5py and VTK and compares with what they must hold.
check_readers.py RUN AGAIN: the same run made twice. Exit code 77: no h5py."""
import glob
import os
import sys

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print("SKIPPED:", missing)
    sys.exit(77)

PARAMETERS = 4362562


def datasets(file):
    found = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def check_result(path):
    with h5py.File(path) as file:
        for name, data in datasets(file).items():
            for attribute in ("units", "long_name", "xxh64"):
                assert attribute in data.attrs, f"{name} has no {attribute}"
            compact = data.id.get_create_plist().get_layout() == h5py.h5d.COMPACT
            assert data.fletcher32 or compact, f"{name} has no checksum"
        theta, alpha, beta = (file["field"][name][:] for name in ("theta", "alpha", "beta"))
        faces, vertices = file["mesh/faces"][:], file["mesh/vertices"][:]
        assert theta.dtype == np.float32 and theta.shape == (len(faces),)
        assert alpha.shape == beta.shape == (len(faces), 3)
        assert np.allclose(np.linalg.norm(alpha, axis=1), 1, atol=1e-5)
        assert file["field/singularity_index"].dtype == np.int8
        assert file["field/singularity_index"][:].sum() == 4 * file.attrs["euler"]
        parameters = file["model/parameters"]
        assert parameters.shape == (PARAMETERS,) and parameters.compression is None
        assert np.array_equal(parameters[:5], np.sin(np.arange(5)).astype(np.float32))
        layout = file["model/layout"]
        shape, offset = layout["shape"][:], layout["offset"][:]
        assert layout["name"][0] == b"sdf.0.weight" and offset[0] == 0 and tuple(shape[0]) == (256, 3)
        assert np.array_equal(offset[1:], np.cumsum(shape.prod(axis=1))[:-1])
        assert offset[-1] + shape[-1].prod() == PARAMETERS
        history = file["train/history"]
        assert history.dtype.names[:3] == ("step", "total", "sdf") and history["seconds"][1] == 110
        assert "options.train.steps" in file["provenance"].attrs
        assert file["VTKHDF/CellData/theta"] == file["field/theta"]  # one dataset, two names
    return faces, vertices, alpha


def check_equal(first, second):
    """Equal runs: every dataset byte for byte, though the files were made at different times."""
    with h5py.File(first) as a, h5py.File(second) as b:
        mine, theirs = datasets(a), datasets(b)
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].attrs["xxh64"] == theirs[name].attrs["xxh64"], name
            assert mine[name][()].tobytes() == theirs[name][()].tobytes(), name


def check_vtk(path, faces, vertices, alpha):
    try:
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy
    except ImportError as missing:
        print("SKIPPED: VTK:", missing)
        return
    if not hasattr(vtk, "vtkHDFReader"):
        print("SKIPPED: VTK older than 9.1 has no vtkHDFReader")
        return
    reader = vtk.vtkHDFReader()
    assert reader.CanReadFile(path)
    reader.SetFileName(path)
    reader.Update()
    grid = reader.GetOutput()
    assert grid.GetNumberOfCells() == len(faces) and grid.GetNumberOfPoints() == len(vertices)
    assert np.array_equal(vtk_to_numpy(grid.GetPoints().GetData()), vertices)
    assert np.array_equal(vtk_to_numpy(grid.GetCells().GetConnectivityArray()).reshape(-1, 3), faces)
    assert all(grid.GetCellType(i) == vtk.VTK_TRIANGLE for i in range(grid.GetNumberOfCells()))
    cells = grid.GetCellData()
    names = {cells.GetArrayName(i) for i in range(cells.GetNumberOfArrays())}
    assert names == {"theta", "alpha", "beta", "sdf", "curvature_min", "curvature_max"}, names
    assert np.array_equal(vtk_to_numpy(cells.GetArray("alpha")), alpha)
    index = vtk_to_numpy(grid.GetPointData().GetArray("singularity_index"))
    assert index.sum() == 8
    print("VTK", vtk.vtkVersion().GetVTKVersion(), "reads", os.path.basename(path))


def check_index(run):
    with h5py.File(os.path.join(run, "index.h5")) as index:
        table = index["table"]
        names, status = table["mesh"].asstr()[:], table["status"].asstr()[:]
        assert index.attrs["finished"] == 3 and index.attrs["failed"] == 1 and index.attrs["unfinished"] == 1
        assert sorted(status) == ["failed", "finished", "finished", "finished", "unfinished"]
        assert np.isnan(table["loss_total"][list(names).index("broken-0badf00d")])
        for name in names[status == "finished"]:
            assert index["meshes"][name]["field/theta"].shape[0] > 0  # through the external link


def main():
    run, again = sys.argv[1:3]
    results = sorted(glob.glob(os.path.join(run, "meshes", "*.h5")))
    assert len(results) == 3
    for path in results:
        faces, vertices, alpha = check_result(path)
        check_vtk(path, faces, vertices, alpha)
        check_equal(path, os.path.join(again, "meshes", os.path.basename(path)))
    check_index(run)
    print("h5py", h5py.version.version, "with HDF5", h5py.version.hdf5_version, "reads all of it")


main()
