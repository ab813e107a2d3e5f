"""Atomic writes, and safetensors files: they hold named arrays and no executable code."""

import contextlib
import errno
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fastcnn import _safetensors
from fastcnn._errors import FileError

_PART = re.compile(r"\..+\.\d+\.part")


def write(path: str | os.PathLike, *parts: bytes | memoryview) -> None:
    """Write a file atomically: after a crash or a power cut, the path holds the complete old file or the new one.

    The content is written to ``.NAME.THREAD.part`` in the same folder, flushed to the disk, then renamed. Of a link,
    the file that it leads to is replaced.

    Parameters
    ----------
    path : path
        An existing file is replaced.
    *parts : bytes or memoryview
        The content, one after the other.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file stays unchanged, as after any other error. Folders, devices and
        pipes are not replaced.
    """
    given, path = path, Path(os.path.realpath(path))
    what = f"Cannot write {given} ({sum(map(len, parts)):,} bytes)"
    if path.exists() and not path.is_file():  # renaming would replace even /dev/null
        kind = "folder" if path.is_dir() else "device or a pipe"
        raise FileExistsError(errno.EEXIST, f"{what}: it is a {kind}, but must be a file")
    beside = path.with_name(f".{path.name}.{threading.get_native_id()}.part")  # unique among all threads
    try:
        with open(beside, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise type(error)(error.errno, f"{what}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):  # an error here must not replace the one above
            beside.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder
        _flush_folder(path.parent)


def remove_parts(folder: str | os.PathLike) -> None:
    """Remove the partial files that killed processes left in a folder."""
    for left in Path(folder).glob(".*.part"):
        if _PART.fullmatch(left.name):
            with contextlib.suppress(PermissionError):  # on Windows, another program may be reading it
                left.unlink(missing_ok=True)


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write named arrays and string metadata to a safetensors file; see `write`."""
    write(path, *_safetensors.parts(arrays, metadata))


def read_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read named arrays and string metadata from a safetensors file, after checking its header against its length.

    Raises
    ------
    OSError
        If the file cannot be read.
    FileError
        If it is not exactly one complete safetensors file, or has a dtype that NumPy does not support.
    """
    with open(path, "rb") as file:
        try:
            return _safetensors.read(file, os.fstat(file.fileno()).st_size)
        except (ValueError, OverflowError) as error:
            raise FileError(f"{path} is not a complete safetensors file: {error}.") from None


def _flush_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that the name of a new file survives a power cut."""
    with contextlib.suppress(OSError):  # some network file systems cannot; the file is complete either way
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
