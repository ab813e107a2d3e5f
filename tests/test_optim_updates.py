"""Operations of the backends on all parameters: optimizer steps computed by hand, averages, norms and multiples."""

import numpy as np
import pytest

import fastcnn
from fastcnn import backends
from fastcnn.testing import assert_close


def sgd(backend, parameter, grad, velocity, lr=0.1, momentum=0.0, weight_decay=0.0, nesterov=False):
    velocities = None if velocity is None else [velocity]
    backends.load(backend).sgd_update([parameter], [grad], velocities, lr, momentum, weight_decay, nesterov)


def adam(backend, parameter, grad, mean, square, step, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    lists = [parameter], [grad], [mean], [square], None, [step]
    backends.load(backend).adam_update(*lists, lr, beta1, beta2, eps, weight_decay)


@pytest.mark.parametrize(
    ("options", "velocity", "parameters"),
    [
        # lr 0.1, gradient 0.5 in both steps, initial parameter 1
        pytest.param({}, None, [0.95, 0.9], id="plain: 1 - 0.1 * 0.5"),
        # 0.5 + 0.2 * 1 = 0.7 -> 0.93; 0.5 + 0.2 * 0.93 = 0.686 -> 0.8614
        pytest.param({"weight_decay": 0.2}, None, [0.93, 0.8614], id="weight decay is added to the gradient"),
        # velocity 0.5 -> 0.95; 0.9 * 0.5 + 0.5 = 0.95 -> 0.855: the velocity does not include the rate
        pytest.param({"momentum": 0.9}, 0.95, [0.95, 0.855], id="momentum"),
        # the same velocities; steps of 0.5 + 0.9 * 0.5 = 0.95 and 0.5 + 0.9 * 0.95 = 1.355
        pytest.param({"momentum": 0.9, "nesterov": True}, 0.95, [0.905, 0.7695], id="nesterov"),
    ],
)
def test_sgd_by_hand(backend, dtype, options, velocity, parameters):
    parameter, grad = np.ones(3, dtype), np.full(3, 0.5, dtype)
    state = None if velocity is None else np.zeros(3, dtype)
    for expected in parameters:
        sgd(backend, parameter, grad, state, **options)
        assert_close(parameter, np.full(3, expected, dtype), length=8)
    if velocity is not None:
        assert_close(state, np.full(3, velocity, dtype), length=8)


def test_adam_by_hand(backend, dtype):
    # betas 1/2, rate 1/2, eps 0: gradient 2, then -2
    parameter, mean, square = (np.full(3, value, dtype) for value in (1, 0, 0))
    options = {"lr": 0.5, "beta1": 0.5, "beta2": 0.5, "eps": 0.0}
    adam(backend, parameter, np.full(3, 2, dtype), mean, square, 1, **options)
    # mean 1, square 2; bias-corrected 2 and 4: 1 - 0.5 * 2 / sqrt(4)
    assert_close(np.stack([parameter, mean, square]), np.repeat(np.array([[0.5], [1], [2]], dtype), 3, axis=1), 8)
    adam(backend, parameter, np.full(3, -2, dtype), mean, square, 2, **options)
    # mean -1/2, square 3; bias-corrected -1/2 / (3/4) = -2/3 and 3 / (3/4) = 4: 0.5 + 0.5 * (2/3) / 2
    assert_close(np.stack([parameter, mean, square]), np.repeat(np.array([[2 / 3], [-0.5], [3]], dtype), 3, axis=1), 8)


def test_adam_eps_is_added_to_the_root_and_decay_to_the_gradient(backend, dtype):
    parameter, mean, square = (np.full(3, value, dtype) for value in (2, 0, 0))
    # gradient -0.5 + 0.5 * 2 = 0.5; the bias-corrected moments are 0.5 and 0.25: 2 - 1 * 0.5 / (0.5 + 0.5)
    adam(backend, parameter, np.full(3, -0.5, dtype), mean, square, 1, lr=1.0, eps=0.5, weight_decay=0.5)
    assert_close(parameter, np.full(3, 1.5, dtype), length=8)


def test_decay_takes_its_part_whatever_the_rate(backend, dtype):
    update = backends.load(backend)
    parameter, grad, mean, square = (np.full(3, value, dtype) for value in (1, 5, 0, 0))
    update.adam_update([parameter], [grad], [mean], [square], None, [1], 0.0, 0.9, 0.99, 1e-8, 0.0, 0.25)
    assert_close(parameter, np.full(3, 0.75, dtype), 8)


def some(rng, dtype):
    """Make arrays of two dtypes, one of them longer than the chunk of a task."""
    shapes = (5000,), (1,), (3, 7)
    return [
        rng.standard_normal(shape).astype(kind) for shape, kind in zip(shapes, (dtype, np.float64, dtype), strict=True)
    ]


def test_average_update_agrees_with_naive(fast_backend, dtype, rng):
    averages, parameters = some(rng, dtype), some(rng, dtype)
    expected = [array.copy() for array in averages]
    backends.load("naive").average_update(expected, parameters, 0.9)
    backends.load(fast_backend).average_update(averages, parameters, 0.9)
    for a, e, parameter in zip(averages, expected, parameters, strict=True):
        assert_close(a, e, 4, np.abs(e) + np.abs(parameter))


def test_a_squared_norm_is_a_sum_in_float64(backend, dtype, rng):
    arrays = some(rng, dtype)
    exact = sum(float((array.astype(np.longdouble) ** 2).sum()) for array in arrays)
    assert backends.load(backend).squared_norm(arrays) == pytest.approx(exact, rel=1e-13)
    assert backends.load(backend).squared_norm([]) == 0
    assert np.isnan(backends.load(backend).squared_norm([*arrays, np.array([np.inf, np.nan], dtype)]))


def test_the_norm_does_not_depend_on_the_threads(dtype, rng):
    arrays, before, norms = some(rng, dtype), fastcnn.get_num_threads(), set()
    for threads in (1, 2, 5):
        fastcnn.set_num_threads(threads)
        norms.add(backends.load("numba").squared_norm(arrays))
    fastcnn.set_num_threads(before)
    assert len(norms) == 1


def test_scaled_arrays_are_new(backend, dtype, rng):
    arrays = some(rng, dtype)
    before = [array.copy() for array in arrays]
    found = backends.load(backend).scaled(arrays, 0.3)
    for array, old, new in zip(arrays, before, found, strict=True):
        np.testing.assert_array_equal(array, old)
        assert new.dtype == array.dtype
        assert_close(new, (np.float64(old) * 0.3).astype(old.dtype), 4, np.abs(old))
