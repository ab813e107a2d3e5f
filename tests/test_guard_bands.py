"""No kernel reads or writes outside its arrays or leaves an element unwritten; checked for every operation."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from fastcnn import backends
from fastcnn.backends import operations
from fastcnn.backends.numba_direct.layout import BlockedArray
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import kernel
from fastcnn.testing.operations import arrays, calls
from tests import bounds, fences
from tests.guards import LAUNCHED, Band, guarded, placed

BACKEND = backends.load("numba")
CALLS = {}
for call in calls():
    CALLS.setdefault(call.operation, []).append(call)


def results(call, dtype, place=None) -> list[bytes]:
    """Run an operation; return the bytes of its results and of its arguments, some of which it may change."""
    given, copies = call.arguments(BACKEND, np.random.default_rng(0), dtype), []
    if place:
        given = placed(given, copies, place)
    found = getattr(BACKEND, call.operation)(*given)
    for copy in copies:
        copy.check(call.operation)
    return [array.tobytes() for array in (*arrays(found, BACKEND), *arrays(given, BACKEND))]


def test_every_operation_is_called():
    assert CALLS.keys() == set(operations())


@pytest.mark.parametrize("operation", operations())
def test_within_guard_bands(operation, dtype):
    for call in CALLS[operation]:
        expected = results(call, dtype)
        with guarded():
            found = results(call, dtype, Band)
        assert found == expected, f"{call}: the result depends on what is outside its arrays, or was there before"


def idle(native: BlockedArray) -> np.ndarray:
    """Return a view of the idle lanes, those of the last block that hold no image."""
    return native.blocks[-1, ..., native.shape[0] % native.blocks.shape[-1] or native.blocks.shape[-1] :]


FAULTS = {  # fault -> expected error message
    "writes after its array": r"_copy writes after its array \(5, 3\): \[0\]",
    "writes before its array": r"_copy writes before its array \(5, 3\): \[4095\]",
    "writes after its scratch memory": "_copy writes after its scratch memory of 64 bytes",
    "reads after its array": "the result depends on",
    "reads before its array": "the result depends on",
    "reads scratch memory that nobody wrote": "the result depends on",
    "leaves a number out": "the result depends on",
}


@kernel
def _copy(first, last, a, scratch):
    """Copy ``x`` through scratch memory, with one of the faults or none."""
    x, out, fault = a.x, a.out, a.fault
    spare = numbers_at(scratch, 16, x)
    for i in range(first, last):
        last_one = i == x.size - 1
        spare[0] = x[x.size if last_one and fault == 3 else -1 if last_one and fault == 4 else i]
        if not (last_one and fault == 6):
            out[i] = spare[1 if last_one and fault == 5 else 0]
    if fault == 0:
        out[out.size] = 1
    if fault == 1:
        out[-1] = 1
    if fault == 2:
        spare[16] = 1


def copied(x: np.ndarray, fault: int) -> bytes:
    """Run the kernel on ``x`` and return the bytes of its result."""
    out = np.empty_like(x)
    _copy(x.size, scratch=64, x=x, out=out, fault=fault)
    return out.tobytes()


@pytest.mark.skipif(bool(numba.config.BOUNDSCHECK), reason="with bounds checks they raise an IndexError")
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_noticed(fault):
    x = np.arange(1, 16, dtype=np.float32).reshape(5, 3)
    assert copied(x, -1) == x.tobytes()
    with guarded() as launched:
        assert copied(x, -1) == x.tobytes()
    assert any(name.endswith("test_guard_bands._copy") for name in launched)
    with pytest.raises(AssertionError, match=FAULTS[fault]), guarded():
        assert copied(x, list(FAULTS).index(fault)) == x.tobytes(), "the result depends on what is outside its arrays"


def test_bounds_are_checked_where_numba_is_told_to():
    """A kernel that accesses one number outside raises an error that names it, and the process continues."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bounds"],
        cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    wrong = "The kernel __main__._touch reads or writes outside of an array."
    expected = [
        f"{way}: {said}" for way in bounds.TOUCHES for said in ("nothing", wrong, wrong, "nothing") for _ in "12"
    ]
    assert done.stdout.splitlines() == [*expected, "[0. 2.]"]


def spoiled(value, rubbish: float):
    """Copy a batch with rubbish in its idle lanes."""
    if not isinstance(value, BlockedArray) or value.dtype.kind != "f":
        return value
    copy = BlockedArray(value.blocks.copy(), value.shape)
    idle(copy)[...] = rubbish
    return copy


def left(found, given) -> list[bytes]:
    """Return the bytes of results and arguments, except the indices of maxima in idle lanes."""
    if isinstance(found, tuple) and isinstance(found[1], np.ndarray) and found[1].dtype == np.int8:
        winners = BlockedArray(found[1].copy(), found[0].shape)
        idle(winners)[...] = 0
        found = found[0], winners.blocks
    return [array.tobytes() for array in (*arrays(found, BACKEND), *arrays(given, BACKEND))]


@pytest.mark.parametrize("operation", operations())
def test_what_is_in_lanes_without_an_image_leaks_nowhere(operation):
    """Idle lanes hold zeros in gradients, unless 0 meets infinity, and in activations results for an image of zeros.

    Their values must not affect any result.
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
    """The process has arrays next to inaccessible pages, and new memory is filled with 0x7f, which is 3e38."""
    environment = {**os.environ, "MALLOC_PERTURB_": "128"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.fences"],
        cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-3000:]
    *found, launched = done.stdout.splitlines()
    assert found == [f"{call}: {fences.digest(call, backend)}" for call, backend in fences.calls()]
    assert set(launched.split()) >= LAUNCHED, "a kernel that no call launches"
