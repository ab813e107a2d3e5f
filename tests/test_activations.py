"""Activations and dropout: values computed by hand -> naive -> central differences -> the other backends."""

import numpy as np
import pytest

from fastcnn import functional as F
from fastcnn.testing import assert_close, central_difference
from fastcnn.testing.activations import CASES, FROM_OUTPUT, GATES

NAN, INF = np.nan, np.inf
LOG2, LOG3 = np.log(2), np.log(3)
ROOT2, ERF1 = np.sqrt(2), 0.8427007929497149  # erf(1) from a table

activations = pytest.mark.parametrize("name", CASES)


def forward(name, x, backend):
    operation, options = CASES[name]
    return getattr(F, operation)(x, **options, backend=backend)


def backward(name, dy, x, backend):
    operation, options = CASES[name]
    known = forward(name, x, "naive") if operation in FROM_OUTPUT else x
    return getattr(F, f"{operation}_backward")(dy, known, **options, backend=backend)


def magnitude(name, x, y):
    """Return x where y is x times a small number, else y: such a y has the relative precision of x."""
    return np.where(np.isfinite(x), x, 0) if CASES[name][0] in GATES else y


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        pytest.param("relu", [-2, -0.5, 0, 3, INF, -INF, NAN], [0, 0, 0, 3, INF, 0, NAN], id="relu"),
        pytest.param("leaky_relu, other", [-2, 0, 3, INF, -INF, NAN], [-0.2, 0, 3, INF, -INF, NAN], id="leaky_relu"),
        # tanh(log 3 / 2) = (sqrt 3 - 1/sqrt 3) / (sqrt 3 + 1/sqrt 3) = (3 - 1) / (3 + 1)
        pytest.param("tanh", [0, LOG3 / 2, -LOG3 / 2, INF, -INF, NAN], [0, 0.5, -0.5, 1, -1, NAN], id="tanh"),
        pytest.param("scaled_tanh, other", [0, LOG3, -LOG3, INF, -INF, NAN], [0, 1, -1, 2, -2, NAN], id="scaled_tanh"),
        pytest.param("sigmoid", [0, LOG3, -LOG3, INF, -INF, NAN], [0.5, 0.75, 0.25, 1, 0, NAN], id="sigmoid"),
        pytest.param("sigmoid", [1e4, -1e4, 90, -800], [1, 0, 1, 0], id="sigmoid does not overflow"),
        pytest.param(
            "gelu",
            [0, ROOT2, -ROOT2, 1e4, -1e4, INF, -INF, NAN],
            [0, ROOT2 * (1 + ERF1) / 2, -ROOT2 * (1 - ERF1) / 2, 1e4, 0, INF, NAN, NAN],
            id="gelu",
        ),
        pytest.param(
            "gelu, other",
            [0, 1, -1, 1e4, -1e4, INF, -INF, NAN],
            [0, 0.8411919906082768, -0.15880800939172324, 1e4, 0, INF, NAN, NAN],
            id="gelu by tanh",
        ),
        pytest.param(
            "silu", [0, LOG3, -LOG3, INF, -INF, NAN], [0, 0.75 * LOG3, -0.25 * LOG3, INF, NAN, NAN], id="silu"
        ),
        pytest.param("silu", [1e4, -1e4, 90, -800], [1e4, 0, 90, 0], id="silu does not overflow"),
        pytest.param("elu", [0, 2, -LOG3, -1e4, INF, -INF, NAN], [0, 2, -2 / 3, -1, INF, -1, NAN], id="elu"),
        pytest.param("elu, other", [-LOG3, -INF], [-0.2, -0.3], id="elu, alpha"),
        pytest.param(
            "hardswish",
            [-1e4, -3, -1.5, 0, 1, 3, 1e4, INF, -INF, NAN],
            [0, 0, -0.375, 0, 2 / 3, 3, 1e4, INF, NAN, NAN],
            id="hardswish",
        ),
        # log(1 + exp(log 3)) = 2 log 2, and log(1 + 1/3) = 2 log 2 - log 3
        pytest.param(
            "softplus",
            [0, LOG3, -LOG3, 1e4, -1e4, INF, -INF, NAN],
            [LOG2, 2 * LOG2, 2 * LOG2 - LOG3, 1e4, 0, INF, 0, NAN],
            id="softplus",
        ),
        pytest.param("softplus, other", [0, LOG3 / 2, 1.5625], [LOG2 / 2, LOG2, 1.5625], id="softplus, threshold"),
        # tanh(log 2) = (4 - 1) / (4 + 1), tanh(log 4) = (16 - 1) / (16 + 1), tanh(log 4/3) = (16 - 9) / (16 + 9)
        pytest.param(
            "mish",
            [0, LOG3, -LOG3, 1e4, -1e4, INF, -INF, NAN],
            [0, LOG3 * 15 / 17, -LOG3 * 7 / 25, 1e4, 0, INF, NAN, NAN],
            id="mish",
        ),
    ],
)
def test_forward_by_hand(backend, dtype, name, x, y):
    y = np.array(y, dtype)
    assert_close(forward(name, np.array(x, dtype), backend), y, 8, magnitude(name, np.array(x, dtype), y))


@pytest.mark.parametrize(
    ("name", "known", "dy", "dx"),
    [
        pytest.param("relu", [0, 2, NAN, 0, 0], [5, 5, 5, INF, NAN], [0, 5, 5, 0, 0], id="relu, from its output"),
        pytest.param(
            "leaky_relu, other",
            [-2, 0, 3, NAN],
            [5, 5, 5, 5],
            [0.5, 0.5, 5, 0.5],
            id="leaky_relu, from its input",
        ),
        pytest.param("tanh", [0.5, -1, NAN], [4, 4, 4], [3, 0, NAN], id="tanh, from its output"),
        pytest.param("scaled_tanh, other", [1, -2, NAN], [4, 4, 4], [3, 0, NAN], id="scaled_tanh, from its output"),
        pytest.param("sigmoid", [0.5, 0.25, 1, NAN], [4, 16, 4, 4], [1, 3, 0, NAN], id="sigmoid, from its output"),
        pytest.param("silu", [0, LOG3], [4, 16], [2, 12 + 3 * LOG3], id="silu, from its input"),
        pytest.param("elu", [-LOG3, 0, 2, NAN], [6, 6, 6, 6], [2, 6, 6, NAN], id="elu, from its input"),
        pytest.param("elu, other", [-LOG3], [5], [0.5], id="elu with alpha"),
        pytest.param("gelu", [0, 40, -40], [6, 6, 6], [3, 6, 0], id="gelu, from its input"),
        pytest.param("gelu, other", [0, 40, -40], [6, 6, 6], [3, 6, 0], id="gelu by tanh, from its input"),
        pytest.param("gelu, other", [1e30, -1e30, INF, -INF, NAN], [6] * 5, [6, 0, NAN, NAN, NAN], id="gelu, far"),
        pytest.param(
            "hardswish",
            [-1e4, -3, 0, 1.5, 3, 1e4, NAN],
            [6] * 7,
            [0, 0, 3, 6, 6, 6, NAN],
            id="hardswish, from its input",
        ),
        pytest.param(
            "softplus", [0, LOG3, 1e4, -1e4, INF, NAN], [4] * 6, [2, 3, 4, 0, 4, NAN], id="softplus, from its input"
        ),
        pytest.param("softplus, other", [LOG3 / 2, 1.5625], [4, 4], [3, 4], id="softplus with a threshold"),
        # 3/5 + 0, and 15/17 + log 3 * 3/4 * (1 - 15^2/17^2)
        pytest.param(
            "mish",
            [0, LOG3, 1e4, -1e4, INF, NAN],
            [5, 17, 5, 5, 5, 5],
            [3, 15 + LOG3 * 48 / 17, 5, 0, NAN, NAN],
            id="mish, from its input",
        ),
        pytest.param("sigmoid", [0, 0.5], [INF, NAN], [NAN, NAN], id="0 times inf is NaN"),
    ],
)
def test_backward_by_hand(backend, dtype, name, known, dy, dx):
    dy, known = np.array(dy, dtype), np.array(known, dtype)
    operation, options = CASES[name]
    actual = getattr(F, f"{operation}_backward")(dy, known, **options, backend=backend)
    assert_close(actual, np.array(dx, dtype), length=8)


@activations
def test_gradients_are_central_differences(backend, name, rng):
    x = rng.permutation(np.linspace(-2.95, 2.95, 60)).reshape(3, 20)  # no value within one step of a kink at an integer
    dy, direction = rng.standard_normal(x.shape), rng.standard_normal(x.shape)
    dx = backward(name, dy, x, backend)
    slope = central_difference(lambda v: float((forward(name, v, backend) * dy).sum()), x, direction)
    assert slope == pytest.approx((dx * direction).sum(), rel=1e-7)


@activations
@pytest.mark.parametrize("shape", [(), (7,), (40, 3), (17, 2, 3, 5), (2, 3, 4, 5, 6)], ids=str)
def test_agrees_with_naive_for_any_shape(fast_backend, dtype, name, shape, rng):
    x, dy = (np.array(3 * rng.standard_normal(shape), dtype) for _ in range(2))
    y = forward(name, x, "naive")
    assert_close(forward(name, x, fast_backend), y, 8, magnitude(name, x, y))
    # 1 - y * y loses digits where y is near 1, so the bound is relative to dy
    assert_close(backward(name, dy, x, fast_backend), backward(name, dy, x, "naive"), length=8, magnitude=dy)


@activations
def test_agrees_with_naive_over_the_whole_range(fast_backend, dtype, name):
    x = np.concatenate([-np.logspace(3, -6, 500), [0], np.logspace(-6, 3, 500)]).astype(dtype)
    y = forward(name, x, "naive")
    assert_close(forward(name, x, fast_backend), y, 8, magnitude(name, x, y))


@activations
def test_memory_order_does_not_matter_and_inputs_stay(backend, memory_order, name, rng):
    x, dy = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    x_there, dy_there = memory_order(x), memory_order(dy)
    np.testing.assert_array_equal(forward(name, x_there, backend), forward(name, x, backend))
    np.testing.assert_array_equal(backward(name, dy_there, x_there, backend), backward(name, dy, x, backend))
    np.testing.assert_array_equal(x_there, x)
    np.testing.assert_array_equal(dy_there, dy)


def test_dropout_scales_what_it_keeps(backend, dtype, rng):
    x = np.full((200, 50), 3, dtype)
    y, mask = F.dropout(x, 0.25, rng=rng, backend=backend)
    assert y.dtype == mask.dtype == dtype
    assert set(np.unique(mask)) == {dtype(0), dtype(4 / 3)}
    np.testing.assert_array_equal(y, x * mask)
    # 10,000 draws with p = 1/4: a standard deviation of 0.0043
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert y.mean() == pytest.approx(3, abs=0.06)


def test_dropout_depends_on_the_generator_alone(backend):
    x = np.ones((5, 6, 7))
    masks = [F.dropout(a, rng=np.random.default_rng(3), backend=backend)[1] for a in (x, np.asfortranarray(x))]
    np.testing.assert_array_equal(*masks)
    naive = F.dropout(x, rng=np.random.default_rng(3), backend="naive")[1]
    np.testing.assert_array_equal(masks[0], naive)


def test_dropout_outside_of_training_is_a_copy(backend, rng):
    x = np.array([1.0, NAN, INF])
    y, mask = F.dropout(x, 0.9, training=False, rng=rng, backend=backend)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(mask, np.ones(3))
    assert not np.shares_memory(y, x)


def test_dropout_backward_by_hand(backend, dtype):
    dy, mask = np.array([3, 3, NAN, INF], dtype), np.array([2, 0, 0, 0], dtype)
    np.testing.assert_array_equal(F.dropout_backward(dy, mask, backend=backend), [6, 0, NAN, NAN])


@pytest.mark.parametrize("shape", [(3, 2053), (40, 4099, 1, 1), (1, 257, 17, 1)], ids=str)
def test_sizes_that_cannot_be_divided_evenly(shape, rng):
    """Blocks that no number of equal pieces fits are cut anywhere."""
    x = rng.standard_normal(shape).astype(np.float32)
    np.testing.assert_array_equal(F.relu(x, backend="numba"), np.maximum(x, 0))
