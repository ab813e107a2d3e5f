"""Clipping of gradients: values computed by hand, comparison with PyTorch, and errors for bad input."""

import numpy as np
import pytest

import fastcnn
from fastcnn import nn, optim


def with_grads(*grads):
    params = [nn.Parameter(np.zeros_like(grad)) for grad in grads]
    for parameter, grad in zip(params, grads, strict=True):
        parameter.grad = grad
    return params


def test_the_norm_is_that_of_all_gradients_together(dtype):
    params = with_grads(np.array([2.0, 3.0], dtype), np.array([[6.0]], dtype))
    assert optim.clip_grad_norm(params, 3.5) == 7
    np.testing.assert_allclose(params[0].grad, [1, 1.5], rtol=1e-6)
    np.testing.assert_allclose(params[1].grad, [[3]], rtol=1e-6)
    assert params[0].grad.dtype == dtype
    assert optim.clip_grad_norm(params, 100) == pytest.approx(3.5, rel=1e-6)  # no longer too large, so unchanged
    np.testing.assert_allclose(params[1].grad, [[3]], rtol=1e-6)


def test_values_are_cut(dtype):
    params = with_grads(np.array([-3, -0.5, 0, 0.5, 3, np.inf, np.nan], dtype))
    optim.clip_grad_value(params, 1)
    np.testing.assert_array_equal(params[0].grad, np.array([-1, -0.5, 0, 0.5, 1, 1, np.nan], dtype))
    assert params[0].grad.dtype == dtype


@pytest.mark.parametrize("clip", [optim.clip_grad_norm, optim.clip_grad_value])
def test_a_gradient_taken_before_stays_and_none_stays_none(clip):
    params = [*with_grads(np.array([30.0, 40.0])), nn.Parameter(np.ones(2))]
    taken = params[0].grad
    clip(iter(params), 1.0)
    assert taken.tolist() == [30, 40]
    assert np.abs(params[0].grad).max() <= 1
    assert params[1].grad is None


@pytest.mark.parametrize("max_norm", [0.0, 0.3, 5.0, 1e4, float("inf")])
def test_norms_are_those_of_torch(max_norm, rng):
    torch = pytest.importorskip("torch")
    grads = [rng.standard_normal(shape) for shape in ((3, 4), (50,), (2, 1, 3, 3))]
    ours, theirs = with_grads(*grads), [torch.nn.Parameter(torch.zeros(grad.shape).double()) for grad in grads]
    for tensor, grad in zip(theirs, grads, strict=True):
        tensor.grad = torch.tensor(grad)
    norm = optim.clip_grad_norm(ours, max_norm)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, max_norm).item(), rel=1e-12)
    for parameter, tensor in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(parameter.grad, tensor.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gradients_that_are_not_finite(bad):
    params = with_grads(np.array([1.0, bad]), np.array([2.0]))
    with pytest.raises(FloatingPointError, match=r"The norm of the gradients is (nan|inf); a gradient is not finite"):
        optim.clip_grad_norm(params, 1.0, error_if_nonfinite=True)
    assert params[1].grad[0] == 2
    norm = optim.clip_grad_norm(params, 1.0)
    assert norm == bad or np.isnan(norm)
    assert np.isnan(params[1].grad[0]) if np.isnan(bad) else params[1].grad[0] == 0
    assert np.isnan(params[0].grad[1])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        pytest.param(lambda p: optim.clip_grad_norm(p, -1), ValueError, "`max_norm` is -1", id="norm"),
        pytest.param(lambda p: optim.clip_grad_norm(p, float("nan")), ValueError, "`max_norm` is nan", id="NaN"),
        pytest.param(lambda p: optim.clip_grad_norm([], 1), ValueError, "`params` holds no parameter", id="none"),
        pytest.param(lambda p: optim.clip_grad_norm(p[0], 1), TypeError, "`params` must be parameters", id="one alone"),
        pytest.param(lambda p: optim.clip_grad_value(p, "1"), TypeError, "`clip_value` must be a number", id="text"),
    ],
)
def test_errors_say_what_is_wrong(call, error, text):
    params = with_grads(np.array([5.0]))
    with pytest.raises(error) as raised:
        call(params)
    assert text in str(raised.value)
    assert params[0].grad[0] == 5


@pytest.mark.parametrize("clip", [optim.clip_grad_norm, optim.clip_grad_value])
def test_a_gradient_of_another_form_changes_nothing(clip):
    params = with_grads(np.array([30.0, 40.0]), np.array([1.0]))
    params[1].grad = np.array([1], np.float32)
    with pytest.raises(ValueError, match=r"gradient of parameter 1 has shape .* and dtype float32 but must have those"):
        clip(params, 1.0)
    params[1].grad = [1.0]
    with pytest.raises(TypeError, match=r"gradient of parameter 1 must be a numpy array, not list\."):
        clip(params, 1.0)
    assert params[0].grad.tolist() == [30, 40]


@pytest.mark.parametrize("clip", [optim.clip_grad_norm, optim.clip_grad_value])
def test_a_gradient_that_is_a_number_stays_an_array(clip, backend, dtype):
    (parameter,) = with_grads(np.array(5, dtype))
    with fastcnn.use_backend(backend):
        clip([parameter], 1.0)
    assert isinstance(parameter.grad, np.ndarray)
    assert parameter.grad.dtype == dtype
    assert parameter.grad == pytest.approx(1)


def test_a_limit_above_all_numbers_of_float32_clips_nothing():
    params = with_grads(np.array([3e38, -np.inf], np.float32))
    optim.clip_grad_value(params, 1e300)
    np.testing.assert_array_equal(params[0].grad, np.array([3e38, -np.inf], np.float32))
