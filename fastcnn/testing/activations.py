"""All activations of the package. Tests run over these tables, so a new activation is tested automatically."""

import inspect

from fastcnn import backends, nn
from fastcnn import functional as F

NAMES = tuple(
    name
    for name in backends.operations_by_file()["activations"]
    if name != "dropout" and not name.endswith("_backward")
)
LAYERS = {name: kind for name in NAMES for kind in nn.LAYERS.values() if kind.__name__.lower() == name.replace("_", "")}
"""The layer of each activation."""

FROM_OUTPUT = {name for name in NAMES if "y" in inspect.signature(getattr(F, f"{name}_backward")).parameters}
"""Activations with a gradient computed from the output; for all others it is computed from the input."""

GATES = {"gelu", "silu", "hardswish", "mish"}
"""Activations that multiply x by a factor from 0 to 1: where that is small, their error is relative to x."""

OTHER_OPTIONS: dict[str, dict] = {
    "leaky_relu": {"negative_slope": 0.1},
    "scaled_tanh": {"amplitude": 2.0, "slope": 0.5},
    "gelu": {"approximate": "tanh"},
    "elu": {"alpha": 0.3},
    "softplus": {"beta": 2.0, "threshold": 3.0},
}


def options(name: str) -> dict:
    """Return the options of an activation with their defaults."""
    parameters = inspect.signature(getattr(F, name)).parameters
    return {option: parameter.default for option, parameter in list(parameters.items())[1:-1]}


CASES: dict[str, tuple[str, dict]] = {name: (name, options(name)) for name in NAMES}
CASES |= {f"{name}, other": (name, others) for name, others in OTHER_OPTIONS.items()}
"""Activations and options, by description."""
