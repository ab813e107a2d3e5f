"""No kernel reads or writes outside its arrays, nor leaves an element unwritten: every operation, at compiled speed."""

import numpy as np
import pytest

from fastcnn import backends
from fastcnn.backends import OPERATIONS
from fastcnn.backends.numba_direct.layout import BlockedArray
from tests.guards import Band, guarded, placed
from tests.operations import arrays, calls

BACKEND = backends.load("numba")
CALLS = {}
for call in calls():
    CALLS.setdefault(call.operation, []).append(call)


def results(call, dtype, place=None) -> list[bytes]:
    """What an operation leaves, bit for bit: its results, and its arguments, some of which it may change."""
    given, copies = call.arguments(BACKEND, np.random.default_rng(0), dtype), []
    if place:
        given = placed(given, copies, place)
    found = getattr(BACKEND, call.operation)(*given)
    for copy in copies:
        copy.check(call.operation)
    return [array.tobytes() for array in (*arrays(found, BACKEND), *arrays(given, BACKEND))]


def test_every_operation_is_called():
    assert CALLS.keys() == set(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_within_guard_bands(operation, dtype):
    for call in CALLS[operation]:
        expected = results(call, dtype)
        with guarded():
            found = results(call, dtype, Band)
        assert found == expected, f"{call}: the result depends on what is outside its arrays, or was there before"


def spoiled(value):
    """The same batch; in the lanes of its last block that hold no image is NaN."""
    if not isinstance(value, BlockedArray) or value.dtype.kind != "f":
        return value
    blocks = value.blocks.copy()
    if rest := value.shape[0] % blocks.shape[-1]:
        blocks[-1, ..., rest:] = np.nan
    return BlockedArray(blocks, value.shape)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_in_lanes_without_an_image_leaks_nowhere(operation):
    """Such lanes are zero in gradients, and anything in activations."""
    for call in CALLS[operation]:
        expected = results(call, np.float32)
        given = call.arguments(BACKEND, np.random.default_rng(0), np.float32)
        kept = operation.endswith("_backward")
        found = getattr(BACKEND, operation)(*given[:kept], *map(spoiled, given[kept:]))
        found = [array.tobytes() for array in (*arrays(found, BACKEND), *arrays(given, BACKEND))]
        assert found == expected, str(call)
