"""same_files.py A B: two folders hold HDF5 files of the same names, whose groups, datasets (type, shape, storage, filters, bytes) and
attributes (type, shape, bytes) are the same."""
import pathlib
import sys

import h5py


def attributes(item):
    found = {}
    for name in item.attrs:
        attribute = h5py.h5a.open(item.id, name.encode())
        found[name] = (attribute.get_type().encode(), attribute.shape, item.attrs[name].tobytes()
                       if hasattr(item.attrs[name], "tobytes") else item.attrs[name])
    return found


def content(path):
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            storage = item.id.get_create_plist()
            filters = [storage.get_filter(i)[:3] for i in range(storage.get_nfilters())]
            found[name] = (item.id.get_type().encode(), item.shape, storage.get_layout(), item.chunks, filters,
                           item[()].tobytes(), attributes(item))
        else:
            found[name] = attributes(item)

    with h5py.File(path, "r") as file:
        found["/"] = attributes(file)
        file.visititems(take)
    return found


def main():
    a, b = (pathlib.Path(p) for p in sys.argv[1:3])
    left, right = ({str(p.relative_to(folder)) for p in folder.rglob("*.h5")} for folder in (a, b))
    assert left == right and left, f"{a} and {b} hold other files: {sorted(left ^ right)[:10]}"
    for name in sorted(left):
        one, other = content(a / name), content(b / name)
        assert one.keys() == other.keys() and len(one) > 5, f"{name}: {one.keys() ^ other.keys()}"
        different = [key for key in one if one[key] != other[key]]
        assert not different, f"{name}: {different} differ"
    print(len(left), "files equal")


main()
