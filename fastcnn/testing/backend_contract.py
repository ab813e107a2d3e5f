"""The contract of a backend, which custom ones must also keep."""

import inspect
from collections.abc import Collection, Sequence
from types import ModuleType, SimpleNamespace

import numpy as np

from fastcnn import backends
from fastcnn.backends import COMPILING, POSTPONING, RECORDING
from fastcnn.testing.operations import UPDATES, Call, arrays, calls, is_native
from fastcnn.testing.tolerances import ROUNDINGS, assert_close

OPTIONAL = {name for files in (RECORDING, POSTPONING, COMPILING) for names in files.values() for name in names}
"""Functions that a backend may have besides the operations."""

UNFINITE = {
    "conv2d", "conv2d_relu", "conv_transpose2d", "linear", "linear_relu", "relu", "leaky_relu", "tanh", "sigmoid",
    "hardswish", "softplus", "mish", "add", "max_pool2d", "avg_pool2d", "adaptive_max_pool2d", "adaptive_avg_pool2d",
    "resize_channels", "concatenate", "interpolate", "pad",
}  # fmt: skip
"""Operations that are also called with NaN and infinity."""

SUMS = ("conv", "linear", "prelu", "pool", "pad", "batch", "softmax", "cross_entropy", "norm", "moments", "weighted")
"""Parts of the names of operations that compute sums; all others compute each value from a few."""

SHAPES = (3, 7), (1, 2, 3, 4), (24, 3, 2, 5), (40, 1, 3, 3)


def check_backend(
    package: ModuleType,
    *,
    operations: Collection[str] | None = None,
    dtypes: Sequence[str] = ("float64", "float32"),
) -> None:
    """Assert that a backend keeps its contract: it agrees with "naive" up to rounding.

    * It has every operation of ``fastcnn.backends.operations()`` with the same parameters as in naive. It exports
      nothing else except what `fastcnn.backends` names as optional.
    * ``unpack`` undoes ``pack``, and ``unflatten`` undoes ``flatten``, which is a reshape.
    * In all cases of ``fastcnn.testing.operations``, each operation returns contiguous arrays with the shapes and
      dtypes of naive's. Values agree within the `tolerance` for 64 roundings and, if the operation computes sums, as
      many terms as its largest argument has values. The magnitude is the largest value of the result. Arguments are not
      changed, except those that the operation updates.
    * NaN and infinity appear at the same places as in naive.
    * Values in lanes of its layout that hold no image do not affect any result, even if they are infinity or NaN.

    Parameters
    ----------
    package : module
        A backend, as `fastcnn.backends` describes it.
    operations : collection of str, optional
        The operations to call, by default all. For a backend that is being written; all operations must exist.
    dtypes : sequence of {"float64", "float32"}, optional
        The dtypes in which to call them; by default both.

    Raises
    ------
    AssertionError
        If the backend breaks the contract; the message names the operation and the case.

    Examples
    --------
    >>> from fastcnn import backends
    >>> from fastcnn.testing import check_backend
    >>> check_backend(backends.load("numpy"), operations=["relu", "linear"])
    """
    _check_interface(package)
    _check_layout(package)
    chosen = [call for call in calls() if operations is None or call.operation in operations]
    has_lanes = is_native(package.pack(np.zeros((1, 1))))
    for dtype in map(np.dtype, dtypes):
        for call in chosen:
            haunted = [_with_rubbish(call, rubbish) for rubbish in (np.inf, np.nan)] if has_lanes else []
            _check_calls(package, [call, *haunted], dtype)
            if call.operation in UNFINITE:
                _check_calls(package, [_with_nan_and_inf(call)], dtype)


def _check_interface(package: ModuleType) -> None:
    naive = backends.load("naive")
    for name in backends.operations():
        assert callable(getattr(package, name, None)), f"The backend has no operation {name}."
        own, expected = (list(inspect.signature(getattr(b, name)).parameters) for b in (package, naive))
        assert own == expected, f"{name} has the parameters {own}, but must have {expected}."
    for name in package.__all__:
        assert name in backends.operations() or name in OPTIONAL, (
            f"The backend exports {name}, which is not an operation."
        )


def _check_layout(package: ModuleType) -> None:
    for shape in SHAPES:
        for dtype in (np.float64, np.float32, np.int64):
            x = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)
            native = package.pack(x)
            assert native.shape == shape, f"pack returns a batch of shape {native.shape} for {shape}."
            assert native.dtype == dtype, f"pack returns a batch of {native.dtype} for {x.dtype}."
            _require_equal(package.unpack(native), x, f"unpack does not undo pack, for {x.dtype} of shape {shape}.")
        if len(shape) == 4:
            flat = package.flatten(package.pack(x))
            _require_equal(package.unpack(flat), x.reshape(len(x), -1), f"flatten is not a reshape, for shape {shape}.")
            back = package.unpack(package.unflatten(flat, shape[1:]))
            _require_equal(back, x, f"unflatten does not undo flatten, for shape {shape}.")


def _require_equal(found: np.ndarray, expected: np.ndarray, sentence: str) -> None:
    assert found.dtype == expected.dtype, sentence
    assert np.array_equal(found, expected), sentence


@np.errstate(all="ignore")
def _check_calls(package: ModuleType, same: Sequence[Call], dtype: np.dtype) -> None:
    """Compare an operation with naive in calls that must all have the same results."""
    naive = backends.load("naive")
    given = same[0].arguments(naive, np.random.default_rng(0), dtype)
    numbers = [array for array in arrays(given, naive) if array.dtype.kind == "f"]
    terms = max((array.size for array in numbers), default=0)
    length = ROUNDINGS + (terms if any(part in same[0].operation for part in SUMS) else 0)
    # where values cancel, as in the variance of a constant, the result is the rounding error of values of this size
    rounding = max(map(_largest, numbers), default=0.0) * float(np.finfo(dtype).eps)
    expected = _results(naive, same[0], given)
    for call in same:
        try:
            _check_call(package, call, dtype, expected, length, rounding)
        except Exception as error:
            said = error if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            raise AssertionError(f"{call}, {dtype}: {said}") from error


def _check_call(
    package: ModuleType, call: Call, dtype: np.dtype, expected: Sequence[np.ndarray], length: int, rounding: float
) -> None:
    given = call.arguments(package, np.random.default_rng(0), dtype)
    kept = given[UPDATES.get(call.operation, slice(None))]
    before = [array.tobytes() for array in arrays(kept, package)]
    found = _results(package, call, given)
    assert [array.tobytes() for array in arrays(kept, package)] == before, "it changes its arguments."
    assert len(found) == len(expected), f"it returns {len(found)} arrays, not {len(expected)}."
    for a, b in zip(found, expected, strict=True):
        assert a.flags.c_contiguous, "a result is not contiguous."
        if b.dtype.kind != "f":  # winners or steps, in integers of any width
            assert a.dtype.kind == b.dtype.kind, f"a result is {a.dtype}, not {b.dtype}."
            assert np.array_equal(a, b), f"the whole numbers are {a}, expected {b}."
            continue
        assert a.dtype == b.dtype, f"a result is {a.dtype}, not {b.dtype}."
        a, b = a.astype(dtype), b.astype(dtype)  # losses and moments are float64, but as exact as dtype
        assert_close(a, b, length, np.full(b.shape, max(_largest(b), rounding)))


def _results(package: ModuleType, call: Call, given: tuple) -> list[np.ndarray]:
    """Return the results of an operation, or its arguments if it updates them."""
    found = getattr(package, call.operation)(*given)
    if call.operation in UPDATES:
        found = given
    elif call.operation == "conv2d_max_pool2d":
        found = found[0]  # the indices are in a format of the backend's own
    return list(arrays(found, package))


def _largest(array: np.ndarray) -> float:
    """Return the largest absolute value of the finite elements."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def _with_nan_and_inf(call: Call) -> Call:
    """Return the same call with NaN as the first and infinity as the last value of each batch."""

    def arguments(backend, rng, dtype):
        def pack(x):
            x.flat[0], x.flat[-1] = np.nan, np.inf
            return backend.pack(x)

        return call.arguments(SimpleNamespace(**{**vars(backend), "pack": pack}), rng, dtype)

    return Call(call.operation, f"{call.reason}, NaN and infinity", arguments)


def _with_rubbish(call: Call, rubbish: float) -> Call:
    """Return the same call with rubbish in the idle lanes of each batch, except gradients, where they are always 0."""
    first = 1 if call.operation.endswith("_backward") else 0

    def arguments(backend, rng, dtype):
        given = call.arguments(backend, rng, dtype)
        return *given[:first], *(_haunted(backend, value, rubbish) for value in given[first:])

    return Call(call.operation, f"{call.reason}, {rubbish} in idle lanes", arguments)


def _haunted(backend: ModuleType, value, rubbish: float):
    """Return the same batch with infinity or NaN in the lanes that hold no image.

    Packing sets idle lanes to zero, and elementwise operations also compute in them. So the sigmoid of a batch of large
    negative numbers is zero, and a half in idle lanes. A hyperbolic tangent of a large amplitude and sums make that
    infinity, or NaN. Adding this batch to the original one changes only the idle lanes.
    """
    if isinstance(value, list):
        return [_haunted(backend, item, rubbish) for item in value]
    if not is_native(value) or value.dtype.kind != "f":
        return value
    most = 0.9 * float(np.finfo(value.dtype).max)
    half = backend.sigmoid(backend.pack(np.full(value.shape, -most, value.dtype)))

    def infinite(sign: int):
        large = backend.scaled_tanh(half, sign * most, 3)  # 0.9 of `most`
        return backend.add(large, large)

    ghost = infinite(1) if np.isinf(rubbish) else backend.add(infinite(1), infinite(-1))
    return backend.add(value, ghost)
