"""Files that are whole or not there, and safetensors: names, shapes and numbers, and nothing that executes."""

import contextlib
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fastcnn._errors import FileError

_PART = re.compile(r"\..+\.\d+\.part")


def write(path: str | os.PathLike, content: bytes) -> None:
    """Write a file so that at any moment, were the plug pulled, there is the old one or the new one, whole.

    It is written beside its place, as ``.NAME.THREAD.part``, flushed to the disk, then renamed.

    Parameters
    ----------
    path : path
        A file that is there is replaced.
    content : bytes

    Raises
    ------
    OSError
        If the file cannot be written; the old one is as it was.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{threading.get_native_id()}.part")  # no other thread of any process has it
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise type(error)(
            error.errno, f"Cannot write {path} ({len(content):,} bytes): {error.strerror or error}"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # what is to be told is why the file was not written
            beside.unlink(missing_ok=True)
    if os.name == "posix":
        _flush_folder(path.parent)


def remove_parts(folder: str | os.PathLike) -> None:
    """Remove what processes that were killed while they wrote have left in a folder."""
    for left in Path(folder).glob(".*.part"):
        if _PART.fullmatch(left.name):
            left.unlink(missing_ok=True)


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write named arrays and texts to a safetensors file; see `write`."""
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write(path, save(contiguous, dict(metadata) or None))


def read_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Named arrays and texts of a safetensors file, whose header is held against its length before anything is read.

    Raises
    ------
    OSError
        If the file cannot be read.
    FileError
        If it is not a complete safetensors file and nothing else, or has a dtype that NumPy has not.
    """
    open(path, "rb").close()  # whose errors name the path
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise FileError(f"{path} is not a complete safetensors file: {error}.") from None


def _flush_folder(folder: Path) -> None:
    """Flush the name of a new file."""
    with contextlib.suppress(OSError):  # some network file systems cannot; the file is whole either way
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
