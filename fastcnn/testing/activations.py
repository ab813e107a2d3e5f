"""All activations, as the package has them: tests run over these, so that a new one is in each of them."""

import inspect

from fastcnn import backends, nn
from fastcnn import functional as F

NAMES = tuple(
    name
    for name in backends.operations_by_file()["activations"]
    if name != "dropout" and not name.endswith("_backward")
)
LAYERS = {name: kind for name in NAMES for kind in nn.LAYERS.values() if kind.__name__.lower() == name.replace("_", "")}
"""The layer of each."""

FROM_OUTPUT = {name for name in NAMES if "y" in inspect.signature(getattr(F, f"{name}_backward")).parameters}
"""Those whose gradient is computed from the output; the others' is from the input."""

GATES = {"gelu", "silu", "hardswish", "mish"}
"""Those that multiply x by a number from 0 to 1: where that is small, they are right to the digits of x."""

OTHER_OPTIONS: dict[str, dict] = {
    "leaky_relu": {"negative_slope": 0.1},
    "scaled_tanh": {"amplitude": 2.0, "slope": 0.5},
    "gelu": {"approximate": "tanh"},
    "elu": {"alpha": 0.3},
    "softplus": {"beta": 2.0, "threshold": 3.0},
}


def options(name: str) -> dict:
    """What an activation takes besides numbers, with the defaults."""
    parameters = inspect.signature(getattr(F, name)).parameters
    return {option: parameter.default for option, parameter in list(parameters.items())[1:-1]}


CASES: dict[str, tuple[str, dict]] = {name: (name, options(name)) for name in NAMES}
CASES |= {f"{name}, other": (name, others) for name, others in OTHER_OPTIONS.items()}
"""Activations and options, by what is said of them."""
