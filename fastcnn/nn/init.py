"""Initial values of parameters, drawn from a Generator that the caller passes.

The draws do not depend on the dtype: a float32 model is the float64 model of the same seed, rounded.
"""

import math

import numpy as np

from fastcnn import _validate
from fastcnn._names import choices_for
from fastcnn.nn.module import Module
from fastcnn.nn.parameter import Parameter


def kaiming_uniform_(
    parameter: Parameter,
    rng: np.random.Generator,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> None:
    """Fill uniformly within ±gain * sqrt(3 / fan_in), which has the variance of `kaiming_normal_`.

    ``fan_in`` is the number of inputs of one output: ``C / groups * KH * KW`` for a convolution; ``fan_out`` is ``O *
    KH * KW``. By default layers use ``a = sqrt(5)``, as PyTorch's do: ±1 / sqrt(fan_in), also for their biases.

    Parameters
    ----------
    parameter : Parameter of shape (O, C, ...)
    rng : numpy.random.Generator
    a : float, default 0
        Negative slope of the leaky ReLU that follows.
    mode : {"fan_in", "fan_out"}
        The number to divide by. "fan_in" keeps the variance in the forward pass, "fan_out" in the backward pass.
    nonlinearity : str, default "leaky_relu"
        The activation that follows; see `calculate_gain`.

    Raises
    ------
    TypeError
        If `rng` is not a Generator.
    ValueError
        If the parameter has one axis only, so that its fan_in is unknown, or `mode` or `nonlinearity` is unknown.

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
    uniform_(parameter, rng, *_within(math.sqrt(3) * _kaiming(parameter, a, mode, nonlinearity)))


def kaiming_normal_(
    parameter: Parameter,
    rng: np.random.Generator,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> None:
    """Fill from the normal distribution with standard deviation gain / sqrt(fan_in): He's initialisation.

    Parameters, Raises and References are those of `kaiming_uniform_`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> weight = nn.Parameter(np.zeros((1000, 50)))
    >>> nn.init.kaiming_normal_(weight, np.random.default_rng(0))
    >>> round(float(weight.data.std()), 2)
    0.2
    """
    normal_(parameter, rng, 0, _kaiming(parameter, a, mode, nonlinearity))


def xavier_uniform_(parameter: Parameter, rng: np.random.Generator, gain: float = 1.0) -> None:
    """Fill uniformly, with the variance of `xavier_normal_`.

    Parameters, Raises and References are those of `xavier_normal_`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> weight = nn.Parameter(np.zeros((2, 4)))
    >>> nn.init.xavier_uniform_(weight, np.random.default_rng(0))
    >>> bool(np.abs(weight.data).max() <= 1)
    True
    """
    uniform_(parameter, rng, *_within(math.sqrt(3) * _xavier(parameter, gain)))


def xavier_normal_(parameter: Parameter, rng: np.random.Generator, gain: float = 1.0) -> None:
    """Fill from the normal distribution with standard deviation gain * sqrt(2 / (fan_in + fan_out)): Glorot's.

    Parameters
    ----------
    parameter : Parameter of shape (O, C, ...)
    rng : numpy.random.Generator
    gain : float, default 1
        See `calculate_gain`.

    Raises
    ------
    TypeError
        If `rng` is not a Generator, or `gain` is not a number.
    ValueError
        If the parameter has one axis only.

    References
    ----------
    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> weight = nn.Parameter(np.zeros((100, 100)))
    >>> nn.init.xavier_normal_(weight, np.random.default_rng(0))
    >>> round(float(weight.data.std()), 2)
    0.1
    """
    normal_(parameter, rng, 0, _xavier(parameter, gain))


def calculate_gain(nonlinearity: str, param: float = 0.01) -> float:
    """Return the factor for the standard deviation of weights before an activation, as in ``torch.nn.init``.

    Parameters
    ----------
    nonlinearity : {"linear", "conv1d", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu"}
    param : float, default 0.01
        Negative slope of "leaky_relu".

    Examples
    --------
    >>> from fastcnn import nn
    >>> nn.init.calculate_gain("leaky_relu", 1.0), round(nn.init.calculate_gain("relu"), 3)
    (1.0, 1.414)
    """
    if nonlinearity == "leaky_relu":
        slope = _validate.number("param", param)
        return math.sqrt(2 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        known = choices_for(nonlinearity, [*_GAINS, "leaky_relu"], repr)
        raise ValueError(f"`nonlinearity` is {nonlinearity!r} but must be one of {known}.")
    return _GAINS[nonlinearity]


def uniform_(parameter: Parameter, rng: np.random.Generator, a: float = 0.0, b: float = 1.0) -> None:
    """Fill uniformly between `a` and `b`."""
    low, high = _validate.number("a", a), _validate.number("b", b)
    if low > high:
        raise ValueError(f"`a` is {low:g} but must be at most `b`, {high:g}.")
    parameter.data[...] = generator(rng).uniform(low, high, parameter.shape)


def normal_(parameter: Parameter, rng: np.random.Generator, mean: float = 0.0, std: float = 1.0) -> None:
    """Fill from the normal distribution with this mean and standard deviation."""
    deviation = _validate.number("std", std)
    if deviation < 0:
        raise ValueError(f"`std` is {deviation:g} but must be at least 0.")
    parameter.data[...] = generator(rng).normal(_validate.number("mean", mean), deviation, parameter.shape)


def constant_(parameter: Parameter, val: float) -> None:
    """Fill with a number."""
    parameter.data[...] = _validate.number("val", val)


def ones_(parameter: Parameter) -> None:
    """Fill with ones."""
    constant_(parameter, 1)


def zeros_(parameter: Parameter) -> None:
    """Fill with zeros."""
    constant_(parameter, 0)


def he_(model: Module, rng: np.random.Generator) -> None:
    """Fill the weights of ``model`` by `kaiming_normal_` and its biases with 0; keep the weights of normalizations.

    Parameters
    ----------
    model : Module
        Its weights are the parameters with at least two axes. Its biases are those named "bias".
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
    norms = [module for module in model.modules() if hasattr(module, "normalized_shape")]  # weights with several axes
    of_norms = {vars(norm)["weight"] for norm in norms}
    for name, parameter in model.named_parameters():
        if name.split(".")[-1] == "bias":
            zeros_(parameter)
        elif parameter.data.ndim >= 2 and parameter not in of_norms:
            kaiming_normal_(parameter, rng)


def default_(weight: Parameter, bias: Parameter | None, rng: np.random.Generator) -> None:
    """Fill weight and bias uniformly within ±1 / sqrt(fan_in), as PyTorch's convolutions and linear layers do."""
    kaiming_uniform_(weight, rng, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(fan_in(weight))
        bias.data[...] = rng.uniform(-bound, bound, bias.shape)


def fan_in(parameter: Parameter) -> int:
    """Return the number of inputs of one output."""
    return _fan(parameter, 0)


def fan_out(parameter: Parameter) -> int:
    """Return the number of outputs of one input, for filters with stride 1."""
    return _fan(parameter, 1)


def _fan(parameter: Parameter, left_out: int) -> int:
    if parameter.data.ndim < 2:
        raise ValueError(f"A fan_in needs a parameter with at least 2 dimensions; its shape is {parameter.shape}.")
    return math.prod(parameter.shape) // parameter.shape[left_out]


def parameter(shape: tuple[int, ...], dtype) -> Parameter:
    """Return a new parameter, filled with zeros."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"`dtype` must be float32 or float64, not {np.dtype(dtype)}.")
    return Parameter(np.zeros(shape, dtype))


_GAINS = {"linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2)}


def _kaiming(parameter: Parameter, a: float, mode: str, nonlinearity: str) -> float:
    """Return the standard deviation of He's initialisation."""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'`mode` is {mode!r} but must be "fan_in" or "fan_out".')
    fan = fan_in(parameter) if mode == "fan_in" else fan_out(parameter)
    return calculate_gain(nonlinearity, _validate.number("a", a)) / math.sqrt(fan)


def _xavier(parameter: Parameter, gain: float) -> float:
    """Return the standard deviation of Glorot's initialisation."""
    return _validate.number("gain", gain) * math.sqrt(2 / (fan_in(parameter) + fan_out(parameter)))


def _within(bound: float) -> tuple[float, float]:
    return -bound, bound


def generator(rng: np.random.Generator | None) -> np.random.Generator:
    """Return ``rng``, or a new generator if it is None."""
    return np.random.default_rng() if rng is None else _validate.generator("rng", rng)
