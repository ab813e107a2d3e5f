"""Batch normalization and its gradient."""

import math
from typing import Literal, overload

import numpy as np

from fastcnn import _validate, backends


@overload
def batch_norm(
    x: np.ndarray, running_mean: np.ndarray | None, running_var: np.ndarray | None, weight: np.ndarray | None = ...,
    bias: np.ndarray | None = ..., training: bool = ..., momentum: float = ..., eps: float = ..., *,
    return_statistics: Literal[False] = ..., backend: str | None = ...,
) -> np.ndarray: ...  # fmt: skip
@overload
def batch_norm(
    x: np.ndarray, running_mean: np.ndarray | None, running_var: np.ndarray | None, weight: np.ndarray | None = ...,
    bias: np.ndarray | None = ..., training: bool = ..., momentum: float = ..., eps: float = ..., *,
    return_statistics: Literal[True], backend: str | None = ...,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...  # fmt: skip
def batch_norm(
    x: np.ndarray,
    running_mean: np.ndarray | None,
    running_var: np.ndarray | None,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    return_statistics: bool = False,
    backend: str | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalize each channel, as ``torch.nn.functional.batch_norm``.

    With ``invstd = 1 / sqrt(var + eps)`` it is ``y = (x - mean) * invstd * weight + bias``. In training, the mean and
    the (biased) variance are those of the channel in this batch, and the running statistics move towards them: the
    running mean becomes ``(1 - momentum) * running_mean + momentum * mean``, and the running variance likewise, but
    with the unbiased variance, ``var * n / (n - 1)`` of n values. Otherwise the running mean and variance are used.

    Sums are accumulated in float64, or in float32 over deviations from a mean, so the variance is accurate even for
    large numbers that differ little. Cost in training: about 10 flops per value; ``x`` is read twice and ``y`` is
    written once.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), (N, C, L) or (N, C), float32 or float64
        Images, signals, or rows of features.
    running_mean, running_var : ndarray of shape (C,), dtype of `x`
        Training updates them in place. In training both may be None.
    weight, bias : ndarray of shape (C,), dtype of `x`, optional
        By default 1 and 0.
    training : bool, default False
        Whether to use the statistics of the batch.
    momentum : float, default 0.1
        Weight of this batch in the running statistics.
    eps : float, default 1e-5
        Added to the variance.
    return_statistics : bool, default False
        Whether to return ``mean`` and ``invstd`` too; `batch_norm_backward` needs them.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    y : ndarray of the shape and dtype of `x`
    mean, invstd : ndarray of shape (C,), dtype of `x`
        Only with `return_statistics`.

    Raises
    ------
    TypeError
        If an array is not a float32 or float64 array, or the dtypes differ.
    ValueError
        If shapes do not match, running statistics are missing or read-only, or training gets only one value for each
        channel.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", ICML 2015, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x, mean, var = np.array([[1.0], [3.0]]), np.zeros(1), np.ones(1)
    >>> F.batch_norm(x, mean, var, training=True, momentum=0.5, eps=0)
    array([[-1.],
           [ 1.]])
    >>> mean, var
    (array([1.]), array([1.5]))
    >>> F.batch_norm(x, mean, np.array([4.0]), eps=0)
    array([[0.],
           [1.]])
    """
    x, training = _batch("x", x), _validate.flag("training", training)
    with_statistics = _validate.flag("return_statistics", return_statistics)
    running = _running_statistics(x, running_mean, running_var, training)
    weight = None if weight is None else _by_channel("weight", weight, x)
    bias = None if bias is None else _by_channel("bias", bias, x)
    momentum, eps = checked_momentum(momentum), checked_eps(eps)
    if training:
        check_enough_values("`x`", x.shape)
    implementation = backends.load(backend)
    native, mean, invstd, _ = normalize(
        implementation, implementation.pack(x), running, weight, bias, training, momentum, eps
    )
    y = implementation.unpack(native)
    return (y, mean, invstd) if with_statistics else y


def batch_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    invstd: np.ndarray,
    weight: np.ndarray | None = None,
    training: bool = False,
    *,
    input_grad: bool = True,
    weight_grad: bool = True,
    backend: str | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `batch_norm`.

    With ``z = (x - mean) * invstd`` and sums over the n values of a channel, ``dweight = sum(dy * z)``, ``dbias =
    sum(dy)``, and with running statistics ``dx = weight * invstd * dy``. In training, where the statistics depend on
    ``x``, ``dx = weight * invstd * (dy - dbias / n - z * dweight / n)``.

    Parameters
    ----------
    dy : ndarray of the shape and dtype of `x`
        Gradient of the loss with respect to the output.
    x, weight, training, backend
        As given to `batch_norm`.
    mean, invstd : ndarray of shape (C,), dtype of `x`
        As returned by `batch_norm` with ``return_statistics=True``.
    input_grad, weight_grad : bool, default True
        Whether to compute ``dx``, and whether to compute ``dweight`` and ``dbias``, respectively.

    Returns
    -------
    dx : ndarray of the shape of `x`, or None
    dweight, dbias : ndarray of shape (C,), or None
        None where it was not requested.

    Raises
    ------
    TypeError, ValueError
        As in `batch_norm`, or if `dy` does not have the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x, dy = np.array([[1.0], [3.0], [5.0]]), np.array([[6.0], [0.0], [0.0]])
    >>> _, mean, invstd = F.batch_norm(x, None, None, training=True, eps=4 / 3, return_statistics=True)
    >>> mean, invstd
    (array([3.]), array([0.5]))
    >>> dx, dweight, dbias = F.batch_norm_backward(dy, x, mean, invstd, training=True)
    >>> dx.ravel(), dweight, dbias
    (array([ 1., -1.,  0.]), array([-6.]), array([6.]))
    """
    x, training = _batch("x", x), _validate.flag("training", training)
    wanted = _validate.flag("input_grad", input_grad), _validate.flag("weight_grad", weight_grad)
    dy = _validate.floats("dy", dy, like=("x", x))
    _validate.shape("dy", dy, x.shape, "the shape of `x`")
    if mean is None or invstd is None:
        raise TypeError("`mean` and `invstd` must be arrays, as from batch_norm with return_statistics=True, not None.")
    mean, invstd = _by_channel("mean", mean, x), _by_channel("invstd", invstd, x)
    weight = None if weight is None else _by_channel("weight", weight, x)
    if training:
        check_enough_values("`x`", x.shape)
    implementation = backends.load(backend)
    dx, dweight, dbias = implementation.batch_norm_backward(
        implementation.pack(dy), implementation.pack(x), mean, invstd, weight, training, *wanted
    )
    return None if dx is None else implementation.unpack(dx), dweight, dbias


def normalize(
    implementation, x, running: tuple, weight, bias, training: bool, momentum, eps: float, together=None, relu=False
):
    """`batch_norm` without the checks; returns y, mean, invstd and the number of values that each mean is over.

    ``x`` and y are in the backend's layout. ``running`` is (running_mean, running_var, batches), or empty in training.
    Training updates it in place, and ``batches`` counts the batches; if ``momentum`` is None, the running statistics
    are averages over all batches. ``together(mean, var, count)`` combines the statistics of this batch with those of
    other ranks. With ``relu``, y is passed through ReLU.
    """
    count = math.prod(x.shape) // x.shape[1]
    kept = [np.require(array, requirements=["C", "A", "W"]) for array in running]  # itself, or a copy if necessary
    if training:
        mean, var = implementation.batch_moments(x)
        if together:
            mean, var, count = together(mean, var, count)
    else:
        mean, var, _ = kept
    moments = mean, var
    mean, invstd = implementation.norm_statistics(mean, var, eps, x.dtype)
    weight, bias = (None if array is None else np.ascontiguousarray(array) for array in (weight, bias))
    operation = implementation.batch_norm_relu if relu else implementation.batch_norm
    y = operation(x, mean, invstd, weight, bias)
    if training and kept:  # last, so that an error changes no running statistics
        implementation.track_moments(*kept, *moments, count, momentum)
        for array, changed in zip(running, kept, strict=True):
            if array is not changed:
                array[...] = changed
    return y, mean, invstd, count


@np.errstate(invalid="ignore", divide="ignore")
def inverse_deviation(var: np.ndarray, eps: float) -> np.ndarray:
    """``1 / sqrt(var + eps)``, in float64."""
    return 1 / np.sqrt(var.astype(np.float64) + eps)


def checked_momentum(momentum) -> float:
    """Any finite number, as in PyTorch."""
    return _validate.number("momentum", momentum, -np.finfo(float).max, np.finfo(float).max)


def checked_eps(eps) -> float:
    """A finite number of at least 0, which cannot make a variance negative."""
    return _validate.number("eps", eps, 0, math.inf, below_high=True)


def check_enough_values(name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError if a batch of this shape has only one value for each channel."""
    if math.prod(shape) == shape[1]:
        raise ValueError(
            f"{name} has one value for each channel (shape {shape}): training needs at least 2, for their variance."
        )


def _batch(name: str, array) -> np.ndarray:
    array = _validate.floats(name, array)
    if array.ndim not in (2, 3, 4):
        raise ValueError(f"`{name}` must be (N, C, H, W), (N, C, L) or (N, C) but its shape is {array.shape}.")
    return array


def _by_channel(name: str, array: np.ndarray, x: np.ndarray) -> np.ndarray:
    array = _validate.floats(name, array, 1, like=("x", x))
    return _validate.shape(name, array, (x.shape[1],), "one value for each channel of `x`")


def _running_statistics(x, running_mean, running_var, training: bool) -> tuple[np.ndarray, ...]:
    """The caller's own arrays, which training updates in place, and a count of batches that is not used."""
    if running_mean is None and running_var is None and training:
        return ()
    for name, array in (("running_mean", running_mean), ("running_var", running_var)):
        if array is None:
            raise ValueError(f"`{name}` is None, but only in training may both running statistics be None.")
        _by_channel(name, array, x)
        if training and not array.flags.writeable:
            raise ValueError(f"`{name}` is read-only, but training changes it.")
    return running_mean, running_var, np.zeros((), np.int64)
