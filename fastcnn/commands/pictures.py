"""Picture files as they are named on a command line: by themselves, by their folder, or by a pattern."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fastcnn.commands.classes import folded, listed_names
from fastcnn.commands.errors import CommandError, remark
from fastcnn.data.folders import listed

# Of torchvision's `IMG_EXTENSIONS` and of what else is common: a folder may hold other files, too.
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif", ".jfif", ".avif")


def picture_files(given: Iterable[Path]) -> list[Path]:
    """The files that are meant, in the order given; those of a folder, and of a pattern, by name.

    A folder stands for the pictures in it and in its subfolders, known by the ends of their names; how many other files
    were left out is said. A pattern is what the shell has left as one, as that of Windows does.

    Raises
    ------
    CommandError
        If a folder has no pictures, or a pattern fits nothing.
    """
    files = []
    for path in unfolded(given):
        if path.is_dir():
            inside = list(_within(path))
            pictures = [file for file in inside if file.suffix.lower() in SUFFIXES]
            if not pictures:
                raise CommandError(f"{path} has no pictures in it: files whose names end in {', '.join(SUFFIXES)}.")
            if others := len(inside) - len(pictures):
                remark(f"{path}: {others:,} file{'s' * (others > 1)} left out, by the end of the name no picture.")
            files += pictures
        else:
            files.append(path)
    return files


def unfolded(given: Iterable[Path]) -> list[Path]:
    """The paths, with all that fits in the place of a pattern; a file that has such a name goes before."""
    paths = []
    for path in given:
        if path.exists() or not glob.has_magic(str(path)):
            paths.append(path)
            continue
        fitting = sorted(map(Path, glob.glob(str(path), recursive=True)))
        if not fitting:
            raise CommandError(f"There is no file {path}, and none that fits this as a pattern.")
        paths += fitting
    return paths


def labelled_files(given: Iterable[Path], known: Sequence[str]) -> dict[str, list[Path]]:
    """Class -> the files that are meant. The class is the name of the nearest folder that is called as a known one.

    Raises
    ------
    CommandError
        If a file is in no such folder.
    """
    names = {folded(name) for name in known}
    files: dict[str, list[Path]] = {}
    for file in picture_files(given):
        kind = next((folder.name for folder in file.absolute().parents if folded(folder.name) in names), None)
        if kind is None:
            raise CommandError(f"{file} is in no folder that is called as a class of the model: {listed_names(known)}.")
        files.setdefault(kind, []).append(file)
    return files


def _within(folder: Path) -> Iterator[Path]:
    """All files in a folder and its subfolders, but what systems leave there."""
    for path in listed(folder):
        if not path.is_dir():
            yield path
        elif not path.is_symlink():  # which may lead in a circle
            yield from _within(path)
