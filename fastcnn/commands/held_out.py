"""The pictures that a run held out of a folder: the run records them, because the folder may change later."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from fastcnn.commands.errors import remark
from fastcnn.data import ArrayDataset, DataError, ImageFolder
from fastcnn.data.folders import parts_of, pictures_by_class
from fastcnn.data.image_folder import read_pictures


def described(data: str, test: ArrayDataset | ImageFolder) -> dict[str, str] | None:
    """Return names and file hashes of the pictures that were drawn as test images; None if none were drawn."""
    folder = Path(data)
    if not test.files or parts_of(folder):
        return None
    return {name: _digest(folder / name) for name in test.files}


def test_pictures(folder: Path, held_out: Mapping[str, str] | None, own: bool, size, channels: int) -> ArrayDataset:
    """Read test images from a folder of classes: the pictures that the run held out.

    A picture that has been renamed is found by its content. Another folder than the run's own that holds none of these
    pictures gives all of its pictures.

    Parameters
    ----------
    folder : Path
        A folder with one subfolder for each class, without subfolders such as train and test.
    held_out : mapping or None
        As from `described`.
    own : bool
        Whether the run was trained on this folder. Another folder may be a copy: then it has the held-out pictures.
    size, channels
        See `fastcnn.data.read_image`.

    Returns
    -------
    ArrayDataset

    Raises
    ------
    DataError
        If it is not known which pictures were held out, or if none of them is left.
    """
    names = [path.relative_to(folder).as_posix() for paths in pictures_by_class(folder).values() for path in paths]
    if own and held_out is None:
        raise DataError(
            f"The run does not record which pictures of {folder} it held out; name other pictures with --data."
        )
    found, lost = _found(folder, names, held_out or {})
    if not (found or own):
        return read_pictures(folder, names, size, channels, f"{folder}, all {len(names):,} pictures")
    if lost:
        what = f"{len(lost):,} of the {len(found) + len(lost):,} pictures that the run held out"
        which = f"{', '.join(lost[:3])}{', ...' * (len(lost) > 3)}"
        if not found:
            raise DataError(
                f"{what} are no longer in {folder} or have changed: {which}; name other pictures with --data."
            )
        remark(f"{what} are no longer in {folder} or have changed, and are left out: {which}.")
    source = f"{folder}, {len(found):,} held-out pictures of {len(names):,}"
    return read_pictures(folder, found, size, channels, source)


def _found(folder: Path, names: Iterable[str], held_out: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the present names of the held-out pictures in a folder, and the old names of those that are missing."""
    here = set(names)
    found = {name for name, digest in held_out.items() if name in here and _digest(folder / name) == digest}
    lost: dict[str, list[str]] = {}  # hash -> names; pictures may have the same content
    for name in sorted(held_out.keys() - found):
        lost.setdefault(held_out[name], []).append(name)
    for name in sorted(here - found) if lost else ():
        if alike := lost.get(_digest(folder / name)):
            alike.pop()
            found.add(name)
    return sorted(found), sorted(name for alike in lost.values() for name in alike)


def _digest(path: Path) -> str:
    """Return a hash of a file's content."""
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
