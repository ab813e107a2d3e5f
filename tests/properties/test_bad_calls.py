"""Random mistakes in arguments of gradients give an error before any backend runs, or equal results on all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcnn import backends
from fastcnn import functional as F
from fastcnn.testing import activations
from tests.properties.draws import FAST


def images(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


X, WEIGHT, ROWS, SIGNALS = images(3, 4, 6, 5), images(6, 2, 3, 3), images(3, 5), images(3, 4, 6)
_, WINNERS = F.max_pool2d(X, 2, return_indices=True, backend="numpy")
_, ADAPTIVE = F.adaptive_max_pool2d(X, 3, return_indices=True, backend="numpy")
_, PLACES_1D = F.max_pool1d(SIGNALS, 2, return_indices=True, backend="numpy")
CLASSES = {"logits": ROWS, "target": np.array([0, 4, 2])}

CALLS = {
    F.conv1d_backward: {"dy": images(3, 6, 4), "x": SIGNALS, "weight": images(6, 2, 3), "groups": 2},
    F.conv_transpose1d_backward: {"dy": images(3, 4, 8), "x": SIGNALS, "weight": images(4, 2, 3), "groups": 2},
    F.max_pool1d_backward: {
        "dy": images(3, 4, 3), "indices": PLACES_1D, "x_shape": SIGNALS.shape, "kernel_size": 2},
    F.avg_pool1d_backward: {"dy": images(3, 4, 3), "x_shape": SIGNALS.shape, "kernel_size": 2},
    F.adaptive_max_pool1d_backward: {"dy": images(3, 4, 3), "indices": PLACES_1D, "x_shape": SIGNALS.shape},
    F.adaptive_avg_pool1d_backward: {"dy": images(3, 4, 3), "x_shape": SIGNALS.shape},
    F.conv2d_backward: {"dy": images(3, 6, 4, 3), "x": X, "weight": WEIGHT, "groups": 2},
    F.conv_transpose2d_backward: {"dy": images(3, 4, 8, 7), "x": X, "weight": images(4, 2, 3, 3), "groups": 2},
    F.linear_backward: {"dy": images(3, 2), "x": ROWS, "weight": images(2, 5)},
    F.max_pool2d_backward: {"dy": images(3, 4, 3, 2), "indices": WINNERS, "x_shape": X.shape, "kernel_size": 2},
    F.avg_pool2d_backward: {"dy": images(3, 4, 3, 2), "x_shape": X.shape, "kernel_size": 2},
    F.adaptive_max_pool2d_backward: {"dy": images(3, 4, 3, 3), "indices": ADAPTIVE, "x_shape": X.shape},
    F.adaptive_avg_pool2d_backward: {"dy": images(3, 4, 3, 3), "x_shape": X.shape},
    F.batch_norm_backward: {"dy": X, "x": X, "mean": images(4), "invstd": images(4), "weight": images(4),
                            "training": True},
    F.cross_entropy_backward: {**CLASSES, "weight": np.abs(images(5))},
    F.nll_loss_backward: {"x": ROWS, "target": CLASSES["target"], "weight": np.abs(images(5)), "reduction": "none",
                          "dy": images(3)},
    F.binary_cross_entropy_with_logits_backward: {"x": ROWS, "target": np.abs(ROWS), "weight": np.abs(images(3, 1)),
                                                  "pos_weight": np.abs(images(5))},
    F.mse_loss_backward: {"x": X, "target": X},
    **{
        f: {"x": X, "target": np.ones_like(X), "reduction": "none", "dy": X}
        for f in (F.l1_loss_backward, F.smooth_l1_loss_backward, F.huber_loss_backward)
    },
    **{
        getattr(F, f"{name}_backward"): {"dy": X, "y" if name in activations.FROM_OUTPUT else "x": X}
        for name in activations.NAMES
    },
    **{f: {"dy": X, "y": X} for f in (F.softmax_backward, F.log_softmax_backward)},
    F.dropout_backward: {"dy": X, "mask": X}, F.dropout2d_backward: {"dy": X, "mask": X},
    F.group_norm_backward: {"dy": X, "x": X, "num_groups": 2, "weight": images(4)},
    F.layer_norm_backward: {"dy": X, "x": X, "normalized_shape": (6, 5), "weight": images(6, 5)},
    F.prelu_backward: {"dy": X, "x": X, "weight": images(4)},
    F.pad_backward: {"dy": images(3, 4, 7, 8), "x_shape": X.shape, "pad": (1, 2, 0, 1), "mode": "reflect"},
    F.interpolate_backward: {"dy": images(3, 4, 9, 9), "x_shape": X.shape, "mode": "bilinear"},
}  # fmt: skip
PLACES = [
    (function, name) for function, given in CALLS.items()
    for name, value in given.items() if isinstance(value, np.ndarray | tuple)
]  # fmt: skip


def of_another_type(array):
    kinds = [np.float16, np.float32, np.float64, ">f4", np.int8, np.int64, np.uint64, np.complex64, bool, object]
    return st.sampled_from(kinds).map(array.astype)


@st.composite
def of_another_shape(draw, array):
    axis = draw(st.integers(0, array.ndim - 1))
    ways = [
        lambda: array[:0], lambda: array[0], lambda: array[None], lambda: array.ravel(), lambda: array.ravel()[0],
        lambda: np.array(array.ravel()[0]), lambda: np.swapaxes(array, axis, -1), lambda: array[1:],
        lambda: np.concatenate([array, array], axis), lambda: np.delete(array, 0, axis), lambda: array[..., :0],
    ]  # fmt: skip
    return draw(st.sampled_from(ways))()


@st.composite
def of_another_value(draw, array):
    """Change values of an integer array, so that indices point elsewhere."""
    copy = array.astype(draw(st.sampled_from([np.int64, np.int32])))
    far = st.sampled_from([-1, -(2**31), 29, 30, 31, 2**31 - 1]) | st.integers(0, 29)
    copy.reshape(-1)[draw(st.integers(0, copy.size - 1))] = draw(far)
    return copy


def no_array(value):
    return st.sampled_from([None, 1.0, "x", value.tolist() if isinstance(value, np.ndarray) else np.array(value)])


@st.composite
def another_size(draw, shape):
    sizes = list(shape)
    wrong = [0, -1, 1, 2, 7, 1.0, True, None, "3", np.int64(3), [3], np.array(3)]
    sizes[draw(st.integers(0, len(sizes) - 1))] = draw(st.sampled_from(wrong))
    return draw(st.sampled_from([tuple(sizes), sizes, sizes[:-1], (*sizes, 1)]))


@st.composite
def spoiled(draw, value):
    """Draw the argument with a mistake, or unchanged."""
    if isinstance(value, tuple):
        return draw(another_size(value) | no_array(value))
    ways = [of_another_type(value), of_another_shape(value), no_array(value)]
    return draw(st.one_of(ways + [of_another_value(value)] * 2 if value.dtype.kind == "i" else ways))


def outcome(function, arguments, backend, monkeypatch):
    """Return the result or error message of a call, and whether the backend was called."""
    asked = []
    monkeypatch.setattr(backends, "load", lambda name: asked.append(name) or LOAD(name))
    try:
        return function(**arguments, backend=backend), bool(asked)
    except (TypeError, ValueError) as error:
        return error, bool(asked)


LOAD = backends.load


def test_no_gradient_is_left_out():
    assert {getattr(F, name) for name in F.__all__ if name.endswith("_backward")} == set(CALLS)


@settings(max_examples=20 * settings.default.max_examples)
@given(st.data())
def test_a_mistake_gets_a_sentence_before_a_backend_is_asked(data):
    function, name = data.draw(st.sampled_from(PLACES))
    arguments = CALLS[function] | {name: data.draw(spoiled(CALLS[function][name]))}
    with pytest.MonkeyPatch.context() as monkeypatch, np.errstate(all="ignore"):
        found = [outcome(function, arguments, backend, monkeypatch) for backend in FAST]
    (first, asked), (second, _) = found
    if isinstance(first, Exception):
        assert not asked, first
        assert "`" in str(first)
        assert (type(first), str(first)) == (type(second), str(second))
        return
    first, second = ([a for a in (r if isinstance(r, tuple) else (r,)) if a is not None] for r in (first, second))
    for one, other in zip(first, second, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
