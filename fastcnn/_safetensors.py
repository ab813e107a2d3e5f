"""The safetensors format: a length, a header in JSON, and the bytes of the arrays.

https://github.com/huggingface/safetensors describes it. The package of that name aborts the process when memory runs
out, which loses a run that could have gone on. Here a lack of memory is a MemoryError, and arrays are written and read
without copies.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

_DTYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8", "C64": "<c8",
}  # fmt: skip
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_LENGTH = 8  # bytes of the header's length, and a multiple of each item's size
_METADATA = "__metadata__"
_LONGEST = 100_000_000  # bytes of a header, as in the safetensors package
_DIMENSIONS = 64  # that an array can have


def parts(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """Return what a file with these arrays contains, in order.

    Raises
    ------
    TypeError
        If the format has no such dtype.
    """
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    data = []
    end = 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):  # so that all are aligned
        array = arrays[name]
        dtype = array.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            raise TypeError(f"`{name}` is {array.dtype}, which safetensors files cannot hold.")
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _NAMES[dtype], "shape": array.shape, "data_offsets": (start, end)}
        data.append(np.asarray(array, dtype, order="C").reshape(-1).view(np.uint8).data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _LENGTH)
    return [len(text).to_bytes(_LENGTH, "little"), text, *data]


def read(file: BinaryIO, size: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays and the metadata of a file of this size; no memory is allocated for bytes that it lacks.

    Raises
    ------
    ValueError
        If it is not exactly one complete file, or has a dtype that NumPy does not support.
    """
    length = int.from_bytes(file.read(_LENGTH), "little")
    begin = _LENGTH + length
    if begin > size or length > _LONGEST:
        raise ValueError(f"it has {size} bytes, but its header would have {length}")
    text = file.read(length)
    if text[:1] != b"{":
        raise ValueError("its header is not a JSON object")
    try:
        header = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"its `{_METADATA}` is not a dictionary of strings")
    tensors = sorted((_checked(name, tensor) for name, tensor in header.items()), key=lambda tensor: tensor[-2:])
    end = 0
    for name, _, _, start, stop in tensors:
        if start != end:
            raise ValueError(f"`{name}` begins at byte {start} of the data, but the array before it ends at {end}")
        end = stop
    if begin + end != size:
        raise ValueError(f"it has {size} bytes, but its header describes {begin + end}")
    return {name: _array(file, shape, dtype) for name, shape, dtype, _, _ in tensors}, metadata


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dictionary, in which each name must occur once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice in its header")
    return found


def _checked(name: str, tensor) -> tuple[str, tuple[int, ...], np.dtype, int, int]:
    """Return an array's name, shape, dtype, and the place of its bytes, from the header."""
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"`{name}` does not have exactly a dtype, a shape and data_offsets")
    dtype, shape, offsets = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"`{name}` has the dtype {dtype!r:.20}, which NumPy does not have")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"`{name}` has the shape {shape!r:.60} and the offsets {offsets!r:.60}")
    start, stop = offsets
    if math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize != stop - start:
        raise ValueError(f"`{name}` has the shape {shape!r:.60} and dtype {dtype}, but {stop - start} bytes")
    return name, tuple(shape), np.dtype(_DTYPES[dtype]), start, stop


def _are_sizes(numbers) -> bool:
    """Whether this is a list of integers of at least 0 that an array can have."""
    if not isinstance(numbers, list) or len(numbers) > _DIMENSIONS:
        return False
    return all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)


def _array(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Read an array."""
    array = np.empty(shape, dtype)
    data = array.reshape(-1).view(np.uint8).data
    while data:
        count = file.readinto(data)  # type: ignore[attr-defined]
        if not count:
            raise ValueError("it was cut while it was read")
        data = data[count:]
    return array
