"""same_results.py A B [ID]...: the meshes of two run directories have the same bytes in /field, /model and /quads.
With IDs only those (names without hash suffice); otherwise both must hold the same meshes."""
import pathlib
import sys

import h5py


def datasets(path):
    found = {}
    with h5py.File(path, "r") as file:
        for part in {"field", "model", "quads"} & set(file):
            file[part].visititems(
                lambda name, item, part=part: found.update({f"{part}/{name}": (item.dtype, item.shape, item[()].tobytes())})
                if isinstance(item, h5py.Dataset)
                else None
            )
    return found


def main():
    a, b = (pathlib.Path(p) / "meshes" for p in sys.argv[1:3])
    left, right = ({p.name for p in folder.glob("*.h5")} for folder in (a, b))
    wanted = sys.argv[3:]
    if wanted:
        left = {n for n in left if any(n.startswith(w + "-") for w in wanted)}
        right = {n for n in right if any(n.startswith(w + "-") for w in wanted)}
        assert len(left) == len(wanted), f"{a}: {sorted(left)}, expected {wanted}"
    assert left == right and left, f"{a} and {b} hold other meshes: {sorted(left ^ right)}"
    for name in sorted(left):
        one, other = datasets(a / name), datasets(b / name)
        assert one.keys() == other.keys() and len(one) > 5, name
        different = [key for key in one if one[key] != other[key]]
        assert not different, f"{name}: {different} differ"
    print(len(left), "meshes equal")


main()
