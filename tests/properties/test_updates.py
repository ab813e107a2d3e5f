"""Optimizer steps on random arrays: parameters and state of all backends compared with naive."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastcnn import backends
from tests.properties.draws import FAST, dtypes, numbers
from tests.properties.judge import assert_right, finite_or_not, gamma, size, wide

SHAPES = (1,), (7,), (2, 1, 3, 3)
ROUNDINGS = 16  # more than any of them needs for one number

rates = st.sampled_from([1e-4, 0.01, 0.5])
decays = st.sampled_from([0.0, 0.0, 1e-3, 0.1])
momenta = st.sampled_from([0.0, 0.5, 0.9])


@st.composite
def steps(draw, count: int):
    """Draw a dtype and ``count`` arrays: a parameter, its gradient, and the state.

    Parameters are finite: zero decay times infinity is NaN on some backends and skipped on others, as in PyTorch.
    """
    dtype, shape = draw(dtypes), draw(st.sampled_from(SHAPES))
    return dtype, [draw(numbers(odd=k > 0)).array(shape, dtype) for k in range(count)]


def after(backend, update, arrays, *settings):
    """Run a step on copies of the arrays and return these; None is a missing array."""
    copies = [None if a is None else a.copy() for a in arrays]
    lists = [None if a is None else [a] for a in copies]
    finite_or_not(lambda: getattr(backends.load(backend), update)(*lists, *settings))
    return copies


def hold(names, update, arrays, settings, errors, largest):
    exact = after("naive", update, [wide(a) for a in arrays], *settings)
    for backend in FAST:
        found = after(backend, update, arrays, *settings)
        for name, at in names.items():
            assert_right(f"{backend} {update}: {name}", found[at], exact[at], errors[name], largest)
        np.testing.assert_array_equal(found[1], arrays[1])  # the gradient is unchanged


@given(steps(3), rates, momenta, decays, st.booleans())
def test_sgd_update(drawn, lr, momentum, weight_decay, nesterov):
    dtype, (parameter, grad, velocity) = drawn
    velocity = velocity if momentum else None
    settings = lr, momentum, weight_decay, nesterov
    # with signs chosen so that nothing cancels, a step gives the sum of the absolute values of the terms
    sizes = [size(a) for a in (parameter, grad, velocity)]
    p, _, v = after("naive", "sgd_update", sizes, -lr, momentum, weight_decay, nesterov)
    tiny = 8 * float(np.finfo(dtype).tiny)
    errors = {"parameter": gamma(dtype, ROUNDINGS) * p + tiny}
    if momentum:
        errors["velocity"] = gamma(dtype, ROUNDINGS) * v + tiny
    largest = (p + (0 if v is None else v) + sizes[1]) * 2
    names = {"parameter": 0, "velocity": 2} if momentum else {"parameter": 0}
    hold(names, "sgd_update", [parameter, grad, velocity], settings, errors, largest)


def moments(dtype, parameter, grad, mean, square, beta1, beta2, weight_decay):
    """Return the sums of absolute terms of the gradient and both moments after the step, and errors of the moments.

    Adding weight decay may cancel digits of the gradient; its square then has twice the relative error.
    """
    g, tiny = gamma(dtype, ROUNDINGS), 8 * float(np.finfo(dtype).tiny)
    slope = size(grad) + weight_decay * size(parameter)
    m = beta1 * size(mean) + (1 - beta1) * slope
    s = beta2 * size(square) + (1 - beta2) * slope**2
    return slope, m, s, g * m + tiny, 3 * g * s + tiny * (1 + slope)


def divided(m, m_error, s_error, s, eps, root=1.0):
    """Return the error of ``m / (sqrt(s) * root + eps)``; the error of sqrt(s) is at most the root of that of s."""
    with np.errstate(divide="ignore", invalid="ignore"):
        of_root = np.minimum(np.sqrt(s_error), np.nan_to_num(s_error / np.sqrt(s), nan=np.inf)) * root
        below = np.maximum(np.sqrt(s) * root - of_root, 0) + eps
        return m_error / below + m * of_root / (below * (np.sqrt(s) * root + eps))


def too_steep(dtype, slope):
    """Return where the square of a gradient overflows, so that the step, divided by infinity, is 0."""
    return ~(slope**2 * 1.001 < float(np.finfo(dtype).max))


@given(steps(4), rates, st.sampled_from([(0.9, 0.999), (0.5, 0.9)]), decays, decays, st.integers(1, 2000))
def test_adam_update(drawn, lr, betas, weight_decay, decay, step):
    dtype, (parameter, grad, mean, square) = drawn
    square = np.abs(square)
    eps = 1e-8
    arrays = [parameter, grad, mean, square]
    with np.errstate(over="ignore", invalid="ignore"):
        slope, m, s, m_error, s_error = moments(dtype, *arrays, *betas, weight_decay)
        exact_s = betas[1] * size(square) + (1 - betas[1]) * known_slope(arrays, weight_decay)
        root = 1 / np.sqrt(1 - betas[1] ** step)
        rate = lr / (1 - betas[0] ** step)
        of_step = rate * divided(m, m_error, s_error, exact_s, eps, root)
        length = rate * m / (np.sqrt(exact_s) * root + eps)
        own = size(parameter) * (1 + decay)
        p_error = of_step + gamma(dtype, ROUNDINGS) * (own + length) + 8 * float(np.finfo(dtype).tiny) * (1 + 1 / eps)
        p_error = p_error + np.where(too_steep(dtype, slope), length, 0)
        largest = np.maximum(np.maximum(slope**2, own + length + of_step), m) * 2
    errors = {"parameter": p_error, "mean": m_error, "square": s_error}
    names = {"parameter": 0, "mean": 2, "square": 3}
    hold(names, "adam_update", arrays, (None, [step], lr, *betas, eps, weight_decay, decay), errors, largest)


def known_slope(arrays, weight_decay):
    """Return the square of the gradient with weight decay."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(np.square(wide(arrays[1]) + weight_decay * wide(arrays[0])), posinf=0)


@given(steps(5), rates, st.sampled_from([0.9, 0.99]), momenta, decays, st.booleans())
def test_rmsprop_update(drawn, lr, alpha, momentum, weight_decay, centered):
    dtype, (parameter, grad, square, mean, velocity) = drawn
    # a mean of squares is at least the square of the mean
    mean = np.clip(mean, -1e12, 1e12) if centered else None
    with np.errstate(over="ignore"):
        square = np.abs(square) + (0 if mean is None else mean * mean)
    velocity = velocity if momentum else None
    eps = 1e-8
    with np.errstate(over="ignore", invalid="ignore"):
        old_mean = np.zeros_like(parameter) if mean is None else mean
        slope, m, s, m_error, s_error = moments(dtype, parameter, grad, old_mean, square, alpha, alpha, weight_decay)
        exact_g = np.nan_to_num(wide(grad) + weight_decay * wide(parameter), posinf=0, neginf=0)
        spread, spread_error = alpha * size(square) + (1 - alpha) * exact_g**2, s_error
        if centered:
            centre = alpha * np.nan_to_num(wide(mean), posinf=0, neginf=0) + (1 - alpha) * exact_g
            spread = np.maximum(spread - centre**2, 0)
            spread_error = s_error + 2 * m * m_error + m_error**2 + gamma(dtype, 4) * (s + m * m)
        of_step = divided(slope, gamma(dtype, 4) * slope, spread_error, spread, eps)
        length = slope / (np.sqrt(spread) + eps)
        moving = momentum * (0 if velocity is None else size(velocity)) + length
        tiny = 8 * float(np.finfo(dtype).tiny) * (1 + 1 / eps)
        of_step = of_step + np.where(too_steep(dtype, slope), length, 0)
        v_error = of_step + gamma(dtype, ROUNDINGS) * moving + tiny
        p_error = lr * v_error + gamma(dtype, ROUNDINGS) * (size(parameter) + lr * moving) + tiny
        largest = np.maximum(np.maximum(slope**2, m * m), size(parameter) + moving + v_error) * 2
    errors = {"parameter": p_error, "square": s_error, "mean": m_error, "velocity": v_error}
    names = {"parameter": 0, "square": 2} | ({"mean": 3} if centered else {}) | ({"velocity": 4} if momentum else {})
    settings = lr, alpha, eps, momentum, weight_decay
    hold(names, "rmsprop_update", [parameter, grad, square, mean, velocity], settings, errors, largest)


ITERATIONS = ((3.4445, -4.775, 2.0315), 5, 1e-7), ((2.0, -1.5, 0.5), 3, 0.5), ((1.5, -0.5, 0.0), 0, 1e-3)


@given(steps(3), rates, momenta, decays, st.booleans(), st.sampled_from(ITERATIONS))
def test_muon_update(drawn, rate, momentum, decay, nesterov, iteration):
    """An iteration multiplies errors by 6 at most: the slope of its polynomial is at most 3.4."""
    dtype, arrays = drawn
    parameter, grad, velocity = arrays
    _, count, eps = iteration
    tiny = 8 * float(np.finfo(dtype).tiny)
    with np.errstate(over="ignore", invalid="ignore"):
        g, v = ((1 - momentum) * wide(grad), momentum * wide(velocity))
        direction = momentum * (g + v) + g if nesterov else g + v
        of_direction = gamma(dtype, ROUNDINGS) * 2 * (np.abs(g) + np.abs(v)) + tiny
        norm = max(np.linalg.norm(direction), eps)
        of_matrix = np.nan_to_num(np.linalg.norm(of_direction) / norm, nan=0.0)  # divided by infinity, it is exact
        of_step = 6.0**count * (of_matrix + gamma(dtype, 100))
        p_error = gamma(dtype, ROUNDINGS) * (2 * size(parameter) + rate) + rate * np.minimum(of_step, 4) + tiny
    errors = {"parameter": p_error, "velocity": of_direction}
    settings = [rate], momentum, nesterov, decay, *iteration
    largest = size(parameter) + 4 * rate + np.abs(g) + np.abs(v)
    hold({"parameter": 0, "velocity": 2}, "muon_update", arrays, settings, errors, 2 * largest)


@given(steps(2), st.sampled_from([0.0, 0.1, 0.999, 1.0]))
def test_average_update(drawn, decay):
    dtype, arrays = drawn
    sizes = after("naive", "average_update", [size(a) for a in arrays], decay)[0]
    errors = {"average": gamma(dtype, ROUNDINGS) * sizes + 8 * float(np.finfo(dtype).tiny)}
    hold({"average": 0}, "average_update", arrays, (decay,), errors, 2 * sizes)


@given(steps(2), st.sampled_from([0.0, 1e-3, 0.5]))
def test_squared_norm_and_scaled(drawn, factor):
    dtype, arrays = drawn
    naive = backends.load("naive")
    exact, exact_norm = naive.scaled([wide(a) for a in arrays], factor), np.array(naive.squared_norm(arrays))
    for backend in FAST:
        package = backends.load(backend)
        for a, found, e in zip(arrays, finite_or_not(package.scaled, arrays, factor), exact, strict=True):
            assert_right(f"{backend} scaled", found, e, gamma(dtype, 4) * size(a) * factor)
        found = np.array(finite_or_not(package.squared_norm, arrays))
        assert_right(f"{backend} squared_norm", found, exact_norm, gamma(np.float64, 50) * exact_norm)
