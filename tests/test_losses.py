"""Softmax and the losses: values computed by hand -> naive -> central differences -> the other backends."""

import copy
import pickle

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn
from fastcnn.testing import LOSS_CASES, assert_close, central_difference

NAN, INF = np.nan, np.inf
LOG3 = np.log(3)
shapes = pytest.mark.parametrize(
    "shape", [(1, 1), (1, 10), (24, 10), (40, 3), (5, 100)], ids=["one class", "batch of 1", "24", "40", "100 classes"]
)


@pytest.mark.parametrize(
    ("x", "softmax", "log_softmax"),
    [
        pytest.param([0, LOG3], [0.25, 0.75], np.log([0.25, 0.75]), id="1 to 3"),
        pytest.param([5, 5, 5, 5], [0.25] * 4, [-np.log(4)] * 4, id="all equal"),
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
        pytest.param([[0, 0, 0, 0]], [2], [np.log(4)], id="uniform"),
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
        # half for the target, and a quarter for each class: probabilities 1/4, 3/4 and 3/4, 1/4
        pytest.param({"label_smoothing": 0.5, "reduction": "sum"},
                     (np.log(4) + 3 * np.log(4 / 3)) / 4 + (3 * np.log(4) + np.log(4 / 3)) / 4,
                     [[0, 0], [-1 / 2, 1 / 2]], id="smoothing"),
        # weighted: 1/4 * 1, (1/2 + 1/4) * 3 and (1/2 + 1/4) * 1, 1/4 * 3; divided by the weights of the targets, 3 + 1
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
        pytest.param(nn.MSELoss("none"), np.ones((3, 2)), 1, id="no sum"),
        pytest.param(nn.CrossEntropyLoss(np.array([1.0, 0.25])), np.ones((3, 2)), 3, id="rows with soft targets"),
        pytest.param(nn.NLLLoss(np.array([1.0, 0.25])), np.array([0, 1, 0]), 2.25, id="weights, logarithms"),
        pytest.param(nn.BCEWithLogitsLoss(np.array([1.0, 0.25])), np.ones((3, 2)), 6, id="elements with weights"),
    ],
)
def test_what_a_mean_is_over(criterion, target, count):
    criterion(np.zeros((3, 2)), target)
    assert criterion.mean_over == pytest.approx(count)


CLASSES = "CrossEntropyLoss", "NLLLoss"
CRITERIA = [
    *(
        pytest.param(lambda k=kind: nn.LOSSES[k](np.array([1.0, 0.25]), ignore_index=1), np.array([0, 1, 0]), id=kind)
        for kind in CLASSES
    ),
    *(pytest.param(kind, np.full((3, 2), 0.4), id=name) for name, kind in nn.LOSSES.items() if name not in CLASSES),
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
    assert repr(nn.HuberLoss(delta=np.float32(2))) == "HuberLoss(reduction='mean', delta=2.0)"
    assert repr(nn.SmoothL1Loss("none", 1)) == "SmoothL1Loss(reduction='none')"
    pos_weight = np.array([2.0])
    assert repr(nn.BCEWithLogitsLoss(pos_weight=pos_weight)) == (
        "BCEWithLogitsLoss(reduction='mean', pos_weight=array([2.]))"
    )


def test_an_ignored_row_may_hold_anything(backend, dtype):
    logits, target = np.array([[NAN, INF], [0, 0]], dtype), np.array([-100, 1])
    assert F.cross_entropy(logits, target, backend=backend) == pytest.approx(np.log(2), rel=1e-6)
    np.testing.assert_array_equal(F.cross_entropy_backward(logits, target, backend=backend), [[0, 0], [0.5, -0.5]])


def test_the_sum_of_ignored_rows_is_zero(backend):
    logits, target = np.ones((2, 3)), np.array([-100, -100])
    assert F.cross_entropy(logits, target, reduction="sum", backend=backend) == 0
    assert not F.cross_entropy_backward(logits, target, reduction="sum", backend=backend).any()


cases = pytest.mark.parametrize("case", LOSS_CASES, ids=str)


@cases
def test_losses_agree_with_naive(fast_backend, dtype, case, rng):
    x, target, options = case.arguments(rng, dtype)
    before = [array.copy() for array in (x, target)]
    function, backward = getattr(F, case.loss), getattr(F, f"{case.loss}_backward")
    loss, expected = (function(x, target, **options, backend=b) for b in (fast_backend, "naive"))
    dy = case.gradient(expected, rng)
    heaviest = max([1.0, *(array.max() for array in options.values() if isinstance(array, np.ndarray))]) ** 2
    largest = np.abs(x).max() + (0 if case.has_classes else np.abs(target).max())
    size = heaviest * (1 + 3 * largest) ** 2
    rows = x.size if options.get("reduction") == "sum" else 1
    terms = x.size + 8
    assert type(loss) is type(expected)
    found, expected = np.asarray(loss, dtype), np.asarray(expected, dtype)
    assert_close(found, expected, terms if expected.ndim == 0 else 64, np.full(expected.shape, rows * size))
    dx, expected = (backward(x, target, **options, **dy, backend=b) for b in (fast_backend, "naive"))
    assert_close(dx, expected, 64 + (x.shape[1] if x.ndim > 1 else 0), np.full(x.shape, size * 3))
    for array, earlier in zip((x, target), before, strict=True):
        np.testing.assert_array_equal(array, earlier)


@cases
def test_loss_gradients_are_central_differences(backend, case, rng):
    x, target, options = case.arguments(rng, np.float64)
    if backend == "naive" and x.size > 500:
        pytest.skip("naive takes too long")
    function = getattr(F, case.loss)
    dy = case.gradient(function(x, target, **options, backend=backend), rng)
    gradient = getattr(F, f"{case.loss}_backward")(x, target, **options, **dy, backend=backend)
    direction = rng.standard_normal(x.shape)

    def loss(v):
        return np.sum(function(np.asarray(v), target, **options, backend=backend) * dy.get("dy", 1.0))

    slope = central_difference(loss, x, direction)
    assert slope == pytest.approx((gradient * direction).sum(), rel=1e-6, abs=2e-7)


@cases
def test_a_loss_is_what_its_function_is(fast_backend, case, rng):
    x, target, options = case.arguments(rng, np.float32)
    criterion = nn.LOSSES[case.layer](**options)
    with fastcnn.use_backend(fast_backend):
        loss = criterion(x, target)
        np.testing.assert_array_equal(loss, criterion.forward(x, target))
        np.testing.assert_array_equal(loss, getattr(F, case.loss)(x, target, **options))
        dy = case.gradient(loss, rng)
        expected = getattr(F, f"{case.loss}_backward")(x, target, **options, **dy)
        np.testing.assert_array_equal(criterion.backward(*dy.values()), expected)
        if options.get("reduction", "mean") != "mean":
            assert criterion.mean_over == 1
        else:
            total = getattr(F, case.loss)(x, target, **{**options, "reduction": "sum"})
            assert loss * criterion.mean_over == pytest.approx(total, rel=1e-5)
            losses = getattr(F, case.loss)(x, target, **{**options, "reduction": "none"})
            assert losses.sum(dtype=np.float64) == pytest.approx(total, rel=1e-5)


def test_every_loss_has_cases():
    assert {case.layer for case in LOSS_CASES} == set(nn.LOSSES)
    assert {f"{case.loss}{which}" for case in LOSS_CASES for which in ("", "_backward")} <= set(F.__all__)


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


@shapes
def test_softmax_agrees_with_naive(fast_backend, dtype, shape, rng):
    x, dy = (5 * rng.standard_normal((2, *shape))).astype(dtype)
    classes = shape[1]
    largest = np.abs(x).max()
    y, log_y = F.softmax(x, backend="naive"), F.log_softmax(x, backend="naive")
    # x - m has an absolute error of |x - m| u, which exp turns into a relative error
    assert_close(F.softmax(x, backend=fast_backend), y, classes + 8, y * (1 + 2 * largest))
    assert_close(F.log_softmax(x, backend=fast_backend), log_y, classes + 8, np.full(shape, 1 + 3 * largest))
    sums = np.abs(dy).sum(axis=1, keepdims=True)
    for name, known in (("softmax_backward", y), ("log_softmax_backward", log_y)):
        backward = getattr(F, name)
        actual, expected = (backward(dy, known, backend=backend) for backend in (fast_backend, "naive"))
        assert_close(actual, expected, classes + 8, np.abs(dy) + y * sums * (1 + largest))


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


BCE = "binary_cross_entropy_with_logits"
ONE_BY_ONE = [  # the loss, its options, x, target, the losses and their gradients
    ("mse_loss", {}, [1, 3, NAN, INF, -INF], [0, 5, 0, 0, 0], [1, 4, NAN, INF, INF], [2, -4, NAN, INF, -INF]),
    ("l1_loss", {}, [1, 3, 2, NAN, INF, -INF], [0, 5, 2, 0, 0, 0], [1, 2, 0, NAN, INF, INF], [1, -1, 0, NAN, 1, -1]),
    ("smooth_l1_loss", {}, [0.5, 1, -3, NAN, INF, -INF], [0] * 6, [1 / 8, 1 / 2, 2.5, NAN, INF, INF],
     [1 / 2, 1, -1, NAN, 1, -1]),
    ("smooth_l1_loss", {"beta": 2}, [1, 2, -3, NAN], [0] * 4, [1 / 4, 1, 2, NAN], [1 / 2, 1, -1, NAN]),
    ("smooth_l1_loss", {"beta": 0}, [1, 0, -3, NAN], [0] * 4, [1, 0, 3, NAN], [1, 0, -1, NAN]),
    ("huber_loss", {}, [0.5, 1, -3, NAN, INF, -INF], [0] * 6, [1 / 8, 1 / 2, 2.5, NAN, INF, INF],
     [1 / 2, 1, -1, NAN, 1, -1]),
    ("huber_loss", {"delta": 2}, [1, 2, -3, NAN], [0] * 4, [1 / 2, 2, 4, NAN], [1, 2, -2, NAN]),
    # probabilities 1/2, 3/4 and 1/4
    (BCE, {}, [0, LOG3, -LOG3, NAN], [0.3, 1, 1, 1], [np.log(2), np.log(4 / 3), np.log(4), NAN],
     [0.2, -1 / 4, -3 / 4, NAN]),
    (BCE, {}, [1e4, 1e4, -1e4, -1e4], [1, 0, 1, 0], [0, 1e4, 1e4, 0], [0, 1, -1, 0]),
    (BCE, {}, [INF, -INF, 1e30], [0.5, 0.5, 0], [INF, INF, 1e30], [0.5, -0.5, 1]),
    (BCE, {"pos_weight": [4]}, [0, LOG3, LOG3], [0.5, 1, 0], [2.5 * np.log(2), 4 * np.log(4 / 3), np.log(4)],
     [0.25 - 1, -1, 3 / 4]),
    (BCE, {"weight": [2, 0, 1]}, [0, NAN, LOG3], [1, 1, 1], [2 * np.log(2), 0, np.log(4 / 3)], [-1, 0, -1 / 4]),
    ("nll_loss", {}, [[-1, -2], [-3, -INF], [NAN, -5]], [1, 1, 1], [2, INF, 5], [[0, -1], [0, -1], [0, -1]]),
    ("nll_loss", {"weight": [3, 0]}, [[-1, -2], [-3, NAN]], [0, 1], [3, 0], [[-3, 0], [0, 0]]),
    ("cross_entropy", {}, [[[0, LOG3], [LOG3, 0]]], [[0, 1]], [[np.log(4), np.log(4)]],
     [[[-3 / 4, 3 / 4], [3 / 4, -3 / 4]]]),  # an image of one row, two pixels
    ("cross_entropy", {}, [[0, LOG3]], [[0.5, 0.5]], [(np.log(4) + np.log(4 / 3)) / 2], [[-1 / 4, 1 / 4]]),
    ("cross_entropy", {}, [[-INF, LOG3, 0]], [[0, 0.5, 0.5]], [(np.log(4) + np.log(4 / 3)) / 2], [[0, 1 / 4, -1 / 4]]),
    ("cross_entropy", {"weight": [1, 3]}, [[0, LOG3]], [[0.5, 0.5]], [(np.log(4) + 3 * np.log(4 / 3)) / 2], [[0, 0]]),
    ("cross_entropy", {"ignore_index": 0}, [[[NAN, LOG3], [INF, 0]]], [[0, 1]], [[0, np.log(4)]],
     [[[0, 3 / 4], [0, -3 / 4]]]),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "options", "x", "target", "losses", "gradients"), ONE_BY_ONE)
def test_losses_one_by_one_by_hand(backend, dtype, loss, options, x, target, losses, gradients):
    x = np.array(x, dtype)
    target = np.array(target, None if np.shape(target) != x.shape and loss in ("nll_loss", "cross_entropy") else dtype)
    options = {k: np.array(v, dtype) if isinstance(v, list) else v for k, v in options.items()}
    near = {"rtol": 1e-5 if dtype == np.float32 else 1e-13, "atol": 1e-6 if dtype == np.float32 else 1e-15}
    found = getattr(F, loss)(x, target, **options, reduction="none", backend=backend)
    assert (found.shape, found.dtype) == (np.shape(losses), dtype)
    np.testing.assert_allclose(found, losses, **near)
    backward = getattr(F, f"{loss}_backward")
    ones = np.ones_like(found)
    dx = backward(x, target, **options, reduction="none", dy=ones, backend=backend)
    np.testing.assert_allclose(dx, gradients, **near)
    dx = backward(x, target, **options, reduction="none", dy=0 * ones, backend=backend)
    np.testing.assert_array_equal(dx, np.zeros_like(x))  # ignored elements have no gradient, even if they are NaN
    dx = backward(x, target, **options, reduction="sum", backend=backend)
    np.testing.assert_allclose(dx, gradients, **near)


def test_squares_too_large_for_float32_are_infinite(backend):
    x, target = np.array([1e30], np.float32), np.zeros(1, np.float32)
    assert np.isinf(F.mse_loss(x, target, reduction="none", backend=backend)).all()
    assert F.huber_loss(x, target, backend=backend) == pytest.approx(1e30)
    assert F.smooth_l1_loss(x, target, backend=backend) == pytest.approx(1e30)


@pytest.mark.parametrize("case", [case for case in LOSS_CASES if "reduction" not in case.others], ids=str)
def test_dy_belongs_to_losses_that_are_not_summed(case, rng):
    x, target, options = case.arguments(rng, np.float64)
    criterion = nn.LOSSES[case.layer](**options)
    criterion(x, target)
    with pytest.raises(ValueError, match='`dy` is given, but only losses that are not summed, with `reduction="none"`'):
        criterion.backward(np.ones_like(x))
    criterion = nn.LOSSES[case.layer](**options, reduction="none")
    losses = criterion(x, target)
    with pytest.raises(ValueError, match=r"`dy` is None, .* gradient with respect to the losses, an array of shape"):
        criterion.backward()
    with pytest.raises(ValueError, match=r"`dy` has shape .* the shape of the losses"):
        criterion.backward(np.ones((*losses.shape, 2)))
    with pytest.raises(TypeError, match="`dy` is float32 but `x` is float64"):
        criterion.backward(np.ones(losses.shape, np.float32))


@pytest.mark.parametrize("case", [case for case in LOSS_CASES if "several tasks" in case.reason], ids=str)
def test_numba_losses_are_the_same_on_any_number_of_threads(case, dtype, rng):
    x, target, options = case.arguments(rng, dtype)
    before, found = fastcnn.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            fastcnn.set_num_threads(threads)
            value = getattr(F, case.loss)(x, target, **options, backend="numba")
            found.append((value, getattr(F, f"{case.loss}_backward")(x, target, **options, backend="numba").tobytes()))
    finally:
        fastcnn.set_num_threads(before)
    assert found[0] == found[1] == found[2]
