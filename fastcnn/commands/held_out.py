"""The pictures of a folder that a run held out: they are written down, for the folder may have others by and by."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from fastcnn.commands.errors import remark
from fastcnn.data import ArrayDataset, DataError, ImageFolder
from fastcnn.data.folders import parts_of, pictures_by_class
from fastcnn.data.image_folder import read_pictures


def described(data: str, test: ArrayDataset | ImageFolder) -> dict[str, str] | None:
    """Names of the pictures that were drawn as test images, with sums of their files; None if none were drawn."""
    folder = Path(data)
    if not test.files or parts_of(folder):
        return None
    return {name: _digest(folder / name) for name in test.files}


def test_pictures(folder: Path, held_out: Mapping[str, str] | None, own: bool, size, channels: int) -> ArrayDataset:
    """Test images from a folder of classes: those that the run held out, and of a folder that has none of them all.

    A picture that has another name by now is found by its content.

    Parameters
    ----------
    folder : Path
        Without parts.
    held_out : mapping or None
        As from `described`.
    own : bool
        Whether the run was trained on this folder. Another one may be the same in another place: then it has pictures
        that the run held out.
    size, channels
        See `fastcnn.data.read_image`.
    """
    names = [path.relative_to(folder).as_posix() for paths in pictures_by_class(folder).values() for path in paths]
    if own and held_out is None:
        raise DataError(f"The run does not say which pictures of {folder} it held out; --data names other ones.")
    found, lost = _found(folder, names, held_out or {})
    if not (found or own):
        return read_pictures(folder, names, size, channels, f"{folder}, all {len(names):,} pictures")
    if lost:
        what = f"{len(lost):,} of the {len(found) + len(lost):,} pictures that the run held out"
        which = f"{', '.join(lost[:3])}{', ...' * (len(lost) > 3)}"
        if not found:
            raise DataError(f"{what} are not in {folder} any more, or have changed: {which}; --data names other ones.")
        remark(f"{what} are not in {folder} any more, or have changed, and are left out: {which}.")
    source = f"{folder}, {len(found):,} held-out pictures of {len(names):,}"
    return read_pictures(folder, found, size, channels, source)


def _found(folder: Path, names: Iterable[str], held_out: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Those of a folder's pictures that were held out, by their names now; and those that are lost, by the old ones."""
    here = set(names)
    found = {name for name, digest in held_out.items() if name in here and _digest(folder / name) == digest}
    lost: dict[str, list[str]] = {}  # of each content, for pictures may be alike
    for name in sorted(held_out.keys() - found):
        lost.setdefault(held_out[name], []).append(name)
    for name in sorted(here - found) if lost else ():
        if alike := lost.get(_digest(folder / name)):
            alike.pop()
            found.add(name)
    return sorted(found), sorted(name for alike in lost.values() for name in alike)


def _digest(path: Path) -> str:
    """A sum that another file does not have."""
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
