"""The pictures of a folder that a run held out: they are written down, for the folder may have others by and by."""

import zlib
from collections.abc import Mapping
from pathlib import Path

from fastcnn.commands.errors import remark
from fastcnn.data import DataError, Dataset
from fastcnn.data.image_folder import has_parts, pictures_by_class, read_pictures


def described(data: str, test: Dataset) -> dict[str, int] | None:
    """Names of the pictures that were drawn as test images, with sums of their files; None if none were drawn."""
    folder = Path(data)
    if not test.files or has_parts(folder):
        return None
    return {name: _sum(folder / name) for name in test.files}


def test_pictures(folder: Path, held_out: Mapping[str, int] | None, own: bool, size, channels: int) -> Dataset:
    """Test images from a folder of classes: those that the run held out, and of a folder that it does not know all.

    Parameters
    ----------
    folder : Path
        Without subfolders train and test.
    held_out : mapping or None
        As from `described`.
    own : bool
        Whether the run was trained on this folder. Another one may be the same in another place: then it has pictures
        that the run held out.
    size, channels
        See `fastcnn.data.read_image`.
    """
    files = [path for paths in pictures_by_class(folder).values() for path in paths]
    if own and held_out is None:
        raise DataError(f"The run does not say which pictures of {folder} it held out; --data names other ones.")
    found = [name for name, sum in (held_out or {}).items() if (folder / name).is_file() and _sum(folder / name) == sum]
    if not held_out or not (found or own):
        names = [path.relative_to(folder).as_posix() for path in files]
        return read_pictures(folder, names, size, channels, f"{folder}, all {len(files):,} pictures")
    if lost := [name for name in held_out if name not in set(found)]:
        what = f"{len(lost):,} of the {len(held_out):,} pictures that the run held out"
        which = f"{', '.join(lost[:3])}{', ...' * (len(lost) > 3)}"
        if not found:
            raise DataError(f"{what} are not in {folder} any more, or have changed: {which}; --data names other ones.")
        remark(f"{what} are not in {folder} any more, or have changed, and are left out: {which}.")
    source = f"{folder}, {len(found):,} held-out pictures of {len(files):,}"
    return read_pictures(folder, found, size, channels, source)


def _sum(path: Path) -> int:
    """A sum that another file hardly has."""
    return zlib.crc32(path.read_bytes())
