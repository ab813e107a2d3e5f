"""Activations, element by element on arrays of any shape, and dropout."""

import sys

import numpy as np

from fastcnn import _validate, backends


def relu(x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """``max(x, 0)``; NaN stays NaN.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return _map("relu", backend, {"x": x})


def relu_backward(dy: np.ndarray, y: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `relu`: 0 where the output ``y`` is 0 (so at ``x = 0`` too), else ``dy``; NaN passes it on.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss by the output.
    y : ndarray of the shape and dtype of `dy`
        The output (or the input: the sign is the same).
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of one shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.relu_backward(np.array([5.0, 5.0, 5.0]), np.array([0.0, 0.0, 2.0]))
    array([0., 0., 5.])
    """
    return _map("relu_backward", backend, {"dy": dy, "y": y})


def leaky_relu(x: np.ndarray, negative_slope: float = 0.01, *, backend: str | None = None) -> np.ndarray:
    """``x`` where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    negative_slope : float, default 0.01
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty, or `negative_slope` is not a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.leaky_relu(np.array([-1.0, 2.0]), 0.1)
    array([-0.1,  2. ])
    """
    return _map("leaky_relu", backend, {"x": x}, _validate.number("negative_slope", negative_slope))


def leaky_relu_backward(
    dy: np.ndarray, x: np.ndarray, negative_slope: float = 0.01, *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `leaky_relu`: ``dy`` where the input ``x`` is positive, else ``negative_slope * dy`` (at 0 too).

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss by the output.
    x : ndarray of the shape and dtype of `dy`
        The input.
    negative_slope : float, default 0.01
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        As `leaky_relu`; and if the arrays have not one shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.leaky_relu_backward(np.array([5.0, 5.0]), np.array([-1.0, 2.0]), 0.1)
    array([0.5, 5. ])
    """
    return _map("leaky_relu_backward", backend, {"dy": dy, "x": x}, _validate.number("negative_slope", negative_slope))


def tanh(x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Hyperbolic tangent.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.tanh(np.array([0.0, 1e9]))
    array([0., 1.])
    """
    return _map("tanh", backend, {"x": x})


def tanh_backward(dy: np.ndarray, y: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `tanh` from its output: ``dy * (1 - y**2)``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss by the output.
    y : ndarray of the shape and dtype of `dy`
        The output.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of one shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.tanh_backward(np.array([4.0]), np.array([0.5]))
    array([3.])
    """
    return _map("tanh_backward", backend, {"dy": dy, "y": y})


def scaled_tanh(
    x: np.ndarray, amplitude: float = 1.7159, slope: float = 2 / 3, *, backend: str | None = None
) -> np.ndarray:
    """``amplitude * tanh(slope * x)``, LeNet-5's squashing function of 1998.

    With the default numbers it maps 1 to 1 and -1 to -1, and its second derivative is largest there.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    amplitude, slope : float, default 1.7159 and 2 / 3
        Above 0.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty, or `amplitude` or `slope` is not a positive number.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE 86(11), 1998, appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.scaled_tanh(np.array([0.0, 1.0, 1e9])).round(4)
    array([0.    , 1.    , 1.7159])
    """
    return _map("scaled_tanh", backend, {"x": x}, *tanh_scales(amplitude, slope))


def scaled_tanh_backward(
    dy: np.ndarray, y: np.ndarray, amplitude: float = 1.7159, slope: float = 2 / 3, *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `scaled_tanh` from its output: ``dy * slope * (amplitude - y**2 / amplitude)``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss by the output.
    y : ndarray of the shape and dtype of `dy`
        The output.
    amplitude, slope, backend
        As in `scaled_tanh`.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        As `scaled_tanh`; and if the arrays have not one shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.scaled_tanh_backward(np.array([4.0]), np.array([1.0]), 2.0, 0.5)
    array([3.])
    """
    return _map("scaled_tanh_backward", backend, {"dy": dy, "y": y}, *tanh_scales(amplitude, slope))


def sigmoid(x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Logistic function ``1 / (1 + exp(-x))``, without overflow for any ``x``.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.sigmoid(np.array([-1e9, 0.0, 1e9]))
    array([0. , 0.5, 1. ])
    """
    return _map("sigmoid", backend, {"x": x})


def sigmoid_backward(dy: np.ndarray, y: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `sigmoid` from its output: ``dy * y * (1 - y)``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss by the output.
    y : ndarray of the shape and dtype of `dy`
        The output.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of one shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.sigmoid_backward(np.array([4.0]), np.array([0.5]))
    array([1.])
    """
    return _map("sigmoid_backward", backend, {"dy": dy, "y": y})


def gelu(x: np.ndarray, approximate: str = "none", *, backend: str | None = None) -> np.ndarray:
    """``x`` times the probability that a normally distributed number is below it.

    With ``approximate="tanh"`` that probability is ``(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2``, which is
    right to 0.0005.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    approximate : {"none", "tanh"}, default "none"
        Which formula.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty, or `approximate` is unknown.

    References
    ----------
    D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.gelu(np.array([-10.0, 0.0, 1.0])).round(4)
    array([-0.    ,  0.    ,  0.8413])
    >>> F.gelu(np.array([-10.0, 0.0, 1.0]), approximate="tanh").round(4)
    array([-0.    ,  0.    ,  0.8412])
    """
    return _map("gelu", backend, {"x": x}, _approximate(approximate))


def gelu_backward(
    dy: np.ndarray, x: np.ndarray, approximate: str = "none", *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `gelu`: ``dy * (P(X < x) + x * p(x))``, with the density ``p(x) = exp(-x^2 / 2) / sqrt(2 pi)``.

    With ``approximate="tanh"`` it is the derivative of that formula.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss by the output.
    x : ndarray of the shape and dtype of `dy`
        The input.
    approximate : {"none", "tanh"}, default "none"
        Which formula.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of one shape and dtype, or `approximate` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.gelu_backward(np.array([2.0, 1.0]), np.array([0.0, 10.0]))
    array([1., 1.])
    """
    return _map("gelu_backward", backend, {"dy": dy, "x": x}, _approximate(approximate))


def silu(x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """``x * sigmoid(x)``, also called swish.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty.

    References
    ----------
    S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning", arXiv:1702.03118, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.silu(np.array([-1000.0, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """
    return _map("silu", backend, {"x": x})


def silu_backward(dy: np.ndarray, x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `silu`: ``dy * s * (1 + x * (1 - s))`` with ``s = sigmoid(x)``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss by the output.
    x : ndarray of the shape and dtype of `dy`
        The input.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of one shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.silu_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return _map("silu_backward", backend, {"dy": dy, "x": x})


def elu(x: np.ndarray, alpha: float = 1.0, *, backend: str | None = None) -> np.ndarray:
    """``x`` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    alpha : float, default 1
        What a very negative ``x`` becomes, but for its sign.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty, or `alpha` is not a finite number.

    References
    ----------
    D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep network learning by exponential linear
    units (ELUs)", ICLR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.elu(np.array([-1000.0, 0.0, 2.0]))
    array([-1.,  0.,  2.])
    """
    return _map("elu", backend, {"x": x}, _validate.number("alpha", alpha))


def elu_backward(dy: np.ndarray, x: np.ndarray, alpha: float = 1.0, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `elu`: ``dy`` where the input ``x`` is positive, else ``dy * alpha * exp(x)`` (at 0 too).

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss by the output.
    x : ndarray of the shape and dtype of `dy`
        The input.
    alpha : float, default 1
        What a very negative ``x`` becomes, but for its sign.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of one shape and dtype, or `alpha` is not a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.elu_backward(np.array([3.0, 3.0]), np.array([0.0, 2.0]), alpha=0.5)
    array([1.5, 3. ])
    """
    return _map("elu_backward", backend, {"dy": dy, "x": x}, _validate.number("alpha", alpha))


def dropout(
    x: np.ndarray, p: float = 0.5, training: bool = True, *, rng: np.random.Generator, backend: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Zero each element with probability ``p`` and scale the others by ``1 / (1 - p)`` (inverted dropout).

    The expected value of an element stays what it was, so that nothing changes outside of training.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    p : float, default 0.5
        Probability of an element to become zero; from 0 to below 1.
    training : bool, default True
        When False, ``y`` is a copy of `x`.
    rng : numpy.random.Generator
        Where the mask is drawn from: one uniform float32 for each element, in the order of a C-contiguous `x`.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    y : ndarray of the shape and dtype of `x`
        ``x * mask``.
    mask : ndarray of the shape and dtype of `x`
        0 or ``1 / (1 - p)``; all ones outside of training.

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty, or `p` is out of range, or `rng` is not a Generator.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> y, mask = F.dropout(np.ones(4), 0.5, rng=np.random.default_rng(1))
    >>> y
    array([0., 2., 2., 2.])
    """
    x = _validate.floats("x", x)
    p = _validate.number("p", p, 0, 1, below_high=True)
    _validate.generator("rng", rng)
    mask = dropout_mask(x.shape, x.dtype, p, rng) if _validate.flag("training", training) else np.ones_like(x)
    return _map("dropout", backend, {"x": x, "mask": mask}), mask


def dropout_backward(dy: np.ndarray, mask: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `dropout`: ``dy * mask``, with the mask of the forward pass.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss by the output.
    mask : ndarray of the shape and dtype of `dy`
        As returned by `dropout`.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of one shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.dropout_backward(np.array([3.0, 3.0]), np.array([2.0, 0.0]))
    array([6., 0.])
    """
    return _map("dropout_backward", backend, {"dy": dy, "mask": mask})


def dropout_mask(shape: tuple[int, ...], dtype, p: float, rng: np.random.Generator) -> np.ndarray:
    """Zeros with probability ``p``, else ``1 / (1 - p)``; the mask of `dropout`."""
    keep = rng.random(shape, dtype=np.float32) >= p
    return np.multiply(keep, 1 / (1 - p), dtype=dtype)


def tanh_scales(amplitude: float, slope: float) -> tuple[float, float]:
    """The two numbers of `scaled_tanh`, checked."""
    least, most = sys.float_info.min, sys.float_info.max
    return _validate.number("amplitude", amplitude, least, most), _validate.number("slope", slope, least, most)


def _approximate(approximate: str) -> str:
    return _validate.choice("approximate", approximate, ("none", "tanh"))


def _map(operation: str, backend: str | None, arrays: dict[str, np.ndarray], *options) -> np.ndarray:
    """Call an element-wise ``operation`` of the backend on checked ``arrays`` of one shape and dtype."""
    first, *others = arrays
    checked = [_validate.floats(first, arrays[first])]
    for name in others:
        array = _validate.floats(name, arrays[name], like=(first, checked[0]))
        checked.append(_validate.shape(name, array, checked[0].shape, f"that of `{first}`"))
    implementation = backends.load(backend)
    shape = checked[0].shape
    native = [implementation.pack(array.reshape(1, -1) if array.ndim < 2 else array) for array in checked]
    return implementation.unpack(getattr(implementation, operation)(*native, *options)).reshape(shape)
