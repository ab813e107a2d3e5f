"""Find the picture files that a command line names: single files, folders and patterns."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fastcnn._text import in_full
from fastcnn.commands.classes import folded, listed_names
from fastcnn.commands.errors import CommandError, remark
from fastcnn.data.folders import SUFFIXES, is_picture, listed


def picture_files(given: Iterable[Path]) -> list[Path]:
    """List the picture files that paths name, in the order given; those of a folder or a pattern are sorted by name.

    A folder names all pictures in it and in its subfolders, recognized by their suffixes. The number of other files is
    reported on stderr. Patterns are expanded here if the shell has not done so, as on Windows.

    Raises
    ------
    CommandError
        If a folder has no pictures, or no file matches a pattern.
    """
    files = []
    for path in unfolded(given):
        if path.is_dir():
            inside = list(_within(path))
            pictures = [file for file in inside if is_picture(file)]
            if not pictures:
                raise CommandError(f"{path} holds no pictures: no file has the suffix {', '.join(SUFFIXES)}.")
            if others := len(inside) - len(pictures):
                remark(f"{path}: left out {others:,} file{'s' * (others > 1)} without the suffix of a picture.")
            files += pictures
        else:
            files.append(path)
    return files


def unfolded(given: Iterable[Path]) -> list[Path]:
    """Replace each pattern by the paths that match it; the path of an existing file is never read as a pattern."""
    paths = []
    for path in given:
        if path.exists() or not glob.has_magic(str(path)):
            paths.append(path)
            continue
        fitting = sorted(map(Path, glob.glob(str(path), recursive=True)))
        if not fitting:
            raise CommandError(f"There is no file {in_full(path)}, and no file matches this as a pattern.")
        paths += fitting
    return paths


def labelled_files(given: Iterable[Path], known: Sequence[str]) -> dict[str, list[Path]]:
    """Group picture files by class: the nearest enclosing folder that has the name of a known class.

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
            raise CommandError(f"{file} is in no folder with the name of a class: {listed_names(known)}.")
        files.setdefault(kind, []).append(file)
    return files


def _within(folder: Path) -> Iterator[Path]:
    """Yield all files in a folder and its subfolders, except those that operating systems create."""
    for path in listed(folder):
        if not path.is_dir():
            yield path
        elif not path.is_symlink():  # a link to a folder could form a cycle
            yield from _within(path)
