"""Softmax and the losses: values worked by hand -> naive -> central differences -> the other backends."""

import copy
import pickle

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn
from fastcnn.testing import CROSS_ENTROPY_CASES, assert_close, central_difference

NAN, INF = np.nan, np.inf
LOG3 = np.log(3)
reductions = pytest.mark.parametrize("reduction", ["mean", "sum"])
shapes = pytest.mark.parametrize(
    "shape", [(1, 1), (1, 10), (24, 10), (40, 3), (5, 100)], ids=["one class", "batch of 1", "24", "40", "100 classes"]
)


@pytest.mark.parametrize(
    ("x", "softmax", "log_softmax"),
    [
        pytest.param([0, LOG3], [0.25, 0.75], np.log([0.25, 0.75]), id="1 to 3"),
        pytest.param([5, 5, 5, 5], [0.25] * 4, [-np.log(4)] * 4, id="all alike"),
        pytest.param([3], [1], [0], id="one class"),
        pytest.param([1000, 1000 + LOG3], [0.25, 0.75], np.log([0.25, 0.75]), id="large: no overflow"),
        pytest.param([-1000, -1000], [0.5, 0.5], np.log([0.5, 0.5]), id="very negative: no 0 / 0"),
        pytest.param([0, -800], [1, 0], [0, -800], id="the logarithm survives underflow"),
        pytest.param([-INF, 0, LOG3], [0, 0.25, 0.75], [-INF, *np.log([0.25, 0.75])], id="-inf is impossible"),
        pytest.param([NAN, 1, 2], [NAN] * 3, [NAN] * 3, id="NaN"),
        pytest.param([1, 2, NAN], [NAN] * 3, [NAN] * 3, id="NaN at the end"),
        pytest.param([INF, 0, 1], [NAN] * 3, [NAN] * 3, id="inf"),
        pytest.param([-INF, -INF], [NAN] * 2, [NAN] * 2, id="nothing but -inf"),
    ],
)
def test_softmax_by_hand(backend, dtype, x, softmax, log_softmax):
    x = np.array([x], dtype)
    # 1000 + log 3 has an error of 1000 u in float32
    magnitude = 2 + np.where(np.isfinite(x), np.abs(x), 0)
    assert_close(F.softmax(x, backend=backend), np.array([softmax], dtype), 8, magnitude)
    assert_close(F.log_softmax(x, backend=backend), np.array([log_softmax], dtype), 8, magnitude)


def test_softmax_backward_by_hand(backend, dtype):
    y, dy = np.array([[0.25, 0.75]], dtype), np.array([[4, 8]], dtype)
    # sum(dy * y) = 1 + 6 = 7
    np.testing.assert_array_equal(F.softmax_backward(dy, y, backend=backend), [[0.25 * (4 - 7), 0.75 * (8 - 7)]])
    dx = F.log_softmax_backward(dy, np.log(y), backend=backend)
    assert_close(dx, np.array([[4 - 0.25 * 12, 8 - 0.75 * 12]], dtype), 8, np.full((1, 2), 20))


@pytest.mark.parametrize("dim", [0, 1, 2, -2], ids=str)
def test_softmax_along_any_axis(backend, dim, rng):
    x, dy = rng.standard_normal((2, 3, 4, 5))
    for name in ("softmax", "log_softmax"):
        y = getattr(F, name)(x, dim=dim, backend=backend)
        dx = getattr(F, f"{name}_backward")(dy, y, dim=dim, backend=backend)
        last = [np.ascontiguousarray(np.moveaxis(a, dim, -1)) for a in (x, dy)]
        expected = getattr(F, name)(last[0], backend=backend)
        np.testing.assert_array_equal(np.moveaxis(y, dim, -1), expected)
        np.testing.assert_array_equal(
            np.moveaxis(dx, dim, -1), getattr(F, f"{name}_backward")(last[1], expected, backend=backend)
        )


@pytest.mark.parametrize(
    ("logits", "target", "losses"),
    [
        pytest.param([[0, LOG3], [0, LOG3]], [1, 0], [np.log(4 / 3), np.log(4)], id="probability 3/4 and 1/4"),
        pytest.param([[0, 0, 0, 0]], [2], [np.log(4)], id="no idea"),
        pytest.param([[1000, -1000]], [1], [2000], id="certain and wrong: no overflow"),
        pytest.param([[1000, -1000]], [0], [0], id="certain and right"),
        pytest.param([[-1000, -1000]], [0], [np.log(2)], id="all far below zero: no logarithm of 0"),
        pytest.param([[-INF, 0]], [0], [INF], id="the target is impossible"),
        pytest.param([[-INF, 0, 0]], [1], [np.log(2)], id="another is impossible"),
        pytest.param([[0, NAN]], [0], [NAN], id="NaN"),
    ],
)
def test_cross_entropy_by_hand(backend, dtype, logits, target, losses):
    logits, target = np.array(logits, dtype), np.array(target)
    for reduction, expected in (("mean", np.mean(losses)), ("sum", np.sum(losses))):
        loss = F.cross_entropy(logits, target, reduction=reduction, backend=backend)
        assert isinstance(loss, float)
        assert loss == pytest.approx(expected, rel=1e-6 if dtype == np.float32 else 1e-14, abs=1e-14, nan_ok=True)


def test_cross_entropy_backward_by_hand(backend, dtype):
    logits, target = np.array([[0, LOG3], [0, LOG3]], dtype), np.array([1, 0])
    expected = np.array([[0.25, -0.25], [-0.75, 0.75]], dtype)
    dlogits = F.cross_entropy_backward(logits, target, reduction="sum", backend=backend)
    assert_close(dlogits, expected, 8, np.ones((2, 2)))
    dlogits = F.cross_entropy_backward(logits, target, backend=backend)
    assert_close(dlogits, expected / 2, 8, np.ones((2, 2)))
    dlogits = F.cross_entropy_backward(np.array([[-INF, 0, 0]], dtype), np.array([0]), backend=backend)
    np.testing.assert_array_equal(dlogits, [[-1, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("options", "loss", "dlogits"),
    [
        # probabilities 1/4 and 3/4 in both rows, targets 1 and 0: losses log(4/3) and log(4)
        pytest.param({"weight": [1, 3]}, (3 * np.log(4 / 3) + np.log(4)) / 4,
                     [[3 / 16, -3 / 16], [-3 / 16, 3 / 16]], id="weights"),
        pytest.param({"weight": [1, 3], "reduction": "sum"}, 3 * np.log(4 / 3) + np.log(4),
                     [[3 / 4, -3 / 4], [-3 / 4, 3 / 4]], id="weights, sum"),
        pytest.param({"weight": [0, 3]}, np.log(4 / 3), [[1 / 4, -1 / 4], [0, 0]], id="a weight of 0"),
        pytest.param({"ignore_index": 0}, np.log(4 / 3), [[1 / 4, -1 / 4], [0, 0]], id="an ignored row"),
        pytest.param({"ignore_index": 1, "reduction": "sum"}, np.log(4), [[0, 0], [-3 / 4, 3 / 4]], id="another, sum"),
        # half for the target, and a quarter for each class: shares 1/4, 3/4 and 3/4, 1/4
        pytest.param({"label_smoothing": 0.5, "reduction": "sum"},
                     (np.log(4) + 3 * np.log(4 / 3)) / 4 + (3 * np.log(4) + np.log(4 / 3)) / 4,
                     [[0, 0], [-1 / 2, 1 / 2]], id="smoothing"),
        # shares: 1/4 * 1, (1/2 + 1/4) * 3 and (1/2 + 1/4) * 1, 1/4 * 3; divided by the weights of the targets, 3 + 1
        pytest.param({"label_smoothing": 0.5, "weight": [1, 3]},
                     (0.25 * np.log(4) + 2.25 * np.log(4 / 3) + 0.75 * np.log(4) + 0.75 * np.log(4 / 3)) / 4,
                     [[0.375 / 4, -0.375 / 4], [-0.375 / 4, 0.375 / 4]], id="smoothing with weights"),
    ],
)  # fmt: skip
def test_cross_entropy_with_options_by_hand(backend, dtype, options, loss, dlogits):
    logits, target = np.array([[0, LOG3], [0, LOG3]], dtype), np.array([1, 0])
    if "weight" in options:
        options = {**options, "weight": np.array(options["weight"], dtype)}
    actual = F.cross_entropy(logits, target, **options, backend=backend)
    assert actual == pytest.approx(loss, rel=1e-6 if dtype == np.float32 else 1e-14)
    gradient = F.cross_entropy_backward(logits, target, **options, backend=backend)
    assert_close(gradient, np.array(dlogits, dtype), 8, np.full((2, 2), 4))


@pytest.mark.parametrize(
    ("criterion", "target", "count"),
    [
        pytest.param(nn.CrossEntropyLoss(), np.array([0, 1, 0]), 3, id="rows"),
        pytest.param(nn.CrossEntropyLoss(np.array([1.0, 0.25])), np.array([0, 1, 0]), 2.25, id="weights"),
        pytest.param(nn.CrossEntropyLoss(ignore_index=1), np.array([0, 1, 0]), 2, id="rows that are not ignored"),
        pytest.param(nn.CrossEntropyLoss(reduction="sum"), np.array([0, 1, 0]), 1, id="a sum"),
        pytest.param(nn.MSELoss(), np.ones((3, 2)), 6, id="elements"),
        pytest.param(nn.MSELoss("sum"), np.ones((3, 2)), 1, id="a sum of squares"),
    ],
)
def test_what_a_mean_is_over(criterion, target, count):
    criterion(np.zeros((3, 2)), target)
    assert criterion.mean_over == pytest.approx(count)


CRITERIA = [
    pytest.param(lambda: nn.CrossEntropyLoss(np.array([1.0, 0.25]), ignore_index=1), np.array([0, 1, 0]), id="classes"),
    pytest.param(nn.MSELoss, np.ones((3, 2)), id="numbers"),
]


@pytest.mark.parametrize(("make", "target"), CRITERIA)
def test_after_a_call_that_failed_there_is_no_gradient_of_an_older_batch(make, target):
    criterion = make()
    criterion(np.zeros((3, 2)), target)
    with pytest.raises((TypeError, ValueError)):
        criterion(np.ones((3, 2)), target[:2])
    with pytest.raises(RuntimeError, match=r"backward needs a loss: call .*\(x, target\) first"):
        criterion.backward()
    with pytest.raises(RuntimeError, match="mean_over needs a loss"):
        _ = criterion.mean_over


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
@pytest.mark.parametrize(("make", "target"), CRITERIA)
def test_a_loss_that_was_used_can_be_copied_without_its_memory(backend, make, target, duplicate):
    criterion, x = make(), np.arange(6.0).reshape(3, 2)
    with fastcnn.use_backend(backend):
        value, gradient = criterion(x, target), criterion.backward()
        twin = duplicate(criterion)
        assert repr(twin) == repr(criterion)
        with pytest.raises(RuntimeError, match="needs a loss"):
            twin.backward()
        assert twin(x, target) == value
        np.testing.assert_array_equal(twin.backward(), gradient)
        np.testing.assert_array_equal(criterion.backward(), gradient)


def test_the_repr_is_clean_whatever_the_numbers_came_from():
    weight = np.array([1, 3], np.float32)
    criterion = nn.CrossEntropyLoss(weight, np.int64(3), np.str_("sum"), np.float64(0.1))
    assert repr(criterion) == (
        "CrossEntropyLoss(reduction='sum', weight=array([1., 3.], dtype=float32), ignore_index=3, label_smoothing=0.1)"
    )
    assert repr(nn.MSELoss(np.str_("mean"))) == "MSELoss(reduction='mean')"


def test_an_ignored_row_may_hold_anything(backend, dtype):
    logits, target = np.array([[NAN, INF], [0, 0]], dtype), np.array([-100, 1])
    assert F.cross_entropy(logits, target, backend=backend) == pytest.approx(np.log(2), rel=1e-6)
    np.testing.assert_array_equal(F.cross_entropy_backward(logits, target, backend=backend), [[0, 0], [0.5, -0.5]])


def test_the_sum_of_ignored_rows_is_zero(backend):
    logits, target = np.ones((2, 3)), np.array([-100, -100])
    assert F.cross_entropy(logits, target, reduction="sum", backend=backend) == 0
    assert not F.cross_entropy_backward(logits, target, reduction="sum", backend=backend).any()


@pytest.mark.parametrize("case", CROSS_ENTROPY_CASES, ids=lambda case: case.reason)
def test_cross_entropy_agrees_with_naive(fast_backend, dtype, case, rng):
    arguments = case.arguments(rng, dtype)
    logits, target = arguments[:2]
    before = [np.copy(array) for array in arguments[:3] if array is not None]
    loss, expected = (np.array(F.cross_entropy(*arguments, backend=b), dtype) for b in (fast_backend, "naive"))
    assert_close(loss, expected, logits.size + 8, np.array(abs(expected) + np.abs(logits).max() * len(target)))
    dlogits, expected = (F.cross_entropy_backward(*arguments, backend=b) for b in (fast_backend, "naive"))
    assert_close(dlogits, expected, logits.shape[1] + 8, np.full(logits.shape, 3 * (1 + 2 * np.abs(logits).max())))
    assert not dlogits[target == case.ignore_index].any()
    for array, earlier in zip([array for array in arguments[:3] if array is not None], before, strict=True):
        np.testing.assert_array_equal(array, earlier)


@pytest.mark.parametrize("case", CROSS_ENTROPY_CASES, ids=lambda case: case.reason)
def test_cross_entropy_gradients_are_central_differences(backend, case, rng):
    logits, *others = case.arguments(rng, np.float64)
    gradient, direction = F.cross_entropy_backward(logits, *others, backend=backend), rng.standard_normal(logits.shape)
    slope = central_difference(lambda v: F.cross_entropy(v, *others, backend=backend), logits, direction)
    assert slope == pytest.approx((gradient * direction).sum(), rel=1e-6, abs=1e-9)


def test_mse_loss_by_hand(backend, dtype):
    x, target = np.array([[1, 3], [0, -2]], dtype), np.array([[0, 1], [0, 1]], dtype)
    assert F.mse_loss(x, target, backend=backend) == (1 + 4 + 0 + 9) / 4
    assert F.mse_loss(x, target, "sum", backend=backend) == 14
    np.testing.assert_array_equal(F.mse_loss_backward(x, target, backend=backend), [[0.5, 1], [0, -1.5]])
    np.testing.assert_array_equal(F.mse_loss_backward(x, target, "sum", backend=backend), [[2, 4], [0, -6]])


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5)], ids=str)
def test_mse_loss_of_any_shape(backend, shape):
    x, target = np.full(shape, 3.0), np.full(shape, 1.0)
    assert F.mse_loss(x, target, backend=backend) == 4
    np.testing.assert_array_equal(F.mse_loss_backward(x, target, "sum", backend=backend), np.full(shape, 4.0))


def test_mse_loss_of_infinities_is_quiet(backend, dtype):
    x, target = np.array([INF, 1], dtype), np.array([INF, 1], dtype)
    assert np.isnan(F.mse_loss(x, target, backend=backend))
    np.testing.assert_array_equal(F.mse_loss_backward(x, target, backend=backend), [NAN, 0])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_gradients_are_central_differences(backend, name, rng):
    x, dy, direction = rng.standard_normal((3, 4, 7))
    y = getattr(F, name)(x, backend=backend)
    dx = getattr(F, f"{name}_backward")(dy, y, backend=backend)
    slope = central_difference(lambda v: float((getattr(F, name)(v, backend=backend) * dy).sum()), x, direction)
    assert slope == pytest.approx((dx * direction).sum(), rel=1e-7, abs=1e-9)


@reductions
def test_loss_gradients_are_central_differences(backend, reduction, rng):
    x, other, direction = rng.standard_normal((3, 4, 7))
    target = rng.integers(0, 7, 4)
    gradient = F.cross_entropy_backward(x, target, reduction=reduction, backend=backend)
    slope = central_difference(lambda v: F.cross_entropy(v, target, reduction=reduction, backend=backend), x, direction)
    assert slope == pytest.approx((gradient * direction).sum(), rel=1e-7, abs=1e-9)
    gradient = F.mse_loss_backward(x, other, reduction, backend=backend)
    slope = central_difference(lambda v: F.mse_loss(v, other, reduction, backend=backend), x, direction)
    assert slope == pytest.approx((gradient * direction).sum(), rel=1e-7, abs=1e-9)


@shapes
def test_softmax_agrees_with_naive(fast_backend, dtype, shape, rng):
    x, dy = (5 * rng.standard_normal((2, *shape))).astype(dtype)
    classes = shape[1]
    largest = np.abs(x).max()
    y, log_y = F.softmax(x, backend="naive"), F.log_softmax(x, backend="naive")
    # x - m has an error of |x - m| u, which exp turns into a relative one
    assert_close(F.softmax(x, backend=fast_backend), y, classes + 8, y * (1 + 2 * largest))
    assert_close(F.log_softmax(x, backend=fast_backend), log_y, classes + 8, np.full(shape, 1 + 3 * largest))
    sums = np.abs(dy).sum(axis=1, keepdims=True)
    for name, known in (("softmax_backward", y), ("log_softmax_backward", log_y)):
        backward = getattr(F, name)
        actual, expected = (backward(dy, known, backend=backend) for backend in (fast_backend, "naive"))
        assert_close(actual, expected, classes + 8, np.abs(dy) + y * sums * (1 + largest))


@shapes
@reductions
def test_losses_agree_with_naive(fast_backend, dtype, shape, reduction, rng):
    x, other = (5 * rng.standard_normal((2, *shape))).astype(dtype)
    target = rng.integers(0, shape[1], shape[0])
    largest, length = np.abs(x).max(), shape[0] + shape[1] + 8
    rows = shape[0] if reduction == "sum" else 1

    def both(name, *arguments):
        values = [
            getattr(F, name)(*arguments, reduction=reduction, backend=backend) for backend in (fast_backend, "naive")
        ]
        return [np.array(value, dtype) for value in values]

    assert_close(*both("cross_entropy", x, target), length, np.array(rows * (1 + 3 * largest)))
    assert_close(*both("cross_entropy_backward", x, target), length, np.full(shape, 1 + 2 * largest))
    assert_close(*both("mse_loss", x, other), x.size + 8)
    assert_close(*both("mse_loss_backward", x, other), 8)


def test_memory_order_does_not_matter_and_inputs_stay(backend, memory_order, rng):
    x, dy = rng.standard_normal((2, 4, 6)).astype(np.float32)
    target = rng.integers(0, 6, 4)
    calls = [
        (F.softmax, x),
        (F.log_softmax, x),
        (F.softmax_backward, dy, x),
        (F.log_softmax_backward, dy, x),
        (F.cross_entropy, x, target),
        (F.cross_entropy_backward, x, target),
        (F.mse_loss, x, dy),
        (F.mse_loss_backward, x, dy),
    ]
    for function, *arrays in calls:
        reordered = [memory_order(array) for array in arrays]
        np.testing.assert_array_equal(function(*reordered, backend=backend), function(*arrays, backend=backend))
        for there, array in zip(reordered, arrays, strict=True):
            np.testing.assert_array_equal(there, array)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8], ids=lambda kind: kind.__name__)
def test_labels_of_any_integer_type(backend, kind, rng):
    logits, target = rng.standard_normal((5, 4)), np.array([0, 3, 1, 2, 3])
    assert F.cross_entropy(logits, target.astype(kind), backend=backend) == F.cross_entropy(
        logits, target, backend=backend
    )


@pytest.mark.parametrize("kind", [">i4", ">u2", "<i8", "u1"])
def test_labels_may_be_integers_of_any_size_and_byte_order(backend, kind):
    logits, labels = np.eye(3), np.array([2, 0, 1])
    assert F.cross_entropy(logits, labels.astype(kind), backend=backend) == F.cross_entropy(
        logits, labels, backend=backend
    )
