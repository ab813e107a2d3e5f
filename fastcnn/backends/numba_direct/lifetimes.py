"""Recorded launches in little memory: batches that are not needed at the same time share a place.

A batch lives from the first launch that has it among its arguments to the last. The largest are placed first, each at
the lowest place that is free all its life; that is within some percent of the least memory there can be for nets that
are chains with shortcuts (Y. Pisarchyk, J. Lee, "Efficient memory management for deep neural net inference", 2020,
arXiv:2001.03288, the offsets greedy by size).
"""

from bisect import bisect_right
from collections.abc import Callable

import numpy as np

from fastcnn.backends.numba_direct._jit import VECTOR_BYTES
from fastcnn.backends.numba_direct.layout import BlockedArray
from fastcnn.backends.numba_direct.recording import Launches


class _Batch:
    """Where a batch was, where it goes, and from which launch to which it lives."""

    def __init__(self, address: int, size: int):
        self.address, self.size = address, size
        self.place = 0
        self.first, self.last = None, None

    def live(self, launch: int) -> None:
        self.first, self.last = launch if self.first is None else self.first, launch


def settle(
    launches: Launches, x: BlockedArray, y: BlockedArray, allocate: Callable[[int], np.ndarray]
) -> tuple[list[tuple[Callable, tuple]], BlockedArray, BlockedArray]:
    """The launches that make y of x, and both, in the memory of so many bytes that ``allocate`` gives."""
    found = {_address(batch): batch.nbytes for batch in [x.blocks, *launches.batches]}
    batches = [_Batch(address, size) for address, size in sorted(found.items())]
    addresses = [batch.address for batch in batches]

    def batch_of(array: np.ndarray) -> _Batch | None:
        batch = batches[max(0, bisect_right(addresses, _address(array)) - 1)]
        return batch if batch.address <= _address(array) < batch.address + batch.size else None

    batch_of(x.blocks).live(-1)
    for i, (_, args) in enumerate(launches):
        for arg in args:
            if isinstance(arg, np.ndarray) and (batch := batch_of(arg)):
                batch.live(i)
    batch_of(y.blocks).live(len(launches))

    size = _place([batch for batch in batches if batch.first is not None])
    memory = allocate(size + VECTOR_BYTES)
    start = -_address(memory) % VECTOR_BYTES

    def moved(arg):
        batch = batch_of(arg) if isinstance(arg, np.ndarray) else None
        if batch is None:
            return arg
        return np.ndarray(arg.shape, arg.dtype, memory, start + batch.place + _address(arg) - batch.address)

    return (
        [(kernel, tuple(map(moved, args))) for kernel, args in launches],
        BlockedArray(moved(x.blocks), x.shape),
        BlockedArray(moved(y.blocks), y.shape),
    )


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _place(batches: list[_Batch]) -> int:
    """Give each its place, and return the bytes that all need."""
    placed: list[_Batch] = []
    for batch in sorted(batches, key=lambda batch: -batch.size):
        for other in placed:  # by place
            if batch.first <= other.last and other.first <= batch.last:
                if batch.place + batch.size <= other.place:
                    break
                batch.place = max(batch.place, -(-(other.place + other.size) // VECTOR_BYTES) * VECTOR_BYTES)
        placed = sorted([*placed, batch], key=lambda batch: batch.place)
    return max((batch.place + batch.size for batch in placed), default=0)
