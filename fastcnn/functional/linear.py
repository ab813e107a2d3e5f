"""The affine map of fully connected layers, and its gradients."""

import numpy as np

from fastcnn import _validate, backends


def linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, *, backend: str | None = None
) -> np.ndarray:
    """Affine map of rows: ``y = x @ weight.T + bias``, as ``torch.nn.functional.linear``.

    Parameters
    ----------
    x : ndarray of shape (N, C), float32 or float64
        Rows of C features.
    weight : ndarray of shape (O, C), dtype of `x`
    bias : ndarray of shape (O,), dtype of `x`, optional
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of shape (N, O), dtype of `x`

    Raises
    ------
    TypeError
        If an array is not a float32 or float64 array, or the dtypes differ.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.5, 0.0]))
    array([[11.5, 17. ]])
    """
    x, weight = _checked(x, weight)
    if bias is not None:
        bias = _validate.floats("bias", bias, 1, like=("x", x))
        _validate.shape("bias", bias, (weight.shape[0],), "one value for each row of `weight`")
    implementation = backends.load(backend)
    return implementation.unpack(implementation.linear(implementation.pack(x), weight, bias))


def linear_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    *,
    input_grad: bool = True,
    weight_grad: bool = True,
    backend: str | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `linear`: ``dx = dy @ weight``, ``dweight = dy.T @ x``, ``dbias = dy.sum(axis=0)``.

    Parameters
    ----------
    dy : ndarray of shape (N, O), dtype of `x`
        Gradient of the loss with respect to the output.
    x, weight, backend
        As given to `linear`.
    input_grad, weight_grad : bool, default True
        Whether to compute ``dx``, and whether to compute ``dweight`` and ``dbias``, respectively.

    Returns
    -------
    dx : ndarray of shape (N, C) or None
    dweight : ndarray of shape (O, C) or None
    dbias : ndarray of shape (O,) or None
        None where it was not requested.

    Raises
    ------
    TypeError, ValueError
        As in `linear`, or if `dy` does not have the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> dx, dweight, dbias = F.linear_backward(np.array([[2.0]]), np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    >>> dx, dweight, dbias
    (array([[6., 8.]]), array([[2., 4.]]), array([2.]))
    """
    x, weight = _checked(x, weight)
    dy = _validate.floats("dy", dy, 2, like=("x", x))
    _validate.shape("dy", dy, (len(x), len(weight)), "the shape of the output")
    wanted = _validate.flag("input_grad", input_grad), _validate.flag("weight_grad", weight_grad)
    implementation = backends.load(backend)
    dx, dweight, dbias = implementation.linear_backward(
        implementation.pack(dy), implementation.pack(x), weight, *wanted
    )
    return None if dx is None else implementation.unpack(dx), dweight, dbias


def _checked(x, weight) -> tuple[np.ndarray, np.ndarray]:
    x = _validate.floats("x", x, 2)
    weight = _validate.floats("weight", weight, 2, like=("x", x))
    if x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"`weight` has {weight.shape[1]} input features (shape {weight.shape}) but `x` has {x.shape[1]} "
            f"(shape {x.shape})."
        )
    return x, weight
