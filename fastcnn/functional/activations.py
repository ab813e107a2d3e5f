"""Activations, element-wise on arrays of any shape."""

import sys

import numpy as np

from fastcnn import _validate
from fastcnn.functional._elementwise import elementwise


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
    return elementwise("relu", backend, {"x": x})


def relu_backward(dy: np.ndarray, y: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `relu`: 0 where the output ``y`` is 0 (also at ``x = 0``), else ``dy``, also where ``y`` is NaN.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
    y : ndarray of the shape and dtype of `dy`
        The output. The input gives the same gradient.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.relu_backward(np.array([5.0, 5.0, 5.0]), np.array([0.0, 0.0, 2.0]))
    array([0., 0., 5.])
    """
    return elementwise("relu_backward", backend, {"dy": dy, "y": y})


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
    return elementwise("leaky_relu", backend, {"x": x}, _validate.number("negative_slope", negative_slope))


def leaky_relu_backward(
    dy: np.ndarray, x: np.ndarray, negative_slope: float = 0.01, *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `leaky_relu`: ``dy`` where the input ``x`` is positive, else ``negative_slope * dy`` (at 0 too).

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
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
        As in `leaky_relu`, or if the arrays differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.leaky_relu_backward(np.array([5.0, 5.0]), np.array([-1.0, 2.0]), 0.1)
    array([0.5, 5. ])
    """
    return elementwise(
        "leaky_relu_backward", backend, {"dy": dy, "x": x}, _validate.number("negative_slope", negative_slope)
    )


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
    return elementwise("tanh", backend, {"x": x})


def tanh_backward(dy: np.ndarray, y: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `tanh` from its output: ``dy * (1 - y**2)``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
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
        If the arrays are not float arrays of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.tanh_backward(np.array([4.0]), np.array([0.5]))
    array([3.])
    """
    return elementwise("tanh_backward", backend, {"dy": dy, "y": y})


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
    return elementwise("scaled_tanh", backend, {"x": x}, *tanh_scales(amplitude, slope))


def scaled_tanh_backward(
    dy: np.ndarray, y: np.ndarray, amplitude: float = 1.7159, slope: float = 2 / 3, *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `scaled_tanh` from its output: ``dy * slope * (amplitude - y**2 / amplitude)``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
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
        As in `scaled_tanh`, or if the arrays differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.scaled_tanh_backward(np.array([4.0]), np.array([1.0]), 2.0, 0.5)
    array([3.])
    """
    return elementwise("scaled_tanh_backward", backend, {"dy": dy, "y": y}, *tanh_scales(amplitude, slope))


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
    return elementwise("sigmoid", backend, {"x": x})


def sigmoid_backward(dy: np.ndarray, y: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `sigmoid` from its output: ``dy * y * (1 - y)``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
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
        If the arrays are not float arrays of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.sigmoid_backward(np.array([4.0]), np.array([0.5]))
    array([1.])
    """
    return elementwise("sigmoid_backward", backend, {"dy": dy, "y": y})


def gelu(x: np.ndarray, approximate: str = "none", *, backend: str | None = None) -> np.ndarray:
    """``x`` times the probability that a normally distributed number is below it.

    With ``approximate="tanh"`` that probability is ``(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2``, which is
    accurate to 0.0005.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    approximate : {"none", "tanh"}, default "none"
        Which formula to use.
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
    return elementwise("gelu", backend, {"x": x}, _approximate(approximate))


def gelu_backward(
    dy: np.ndarray, x: np.ndarray, approximate: str = "none", *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `gelu`: ``dy * (P(X < x) + x * p(x))``, with the density ``p(x) = exp(-x^2 / 2) / sqrt(2 pi)``.

    With ``approximate="tanh"`` it is the derivative of the approximation.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
    x : ndarray of the shape and dtype of `dy`
        The input.
    approximate : {"none", "tanh"}, default "none"
        Which formula to use.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape and dtype, or `approximate` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.gelu_backward(np.array([2.0, 1.0]), np.array([0.0, 10.0]))
    array([1., 1.])
    """
    return elementwise("gelu_backward", backend, {"dy": dy, "x": x}, _approximate(approximate))


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
    return elementwise("silu", backend, {"x": x})


def silu_backward(dy: np.ndarray, x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `silu`: ``dy * s * (1 + x * (1 - s))`` with ``s = sigmoid(x)``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
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
        If the arrays are not float arrays of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.silu_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return elementwise("silu_backward", backend, {"dy": dy, "x": x})


def elu(x: np.ndarray, alpha: float = 1.0, *, backend: str | None = None) -> np.ndarray:
    """``x`` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    alpha : float, default 1
        The output approaches ``-alpha`` for very negative ``x``.
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
    return elementwise("elu", backend, {"x": x}, _validate.number("alpha", alpha))


def elu_backward(dy: np.ndarray, x: np.ndarray, alpha: float = 1.0, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `elu`: ``dy`` where the input ``x`` is positive, else ``dy * alpha * exp(x)`` (at 0 too).

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
    x : ndarray of the shape and dtype of `dy`
        The input.
    alpha : float, default 1
        The output approaches ``-alpha`` for very negative ``x``.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape and dtype, or `alpha` is not a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.elu_backward(np.array([3.0, 3.0]), np.array([0.0, 2.0]), alpha=0.5)
    array([1.5, 3. ])
    """
    return elementwise("elu_backward", backend, {"dy": dy, "x": x}, _validate.number("alpha", alpha))


def hardswish(x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """``x * (x + 3) / 6`` between -3 and 3, 0 below and ``x`` above: a piecewise approximation of `silu`.

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
    A. Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.hardswish(np.array([-1.0, 0.0, 1.5, 9.0])).round(4)
    array([-0.3333,  0.    ,  1.125 ,  9.    ])
    """
    return elementwise("hardswish", backend, {"x": x})


def hardswish_backward(dy: np.ndarray, x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `hardswish`: ``dy * (x / 3 + 1 / 2)`` between -3 and 3, 0 from -3 down, ``dy`` from 3 up.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
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
        If the arrays are not float arrays of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.hardswish_backward(np.array([4.0, 4.0, 4.0]), np.array([-3.0, 1.5, 3.0]))
    array([0., 4., 4.])
    """
    return elementwise("hardswish_backward", backend, {"dy": dy, "x": x})


def softplus(x: np.ndarray, beta: float = 1.0, threshold: float = 20.0, *, backend: str | None = None) -> np.ndarray:
    """``log(1 + exp(beta * x)) / beta``, a smooth `relu`; ``x`` itself where ``beta * x`` is above `threshold`.

    It does not overflow for any ``x``.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    beta : float, default 1
        Sharpness of the bend; above 0.
    threshold : float, default 20
        The output is ``x`` where ``beta * x`` is above it; at 20 the error is below 3e-9.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty, `beta` is not a positive number, or `threshold` is not a
        finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.softplus(np.array([-1000.0, 0.0, 30.0])).round(4)
    array([ 0.    ,  0.6931, 30.    ])
    """
    return elementwise("softplus", backend, {"x": x}, *softplus_options(beta, threshold))


def softplus_backward(
    dy: np.ndarray, x: np.ndarray, beta: float = 1.0, threshold: float = 20.0, *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `softplus`: ``dy * sigmoid(beta * x)``; ``dy`` where ``beta * x`` is above `threshold`.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
    x : ndarray of the shape and dtype of `dy`
        The input.
    beta, threshold, backend
        As in `softplus`.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        As in `softplus`, or if the arrays differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.softplus_backward(np.array([4.0, 4.0]), np.array([0.0, 1000.0]))
    array([2., 4.])
    """
    return elementwise("softplus_backward", backend, {"dy": dy, "x": x}, *softplus_options(beta, threshold))


def mish(x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """``x * tanh(softplus(x))``, without overflow for any ``x``.

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
    D. Misra, "Mish: a self regularized non-monotonic activation function", arXiv:1908.08681, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.mish(np.array([-1000.0, 0.0, 1.0, 30.0])).round(4)
    array([-0.    ,  0.    ,  0.8651, 30.    ])
    """
    return elementwise("mish", backend, {"x": x})


def mish_backward(dy: np.ndarray, x: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `mish`: ``dy * (t + x * s * (1 - t**2))`` with ``t = tanh(softplus(x))`` and ``s = sigmoid(x)``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
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
        If the arrays are not float arrays of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.mish_backward(np.array([5.0, 5.0]), np.array([0.0, 1000.0]))
    array([3., 5.])
    """
    return elementwise("mish_backward", backend, {"dy": dy, "x": x})


def tanh_scales(amplitude: float, slope: float) -> tuple[float, float]:
    """The checked options of `scaled_tanh`."""
    least, most = sys.float_info.min, sys.float_info.max
    return _validate.number("amplitude", amplitude, least, most), _validate.number("slope", slope, least, most)


def softplus_options(beta: float, threshold: float) -> tuple[float, float]:
    """The checked options of `softplus`."""
    least, most = sys.float_info.min, sys.float_info.max
    return _validate.number("beta", beta, least, most), _validate.number("threshold", threshold)


def _approximate(approximate: str) -> str:
    return _validate.choice("approximate", approximate, ("none", "tanh"))
