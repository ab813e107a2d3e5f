"""A net made ready for batches of a shape: see `fastcnn.nn.Inference`."""

from bisect import bisect_right
from collections.abc import Callable

import numpy as np

from fastcnn.backends.numba_direct._jit import lanes
from fastcnn.backends.numba_direct.layout import BlockedArray, first, pack, repack, unpack
from fastcnn.backends.numba_direct.lifetimes import Lifetime, address, place, vectors
from fastcnn.backends.numba_direct.one_image import OneImage, UnsupportedError
from fastcnn.backends.numba_direct.recording import recording, replay

_FEW = 4  # images, times as many as there are lanes at most, for which `OneImage` computes less than whole blocks


def prepared_size(N: int, dtype) -> int:
    """For batches of how many images, at most, `prepare` prepares in order to compute N."""
    L = lanes(dtype)
    return max(1, L // _FEW) if N * _FEW <= L else -(-N // L) * L


def prepare(
    forward: Callable, shape: tuple[int, ...], dtype, allocate: Callable[[int], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """What computes ``forward(x, backend)`` for batches of this shape or of fewer images, in memory of ``allocate``."""
    if shape[0] * _FEW <= lanes(dtype):
        try:
            return OneImage(forward, shape, dtype, allocate)
        except UnsupportedError:
            pass
    return Blocks(forward, shape, dtype, allocate)


class Blocks:
    """Recorded launches for a batch of whole blocks, with their arrays moved into as little memory as they need.

    A batch lives from the first launch that has it among its arguments to the last.
    """

    def __init__(self, forward: Callable, shape: tuple[int, ...], dtype, allocate: Callable[[int], np.ndarray]):
        from fastcnn.backends import numba_direct

        L = lanes(dtype)
        x = pack(np.zeros((-(-shape[0] // L) * L, *shape[1:]), dtype))
        with recording() as launches:
            y = forward(x, numba_direct)
        arrays = {address(array): array for array in [x.blocks, *launches.batches]}
        addresses = sorted(arrays)
        lifetimes = {at: Lifetime(arrays[at].nbytes) for at in addresses}

        def find(array):
            """Address of the batch in whose memory an argument lies, or None."""
            if isinstance(array, np.ndarray) and (i := bisect_right(addresses, address(array))):
                at = addresses[i - 1]
                return at if address(array) < at + arrays[at].nbytes else None
            return None

        lifetimes[find(x.blocks)].live(-1)
        for i, (_, args) in enumerate(launches):
            for at in filter(None, map(find, args)):
                lifetimes[at].live(i)
        lifetimes[find(y.blocks)].live(len(launches))
        memory = vectors(allocate, place(lifetimes.values()))

        def moved(array):
            at = find(array)
            if at is None:
                return array
            return np.ndarray(array.shape, array.dtype, memory, lifetimes[at].place + address(array) - at)

        self._launches = [(kernel, tuple(map(moved, args))) for kernel, args in launches]
        self._x, self._y = BlockedArray(moved(x.blocks), x.shape), BlockedArray(moved(y.blocks), y.shape)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Output for a batch."""
        repack(x, self._x)
        replay(self._launches)
        return unpack(first(self._y, len(x)))
