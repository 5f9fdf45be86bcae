"""What quadloom left on disk, for Python: needs h5py and numpy, nothing of quadloom itself.

    import quadloom
    run = quadloom.open("RUN_DIR")
    run.table["loss_total"]              # a numpy array per column of summary.csv
    result = run["bunny-0123abcd"]       # or quadloom.open("RUN_DIR/meshes/bunny-0123abcd.h5")
    result.alpha, result.singularity_index, result.history["total"]

On the command line: python3 -m quadloom table|render|plot|compare|report (with analysis/ in PYTHONPATH).
"""
from .reading import Result, Run, Table, open

__all__ = ["Result", "Run", "Table", "open"]
