"""The IDX format of MNIST and similar data sets."""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from .errors import DataError

# Type of the items, big-endian, by the third byte of the file. "The IDX file format", http://yann.lecun.com/exdb/mnist
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"
CHUNK = 1 << 20  # bytes read at a time


def read_idx(path) -> np.ndarray:
    """Read an IDX file, plain or compressed with gzip.

    The file's first bytes decide which of the two it is, not its name. Its length must be exactly what the header says.
    Memory is allocated only for existing data, so that a wrong header with 2**40 items is harmless.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ndarray
        A new, writable, C-contiguous array of the file's shape: uint8, int8, int16, int32, float32 or float64, in this
        machine's byte order.

    Raises
    ------
    DataError
        If the magic number, type code, number of dimensions, a dimension or the length is wrong, or the gzip stream is
        damaged.
    OSError
        If the file is missing or cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastcnn.data import read_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "labels-idx1-ubyte")
    ...     _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    ...     read_idx(file)
    array([5, 0, 4], dtype=uint8)
    """
    path = Path(path)
    with open(path, "rb") as file:
        compressed = file.read(2) == GZIP
        file.seek(0)
        if not compressed:
            return _read(file, path, size=os.fstat(file.fileno()).st_size)
        try:
            with gzip.open(file) as stream:
                return _read(stream, path, size=None)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path}: the gzip stream is damaged ({error}); get the file again.") from error


def _read(stream, path: Path, size: int | None) -> np.ndarray:
    """Read the array in ``stream``; ``size`` is the stream's length in bytes if it is known beforehand."""
    magic = _header(stream, path, 4, "magic number")
    if magic[:2] != b"\0\0":
        raise DataError(f"{path}: the magic number is 0x{magic.hex()} but an IDX file begins with two zero bytes.")
    if magic[2] not in TYPES:
        known = ", ".join(f"0x{code:02x}" for code in TYPES)
        raise DataError(f"{path}: the type code is 0x{magic[2]:02x} but must be one of {known}.")
    if magic[3] == 0:
        raise DataError(f"{path}: the number of dimensions is 0 but must be at least 1.")
    sizes = _header(stream, path, 4 * magic[3], f"sizes of {magic[3]} dimensions")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    dtype = np.dtype(TYPES[magic[2]])
    promised = math.prod(shape) * dtype.itemsize
    items = f"{path}: the header promises {promised} bytes of items (shape {shape}, {dtype.name})"

    if size is not None and size != (held := len(magic) + len(sizes)) + promised:
        raise DataError(f"{items} but {size - held} follow it.")
    body = bytearray()  # grows with the data that really exist
    while chunk := stream.read(min(CHUNK, promised + 1 - len(body))):  # one byte more reveals a file that is too long
        body += chunk
    if len(body) != promised:
        follow = f"only {len(body)}" if len(body) < promised else "more"
        raise DataError(f"{items} but {follow} follow it.")
    try:
        array = np.ndarray(shape, dtype, buffer=body)
    except ValueError as error:
        raise DataError(f"{path}: numpy cannot hold an array of the header's shape {shape} ({error}).") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(stream, path: Path, n: int, field: str) -> bytes:
    """Return the next ``n`` bytes, which hold ``field``."""
    data = stream.read(n)
    if len(data) != n:
        raise DataError(f"{path}: the file ends within the {field}: {len(data)} bytes of {n}.")
    return data
