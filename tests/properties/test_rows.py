"""Products, softmax and losses on random rows: all backends compared with naive, with gradients."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastcnn import functional as F
from tests.properties.draws import FAST, batches, dtypes, numbers
from tests.properties.judge import (
    Batch,
    assert_right,
    assert_sums,
    bad,
    call,
    finite_or_not,
    gamma,
    size,
    weak,
    wide,
)

EXP = 4 * 2  # roundings allowed for exp: NumPy guarantees 4 units in the last place
REACH = {np.float32: 104.0, np.float64: 746.0}  # below minus this, exp is 0


@st.composite
def sizes(draw, features=(1, 2, 3, 5, 17)):
    dtype = draw(dtypes)
    return dtype, draw(batches(dtype)), *(draw(st.sampled_from(features)) for _ in range(2))


@given(sizes((1, 2, 3, 9)), st.tuples(*[numbers()] * 4), st.booleans())
def test_linear(drawn, four, has_bias):
    dtype, N, C, O = drawn
    shapes = (N, C), (O, C), (O,), (N, O)
    x, weight, bias, dy = arrays = [n.array(shape, dtype) for n, shape in zip(four, shapes, strict=True)]
    arrays[2] = bias = bias if has_bias else None

    def results(backend, x, weight, bias, dy):
        return [F.linear(x, weight, bias, backend=backend), *F.linear_backward(dy, x, weight, backend=backend)]

    free = [
        weak(x) @ bad(weight).T + bad(x) @ weak(weight).T > 0,
        weak(dy) @ bad(weight) + bad(dy) @ weak(weight) > 0,
        weak(dy).T @ bad(x) + bad(dy).T @ weak(x) > 0,
        False,
    ]
    assert_sums(["y", "dx", "dweight", "dbias"], results, arrays, four, [C + 1, O, N, N], free)
    for backend in FAST:
        (fused,) = call(backend, "linear_relu", Batch(x), weight, bias)
        (y,) = call(backend, "linear", Batch(x), weight, bias)
        np.testing.assert_array_equal(fused, *call(backend, "relu", Batch(y)))


def softmax_error(x, y, dtype):
    """Return the errors of probabilities ``y``, including the rounding of the subtraction of the largest logit."""
    classes = x.shape[-1]
    with np.errstate(invalid="ignore"):
        below = np.nan_to_num(x.max(-1, keepdims=True) - x, posinf=0)
    return gamma(dtype, classes + 2 * EXP + 4 + 2 * np.minimum(below, REACH[dtype]).max(-1, keepdims=True)) * y


@given(sizes(), numbers(-40, 3), numbers())
def test_softmax(drawn, x_numbers, dy_numbers):
    dtype, N, classes, _ = drawn
    x, dy = (n.array((N, classes), dtype) for n in (x_numbers, dy_numbers))
    tiny = float(np.finfo(dtype).tiny)
    y, log_y = F.softmax(wide(x), backend="naive"), F.log_softmax(wide(x), backend="naive")
    with np.errstate(invalid="ignore"):
        # each sum of exps has the relative error of a probability, which log turns into an absolute error
        errors = (
            softmax_error(wide(x), y, dtype),
            softmax_error(wide(x), np.ones_like(y), dtype) + gamma(dtype, EXP + 3) * size(log_y),
        )
    for name, exact, error in (("softmax", y, errors[0]), ("log_softmax", log_y, errors[1])):
        with np.errstate(over="ignore"):
            known = exact.astype(dtype)
        dx = getattr(F, f"{name}_backward")(wide(dy), wide(known), backend="naive")
        with np.errstate(all="ignore"):
            if name == "softmax":
                total = size(known) * (size(dy) + (size(dy) * size(known)).sum(-1, keepdims=True))
                largest = size(dy) + (size(dy) * size(known)).sum(-1, keepdims=True)
                lost = (size(known) * (1 + size(dy).sum(-1, keepdims=True)) + largest) * tiny * classes
            else:
                parts = np.exp(np.minimum(wide(known), 0))
                total = size(dy) + np.nan_to_num(parts) * size(dy).sum(-1, keepdims=True)
                largest, lost = size(dy).sum(-1, keepdims=True) + size(dy), size(dy).sum(-1, keepdims=True) * tiny
        backward_error = gamma(dtype, classes + EXP + 4) * total + 4 * (lost + tiny * classes)
        with_weak = bad(dy).max(-1, keepdims=True) * np.maximum(weak(known), np.nan_to_num(np.exp(log_y)) < tiny) > 0
        free = (with_weak | with_weak.any(-1, keepdims=True)) & np.ones_like(known, bool)
        for backend in FAST:
            found = finite_or_not(lambda b=backend, f=name: getattr(F, f)(x_numbers.laid_out(x), backend=b))
            assert_right(f"{backend} {name}", found, exact, error + 2 * tiny, largest=2 * size(x).max())
            backward = getattr(F, f"{name}_backward")
            arguments = dy_numbers.laid_out(dy), known
            found = finite_or_not(lambda b=backend, f=backward, a=arguments: f(*a, backend=b))
            assert_right(f"{backend} {name}_backward", found, dx, backward_error, largest, free)


# smoothing, weights, ignored label; without all of these the backends use another operation
choices = st.one_of(
    st.just((0.0, False, -100)),
    st.tuples(st.sampled_from([0.0, 0.1, 1.0]), st.booleans(), st.sampled_from([-100, 0])),
)


@given(sizes(), numbers(-40, 3), numbers(-3, 3, odd=False), st.sampled_from(["mean", "sum"]), choices)
def test_cross_entropy(drawn, x_numbers, weight_numbers, reduction, chosen):
    dtype, N, classes, _ = drawn
    smoothing, weighted, ignore_index = chosen
    logits, target = x_numbers.array((N, classes), dtype), np.arange(N) % classes
    weight = np.abs(weight_numbers.array((classes,), dtype)) + dtype(1e-3) if weighted else None
    if (target == ignore_index).all():
        ignore_index = -100
    options = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": smoothing}
    heaviest = 1.0 if weight is None else float(weight.max())
    exact = F.cross_entropy(wide(logits), target, wide(weight), **options, backend="naive")
    gradient = F.cross_entropy_backward(wide(logits), target, wide(weight), **options, backend="naive")
    # factors of rows: their weights, for the mean divided by the sum of the weights
    counted = target != ignore_index
    weights = np.ones(N) if weight is None else wide(weight)[target]
    scale = 1 / weights[counted].sum() if reduction == "mean" else 1.0
    row = softmax_error(wide(logits), np.ones((N, classes)), dtype).max() * 2
    with np.errstate(over="ignore", invalid="ignore"):
        span = np.nan_to_num(2 * size(logits).max())
    share = heaviest * (2 if smoothing else 1)
    error = scale * share * N * (row + gamma(dtype, N + classes + EXP + 8) * (span + np.log(classes)))
    gradient_error = scale * share * (row + gamma(dtype, 2 * classes + EXP + 8)) * 2 + 4 * float(np.finfo(dtype).tiny)
    for backend in FAST:
        loss = finite_or_not(lambda b=backend: F.cross_entropy(logits, target, weight, **options, backend=b))
        assert_right(f"{backend} cross_entropy", np.float64(loss), np.float64(exact), error)
        found = finite_or_not(
            lambda b=backend: F.cross_entropy_backward(x_numbers.laid_out(logits), target, weight, **options, backend=b)
        )
        assert_right(f"{backend} cross_entropy_backward", found, gradient, gradient_error)


@given(sizes(), numbers(-40, 3), numbers(-3, 3, odd=False))
def test_soft_cross_entropy(drawn, x_numbers, share_numbers):
    dtype, N, classes, _ = drawn
    logits, shares = x_numbers.array((N, classes), dtype), np.abs(share_numbers.array((N, classes), dtype))
    shares[shares < np.median(shares)] = 0
    arguments, half = (wide(logits), wide(shares)), np.array(0.5)
    (losses,) = call("naive", "soft_cross_entropy", *arguments)
    exact = 0.5 * losses.sum()
    (gradient,) = call("naive", "soft_cross_entropy_backward", half, *arguments)
    row = softmax_error(wide(logits), np.ones((N, classes)), dtype).max() * 2
    with np.errstate(over="ignore"):
        spans = 2 * size(logits).max() + np.log(classes)
    roundings = row + gamma(dtype, N * classes + EXP + 8)
    error = roundings * float(wide(shares).sum()) * (1 + spans)
    gradient_error = roundings * wide(shares).sum(1, keepdims=True) * 2 + 4 * float(np.finfo(dtype).tiny)
    for backend in FAST:
        (losses,) = call(backend, "soft_cross_entropy", logits, shares)
        loss = 0.5 * losses.sum(dtype=np.float64)
        assert_right(f"{backend} soft_cross_entropy", np.float64(loss), np.float64(exact), error)
        (found,) = call(backend, "soft_cross_entropy_backward", half, logits, shares)
        assert_right(f"{backend} soft_cross_entropy_backward", found, gradient, gradient_error)


@given(sizes(), numbers(), numbers(), st.sampled_from(["mean", "sum"]))
def test_mse_loss(drawn, x_numbers, target_numbers, reduction):
    dtype, N, C, _ = drawn
    x, target = (n.array((N, C), dtype) for n in (x_numbers, target_numbers))
    scale = 1 / x.size if reduction == "mean" else 1.0
    with np.errstate(all="ignore"):
        exact = F.mse_loss(wide(x), wide(target), reduction, backend="naive")
        gradient = F.mse_loss_backward(wide(x), wide(target), reduction, backend="naive")
        squares = (size(x) + size(target)) ** 2
    tiny = float(np.finfo(dtype).tiny)
    # the difference and its square may be flushed to zero
    error = gamma(dtype, x.size + 6) * abs(exact) + x.size * (tiny + tiny * 4 * np.sqrt(squares.max()))
    for backend in FAST:
        loss = finite_or_not(lambda b=backend: F.mse_loss(x, target, reduction, backend=b))
        at_most = float(np.finfo(dtype).max)
        overflows = squares.max() * 1.001 >= at_most
        if not (overflows and not np.isfinite(loss)):
            assert_right(f"{backend} mse_loss", np.float64(loss), np.float64(exact), np.nan_to_num(error))
        arguments = x_numbers.laid_out(x), target_numbers.laid_out(target)
        found = finite_or_not(lambda b=backend, a=arguments: F.mse_loss_backward(*a, reduction, backend=b))
        largest = 2 * (size(x) + size(target))
        gradient_error = gamma(dtype, 5) * size(gradient) + 2 * tiny * scale
        assert_right(f"{backend} mse_loss_backward", found, gradient, gradient_error, largest)
