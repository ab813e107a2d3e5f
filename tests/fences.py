"""Operations of the numba backend whose arrays end, then begin, where the process may not read: any touch kills.

python -m tests.fences prints each call of `fastcnn.testing.operations` with a sum over what it leaves, and in the last
line the kernels that were launched. This also sees what is read and thrown away, which no guard band shows.
"""

import ctypes
import faulthandler
import hashlib
import mmap
from collections.abc import Iterator

import numpy as np

from fastcnn import backends
from fastcnn.testing import operations
from fastcnn.testing.operations import arrays
from tests import one_image
from tests.guards import guarded, placed
from tests.one_image import FirstAsChannels

NOTHING = 0  # PROT_NONE


class Fence:
    """A copy of an array at the end, or at the beginning, of pages between two that cannot be touched."""

    at_end = True

    def __init__(self, array: np.ndarray):
        page, pages = mmap.PAGESIZE, -(-array.nbytes // mmap.PAGESIZE)
        memory = mmap.mmap(-1, (pages + 2) * page)
        start = page + (pages * page - array.nbytes if self.at_end else 0)
        self.array = np.ndarray(array.shape, array.dtype, memory, start)
        self.array[...] = array
        first = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
        for outside in (first, first + (pages + 1) * page):
            if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(outside), page, NOTHING):
                raise OSError(ctypes.get_errno(), "mprotect")

    def check(self, where: str) -> None:
        """Nothing: who wrote beside it is dead."""


class FenceBefore(Fence):
    """One whose array begins behind the fence."""

    at_end = False


def calls() -> Iterator[tuple]:
    """All calls, each with the backend that it is made of."""
    batches = backends.load("numba")
    for call in operations.calls():
        yield call, batches
    for name, reason, given in (
        ("copy", "half a block", lambda b, rng, dtype: (b.pack(rng.random((24, 5)).astype(dtype)),)),
        ("stop_unless_finite", "a finite loss", lambda b, rng, dtype: (np.array(0.5),)),
    ):
        yield operations.Call(name, reason, given), batches
    for call in one_image.calls():
        yield call, FirstAsChannels()


def digest(call, backend, place=None) -> str:
    """A sum over the results of a call, and over its arguments."""
    given, copies = call.arguments(backend, np.random.default_rng(0), np.float32), []
    if place:
        given = placed(given, copies, place)
    found = getattr(backend, call.operation)(*given)
    total = hashlib.sha256()
    for array in (*arrays(found, backend), *arrays(given, backend)):
        total.update(array.tobytes())
    return total.hexdigest()


def main() -> None:
    """Print them all."""
    faulthandler.enable()
    kernels = set()
    for call, backend in calls():
        print(f"{call}: ", end="", flush=True)
        sums = [digest(call, backend)]
        for place in (Fence, FenceBefore):
            with guarded(place) as launched:
                sums.append(digest(call, backend, place))
            kernels |= launched
        print(*sorted(set(sums)), flush=True)
    print(*sorted(kernels))


if __name__ == "__main__":
    main()
