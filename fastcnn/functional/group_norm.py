"""Normalization of each image over groups of channels or over its last axes, and the gradients."""

import math
from collections.abc import Sequence

import numpy as np

from fastcnn import _validate, backends
from fastcnn.functional.normalization import checked_eps


def group_norm(
    x: np.ndarray,
    num_groups: int,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    eps: float = 1e-5,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Normalize each group of channels of each image, as ``torch.nn.functional.group_norm``.

    With ``invstd = 1 / sqrt(var + eps)`` it is ``y = (x - mean) * invstd * weight + bias``. Each group of each image
    has its own mean and (biased) variance, and each channel has its own weight and bias. No image depends on the other
    images of its batch. With one channel in each group it is instance normalization.

    The mean and the deviations from it stay accurate if the mean is large. Cost: about 8 flops per value. ``x`` is read
    three times, from the cache if a block of images fits, and ``y`` is written once.

    Parameters
    ----------
    x : ndarray of shape (N, C, ...), float32 or float64
        Images, or rows of features.
    num_groups : int
        Number of groups; divides C. The first ``C / num_groups`` channels are the first group.
    weight, bias : ndarray of shape (C,), dtype of `x`, optional
        By default 1 and 0.
    eps : float, default 1e-5
        Added to the variance.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If an array is not a float32 or float64 array, dtypes or shapes do not match, or `num_groups` does not
        divide the number of channels.

    References
    ----------
    Y. Wu and K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.group_norm(np.array([[1.0, 3.0, 10.0, 50.0]]), 2, eps=0)
    array([[-1.,  1., -1.,  1.]])
    """
    x = _batch("x", x)
    groups, pixels = _groups(num_groups, x.shape), math.prod(x.shape[2:])
    what = "one value for each channel of `x`"
    weight, bias = (_affine(name, array, x, x.shape[1:2], what) for name, array in (("weight", weight), ("bias", bias)))
    return _norm(x, groups, weight, bias, pixels, checked_eps(eps), backend)


def group_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    num_groups: int,
    weight: np.ndarray | None = None,
    eps: float = 1e-5,
    *,
    input_grad: bool = True,
    backend: str | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Gradients of `group_norm`.

    With ``z = (x - mean) * invstd`` and sums over all values of a channel, ``dweight = sum(dy * z)`` and ``dbias =
    sum(dy)``. With ``dz = weight * dy`` and means over a group, ``dx = invstd * (dz - mean(dz) - z * mean(dz * z))``.

    Parameters
    ----------
    dy : ndarray of the shape and dtype of `x`
        Gradient of the loss with respect to the output.
    x, num_groups, weight, eps, backend
        As given to `group_norm`.
    input_grad : bool, default True
        Whether to compute ``dx``.

    Returns
    -------
    dx : ndarray of the shape of `x`, or None
    dweight, dbias : ndarray of shape (C,)

    Raises
    ------
    TypeError, ValueError
        As in `group_norm`, or if `dy` does not have the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x, dy = np.array([[1.0, 3.0, 5.0]]), np.array([[6.0, 0.0, 0.0]])
    >>> dx, dweight, dbias = F.group_norm_backward(dy, x, 1, eps=4 / 3)
    >>> dx, dweight, dbias
    (array([[ 1., -1.,  0.]]), array([-6.,  0.,  0.]), array([6., 0., 0.]))
    """
    x = _batch("x", x)
    groups, pixels = _groups(num_groups, x.shape), math.prod(x.shape[2:])
    weight = _affine("weight", weight, x, x.shape[1:2], "one value for each channel of `x`")
    return _norm_backward(dy, x, groups, weight, pixels, checked_eps(eps), input_grad, backend)


def layer_norm(
    x: np.ndarray,
    normalized_shape: int | Sequence[int],
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    eps: float = 1e-5,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Normalize over the last axes, as ``torch.nn.functional.layer_norm``.

    It computes the same as `group_norm`, but the mean and the variance are over the last axes, as many as
    `normalized_shape` has, and each element along these axes has its own weight and bias.

    Parameters
    ----------
    x : ndarray of shape (N, ...), float32 or float64
        Rows of features, or images; the sizes of the last axes are `normalized_shape`.
    normalized_shape : int or sequence of int
        Size of the last axis, or sizes of the last axes, without the batch axis.
    weight, bias : ndarray of shape `normalized_shape`, dtype of `x`, optional
        By default 1 and 0.
    eps : float, default 1e-5
        Added to the variance.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If an array is not a float32 or float64 array, or dtypes or shapes do not match.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.layer_norm(np.array([[1.0, 3.0], [10.0, 50.0]]), 2, np.array([1.0, 5.0]), eps=0)
    array([[-1.,  5.],
           [-1.,  5.]])
    """
    x, shape = _batch("x", x), checked_normalized_shape(normalized_shape)
    groups, what = runs(x.shape, shape, "`x`"), "the `normalized_shape`"
    weight, bias = (_affine(name, array, x, shape, what) for name, array in (("weight", weight), ("bias", bias)))
    return _norm(x, groups, weight, bias, 1, checked_eps(eps), backend)


def layer_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    normalized_shape: int | Sequence[int],
    weight: np.ndarray | None = None,
    eps: float = 1e-5,
    *,
    input_grad: bool = True,
    backend: str | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Gradients of `layer_norm`: those of `group_norm_backward`, with means over the last axes.

    Parameters
    ----------
    dy : ndarray of the shape and dtype of `x`
        Gradient of the loss with respect to the output.
    x, normalized_shape, weight, eps, backend
        As given to `layer_norm`.
    input_grad : bool, default True
        Whether to compute ``dx``.

    Returns
    -------
    dx : ndarray of the shape of `x`, or None
    dweight, dbias : ndarray of shape `normalized_shape`

    Raises
    ------
    TypeError, ValueError
        As in `layer_norm`, or if `dy` does not have the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x, dy = np.array([[1.0, 3.0, 5.0]]), np.array([[6.0, 0.0, 0.0]])
    >>> dx, dweight, dbias = F.layer_norm_backward(dy, x, 3, eps=4 / 3)
    >>> dx, dweight, dbias
    (array([[ 1., -1.,  0.]]), array([-6.,  0.,  0.]), array([6., 0., 0.]))
    """
    x, shape = _batch("x", x), checked_normalized_shape(normalized_shape)
    groups = runs(x.shape, shape, "`x`")
    weight = _affine("weight", weight, x, shape, "the `normalized_shape`")
    return _norm_backward(dy, x, groups, weight, 1, checked_eps(eps), input_grad, backend)


def checked_normalized_shape(normalized_shape) -> tuple[int, ...]:
    """`normalized_shape` as a tuple of at least one size."""
    if _validate.is_whole(normalized_shape):
        normalized_shape = (normalized_shape,)
    is_list = isinstance(normalized_shape, (tuple, list)) and len(normalized_shape) > 0
    if not is_list or not all(_validate.is_whole(size) and size > 0 for size in normalized_shape):
        raise ValueError(
            f"`normalized_shape` must be an int or a sequence of ints, each at least 1, not {normalized_shape!r}."
        )
    return tuple(map(int, normalized_shape))


def runs(shape: tuple[int, ...], normalized: tuple[int, ...], name: str) -> int:
    """The number of normalized blocks in each image, for a batch of this shape."""
    axes = len(shape) - len(normalized)
    if axes < 1 or shape[axes:] != normalized:
        raise ValueError(
            f"{name} has shape {shape}, but after the batch axis it must end with {normalized}, the `normalized_shape`."
        )
    return math.prod(shape[1:axes])


def _batch(name: str, array) -> np.ndarray:
    array = _validate.floats(name, array)
    if array.ndim < 2:
        raise ValueError(f"`{name}` must be (N, C, ...) but its shape is {array.shape}.")
    return array


def _groups(num_groups, shape: tuple[int, ...]) -> int:
    groups = _validate.count("num_groups", num_groups)
    if shape[1] % groups:
        raise ValueError(f"`num_groups` is {groups} but must divide the channels of `x`, whose shape is {shape}.")
    return groups


def _affine(name: str, array, x: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    """A checked weight or bias; if None, a weight is 1 and a bias 0."""
    if array is None:
        return np.full(shape, name == "weight", x.dtype)
    return _validate.shape(name, _validate.floats(name, array, like=("x", x)), shape, what)


def _norm(x, groups: int, weight, bias, pixels: int, eps: float, backend: str | None) -> np.ndarray:
    implementation = backends.load(backend)
    native = implementation.pack(x)
    return implementation.unpack(implementation.group_norm(native, groups, weight.ravel(), bias.ravel(), pixels, eps))


def _norm_backward(dy, x, groups: int, weight, pixels: int, eps: float, input_grad, backend: str | None):
    dy = _validate.shape("dy", _validate.floats("dy", dy, like=("x", x)), x.shape, "the shape of `x`")
    input_grad, implementation = _validate.flag("input_grad", input_grad), backends.load(backend)
    dx, dweight, dbias = implementation.group_norm_backward(
        implementation.pack(dy), implementation.pack(x), groups, weight.ravel(), pixels, eps, input_grad, True
    )
    dx = implementation.unpack(dx) if input_grad else None
    return dx, dweight.reshape(weight.shape), dbias.reshape(weight.shape)
