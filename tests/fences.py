"""Run operations of the numba backend with arrays next to inaccessible pages: any access outside kills the process.

python -m tests.fences prints each call of `fastcnn.testing.operations` with a hash of its results, and in the last line
the kernels that were launched. Unlike guard bands, fences also detect reads whose values are discarded.
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
    """A copy of an array at the end or the beginning of pages that lie between two inaccessible pages."""

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
        """Do nothing: a write outside has killed the process."""


class FenceBefore(Fence):
    """A fence right before the array."""

    at_end = False


def calls() -> Iterator[tuple]:
    """Yield all calls, each with its backend."""
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
    """Return a hash of the results of a call and its arguments."""
    given, copies = call.arguments(backend, np.random.default_rng(0), np.float32), []
    if place:
        given = placed(given, copies, place)
    found = getattr(backend, call.operation)(*given)
    total = hashlib.sha256()
    for array in (*arrays(found, backend), *arrays(given, backend)):
        total.update(array.tobytes())
    return total.hexdigest()


def main() -> None:
    """Run and print all calls."""
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
