"""Initial values of parameters, every draw from a Generator that the caller gives.

The draws do not depend on the dtype: a float32 model is the float64 model of the same seed, rounded.
"""

import math

import numpy as np

from fastcnn import _validate
from fastcnn.nn.module import Module
from fastcnn.nn.parameter import Parameter


def kaiming_uniform_(parameter: Parameter, rng: np.random.Generator, a: float = 0.0) -> None:
    """Fill uniformly in ±sqrt(6 / ((1 + a^2) fan_in)), whose variance is that of `kaiming_normal_`.

    ``fan_in`` is the number of inputs of one output: ``C / groups * KH * KW`` of a convolution. Layers start with ``a =
    sqrt(5)``, as PyTorch's do: ±1 / sqrt(fan_in), for their biases too.

    Parameters
    ----------
    parameter : Parameter of shape (O, C, ...)
    rng : numpy.random.Generator
    a : float, default 0
        Slope for negative inputs of the leaky ReLU that follows.

    Raises
    ------
    TypeError
        If `rng` is not a Generator.
    ValueError
        If the parameter has one axis only, so that its fan_in is unknown.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015, section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> weight = nn.Parameter(np.zeros((4, 6)))
    >>> nn.init.kaiming_uniform_(weight, np.random.default_rng(0))
    >>> bool(np.abs(weight.data).max() <= 1)
    True
    """
    a = _slope(a)
    bound = math.sqrt(6 / ((1 + a * a) * fan_in(parameter)))
    parameter.data[...] = generator(rng).uniform(-bound, bound, parameter.shape)


def kaiming_normal_(parameter: Parameter, rng: np.random.Generator, a: float = 0.0) -> None:
    """Fill from the normal distribution of standard deviation sqrt(2 / ((1 + a^2) fan_in)): He's initialisation.

    Parameters, Raises and References as `kaiming_uniform_`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> weight = nn.Parameter(np.zeros((1000, 50)))
    >>> nn.init.kaiming_normal_(weight, np.random.default_rng(0))
    >>> round(float(weight.data.std()), 2)
    0.2
    """
    a = _slope(a)
    deviation = math.sqrt(2 / ((1 + a * a) * fan_in(parameter)))
    parameter.data[...] = generator(rng).normal(0, deviation, parameter.shape)


def zeros_(parameter: Parameter) -> None:
    """Fill with zeros."""
    parameter.data[...] = 0


def he_(model: Module, rng: np.random.Generator) -> None:
    """Give every weight of ``model`` He's normal initialisation, and every bias 0; no weight of a normalization.

    Parameters
    ----------
    model : Module
        Weights are its parameters of two axes and more, biases those named so.
    rng : numpy.random.Generator

    Raises
    ------
    TypeError
        If `rng` is not a Generator.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.Linear(3, 2)
    >>> nn.init.he_(layer, np.random.default_rng(0))
    >>> layer.bias.data
    array([0., 0.], dtype=float32)
    """
    norms = [module for module in model.modules() if hasattr(module, "normalized_shape")]  # of many axes, too
    of_norms = {vars(norm)["weight"] for norm in norms}
    for name, parameter in model.named_parameters():
        if name.split(".")[-1] == "bias":
            zeros_(parameter)
        elif parameter.data.ndim >= 2 and parameter not in of_norms:
            kaiming_normal_(parameter, rng)


def default_(weight: Parameter, bias: Parameter | None, rng: np.random.Generator) -> None:
    """What PyTorch's convolutions and linear layers start with: ±1 / sqrt(fan_in), uniformly, weight and bias."""
    kaiming_uniform_(weight, rng, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(fan_in(weight))
        bias.data[...] = rng.uniform(-bound, bound, bias.shape)


def fan_in(parameter: Parameter) -> int:
    """Number of inputs of one output."""
    if parameter.data.ndim < 2:
        raise ValueError(f"A fan_in needs a parameter of 2 dimensions or more; its shape is {parameter.shape}.")
    return math.prod(parameter.shape[1:])


def parameter(shape: tuple[int, ...], dtype) -> Parameter:
    """A new parameter, filled with zeros."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"`dtype` must be float32 or float64, not {np.dtype(dtype)}.")
    return Parameter(np.zeros(shape, dtype))


def _slope(a: float) -> float:
    return _validate.number("a", a)


def generator(rng: np.random.Generator | None) -> np.random.Generator:
    """``rng``, or a fresh one for None."""
    return np.random.default_rng() if rng is None else _validate.generator("rng", rng)
