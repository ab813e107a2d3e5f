"""No kernel reads or writes outside its arrays, nor leaves an element unwritten: every operation, at compiled speed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastcnn import backends
from fastcnn.backends import OPERATIONS
from fastcnn.backends.numba_direct import residual
from fastcnn.backends.numba_direct.layout import BlockedArray
from tests import fences, guards
from tests.guards import LAUNCHED, Band, guarded, placed
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


def idle(native: BlockedArray) -> np.ndarray:
    """The lanes of the last block that hold no image, as a view."""
    return native.blocks[-1, ..., native.shape[0] % native.blocks.shape[-1] or native.blocks.shape[-1] :]


def beyond(array: np.ndarray, start: int, count: int) -> np.ndarray:
    """Numbers of a flat array, and beside it."""
    address = array.__array_interface__["data"][0] + start * array.itemsize
    return np.ctypeslib.as_array((np.ctypeslib.as_ctypes_type(array.dtype) * count).from_address(address))


def sums(a, b, out):
    out[...] = a + b


def writes_after(a, b, out):
    beyond(out, 0, out.size + 1)[:] = 1
    sums(a, b, out)


def writes_before(a, b, out):
    beyond(out, -1, 1)[:] = 1
    sums(a, b, out)


def reads_after(a, b, out):
    out[...] = beyond(a, 1, a.size) + b


def reads_before(a, b, out):
    out[...] = beyond(a, -1, a.size) + b


def leaves_one_out(a, b, out):
    out[1:] = a[1:] + b[1:]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (writes_after, r"residual\._add writes after its array"),
        (writes_before, r"residual\._add writes before its array"),
        (reads_after, "the result depends on what is outside"),
        (reads_before, "the result depends on what is outside"),
        (leaves_one_out, "or was there before"),
    ],
)
def test_faults_are_noticed(fault, message, monkeypatch):
    def use(kernel):
        monkeypatch.setattr(residual, "_add", kernel)
        monkeypatch.setitem(guards.KERNELS, "residual._add", kernel)

    call = CALLS["add"][1]
    use(sums)
    expected = results(call, np.float32)
    use(fault)
    with pytest.raises(AssertionError, match=message), guarded():  # noqa: PT012
        found = results(call, np.float32)
        assert found == expected, "the result depends on what is outside its arrays, or was there before"


def spoiled(value, rubbish: float):
    """The same batch, with rubbish in the lanes that hold no image."""
    if not isinstance(value, BlockedArray) or value.dtype.kind != "f":
        return value
    copy = BlockedArray(value.blocks.copy(), value.shape)
    idle(copy)[...] = rubbish
    return copy


def left(found, given) -> list[bytes]:
    """Results and arguments, bit for bit, but for which pixel won in lanes that hold no image."""
    if isinstance(found, tuple) and isinstance(found[1], np.ndarray) and found[1].dtype == np.int8:
        winners = BlockedArray(found[1].copy(), found[0].shape)
        idle(winners)[...] = 0
        found = found[0], winners.blocks
    return [array.tobytes() for array in (*arrays(found, BACKEND), *arrays(given, BACKEND))]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_in_lanes_without_an_image_leaks_nowhere(operation):
    """In gradients it is zero, and stays so unless 0 meets infinity; in activations what an image of zeros becomes.

    Whatever it is, it is in no result.
    """
    gradient = operation.endswith("_backward")
    for call in CALLS[operation]:
        given = call.arguments(BACKEND, np.random.default_rng(0), np.float32)
        expected = left(getattr(BACKEND, operation)(*given), given)
        for kept, rubbish in ((gradient, 0.5), (0, 1e30), (0, np.inf), (0, np.nan)):
            given = call.arguments(BACKEND, np.random.default_rng(0), np.float32)
            found = getattr(BACKEND, operation)(*given[:kept], *(spoiled(a, rubbish) for a in given[kept:]))
            for native in found if isinstance(found, tuple) else (found,):
                if kept and isinstance(native, BlockedArray):
                    assert not idle(native).any(), f"{call}: lanes of the gradient that hold no image are not zero"
            assert left(found, given) == expected, f"{call}, {rubbish}"


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect, and glibc's MALLOC_PERTURB_")
def test_nothing_outside_is_touched():
    """In a process whose arrays lie beside forbidden pages, and whose new memory is full of 0x7f: 3e38."""
    environment = {**os.environ, "MALLOC_PERTURB_": "128"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.fences"],
        cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-3000:]
    *found, launched = done.stdout.splitlines()
    assert found == [f"{call}: {fences.digest(call, BACKEND)}" for call in calls()]
    assert set(launched.split()) >= LAUNCHED, "a kernel that no call launches"
