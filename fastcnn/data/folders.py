"""Layout of folders of pictures: parts, classes, files."""

import warnings
from pathlib import Path
from typing import NamedTuple

from .errors import DataError

# Files that operating systems leave in folders, in lower case. Others begin with a dot, such as .DS_Store and ._1.jpg.
LEFT_BY_SYSTEMS = {
    "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",  # Windows
    "icon\r", "__macosx",  # macOS
    "@eadir", "#recycle",  # Synology's disk stations
    "lost+found",  # Linux
}  # fmt: skip

# torchvision's `IMG_EXTENSIONS` and other common suffixes; other files in a folder are left out
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif", ".jfif", ".avif")

PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""Part of the data in a folder, by the folder's name in lower case."""


class Parts(NamedTuple):
    """The folders ``train``, ``val`` and ``test`` of a folder; one of the last two may be missing."""

    train: Path
    validation: Path | None
    test: Path | None


def parts_of(root: Path) -> Parts | None:
    """Return the parts of a folder, or None if it has none, so that some of its pictures must be held out.

    Raises
    ------
    DataError
        If two folders are the same part, or there is only ``train``, or another part without it.
    """
    found: dict[str, Path] = {}
    for folder in subfolders(root):
        if (part := PARTS.get(folder.name.lower())) is None:
            continue
        if part in found:
            raise DataError(f"{root} has both {found[part].name} and {folder.name}, but only one can be {part}.")
        found[part] = folder
    others = found.keys() - {"train"}
    if "train" in found and others:
        return Parts(found["train"], found.get("validation"), found.get("test"))
    for part, folder in found.items():  # a class may have such a name, but then it has no subfolders
        if subfolders(folder):
            missing = "val, valid, validation or test beside it" if part == "train" else "train beside it"
            raise DataError(
                f"{root} has the folder {folder.name} with folders in it, but no {missing}. To hold out a part of "
                f"{folder.name}, pass {folder}."
            )
    return None


def pictures_by_class(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of each class, by its name, both sorted; a warning counts files that are left out.

    A picture is a file with one of `SUFFIXES`. Whether it can be read is found out later.
    """
    classes = subfolders(folder)
    if not classes:
        raise DataError(f"{folder} has no subfolders; there must be one for each class, with its pictures.")
    files = {path.name: listed(path) for path in classes}
    for path in classes:
        if not files[path.name]:
            raise DataError(f"{path} is empty; it must hold the pictures of the class.")
        if folders := [file for file in files[path.name] if file.is_dir()]:
            raise DataError(f"{folders[0]} is a folder, but {path} must hold the pictures of the class itself.")
    pictures = {name: [file for file in found if is_picture(file)] for name, found in files.items()}
    for path in classes:
        if not pictures[path.name]:
            raise DataError(f"{path} holds no pictures: no file has the suffix {', '.join(SUFFIXES)}.")
    others = [file for found in files.values() for file in found if not is_picture(file)]
    if others:
        what = f"{len(others):,} file{'s' * (len(others) > 1)} without the suffix of a picture"
        warnings.warn(f"{folder}: left out {what}, such as {others[0].relative_to(folder)}.", stacklevel=2)
    return pictures


def is_picture(file: Path) -> bool:
    """Whether a file is a picture according to its suffix."""
    return file.suffix.lower() in SUFFIXES


def pictures_of_parts(parts: Parts) -> dict[str, dict[str, list[Path]]]:
    """Return the files of each existing part and class; all parts must have the same classes."""
    found = {part: pictures_by_class(path) for part, path in parts._asdict().items() if path is not None}
    for part, files in found.items():
        for one, other in ((found["train"], files), (files, found["train"])):
            if missing := sorted(one.keys() - other.keys()):
                folders = parts.train.name, getattr(parts, part).name
                has, has_not = folders if one is found["train"] else folders[::-1]
                raise DataError(
                    f"{parts.train.parent}: {folders[0]} and {folders[1]} must have the same classes, but only {has} "
                    f"has {', '.join(missing)}; {has_not} has {', '.join(other)}."
                )
    return found


def subfolders(folder: Path) -> list[Path]:
    """Subfolders of a folder."""
    return [path for path in listed(folder) if path.is_dir()]


def listed(folder: Path) -> list[Path]:
    """Return the contents of a folder, without files of the system, sorted by name: on Windows paths sort otherwise."""
    found = (path for path in folder.iterdir() if path.name[0] != "." and path.name.lower() not in LEFT_BY_SYSTEMS)
    return sorted(found, key=lambda path: path.name)
