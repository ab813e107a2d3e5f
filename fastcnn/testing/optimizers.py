"""The optimizers with various options: a table that all tests of optimizers use.

`torch.optim` has a class of the same name, with the same options, for each.
"""

import numpy as np

from fastcnn import nn, optim

OPTIMIZERS: dict[str, tuple[type[optim.Optimizer], dict]] = {
    "SGD": (optim.SGD, {"lr": 0.1}),
    "SGD, weight decay": (optim.SGD, {"lr": 0.1, "weight_decay": 0.02}),
    "SGD, momentum": (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "SGD, momentum and weight decay": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.02}),
    "SGD, Nesterov": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}),
    "Adam": (optim.Adam, {"lr": 0.1}),
    "Adam, other betas and eps": (optim.Adam, {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3}),
    "Adam, weight decay": (optim.Adam, {"lr": 0.1, "weight_decay": 0.02}),
    "Adam, amsgrad": (optim.Adam, {"lr": 0.1, "betas": (0.7, 0.6), "amsgrad": True, "weight_decay": 0.02}),
    "AdamW": (optim.AdamW, {"lr": 0.1}),
    "AdamW, all options": (optim.AdamW, {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.3}),
    "AdamW, amsgrad": (optim.AdamW, {"lr": 0.1, "betas": (0.7, 0.6), "amsgrad": True}),
    "RMSprop": (optim.RMSprop, {"lr": 0.01}),
    "RMSprop, other alpha and eps": (optim.RMSprop, {"lr": 0.01, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.02}),
    "RMSprop, momentum": (optim.RMSprop, {"lr": 0.01, "momentum": 0.9}),
    "RMSprop, centered": (optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "centered": True}),
    "RMSprop, all options": (optim.RMSprop, {"lr": 0.01, "centered": True, "momentum": 0.5, "weight_decay": 0.02}),
    "Muon": (optim.Muon, {"lr": 0.1}),
    "Muon, other iteration": (optim.Muon, {"lr": 0.1, "ns_coefficients": (2, -1.5, 0.5), "ns_steps": 3, "eps": 0.5}),
    "Muon, all options": (
        optim.Muon,
        {"lr": 0.1, "weight_decay": 0.3, "momentum": 0.5, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
    ),
}
CLASSES = tuple(dict.fromkeys(kind for kind, _ in OPTIMIZERS.values()))
ONE_OF_EACH = tuple({kind: name for name, (kind, _) in OPTIMIZERS.items()}.values())
"""The last entry of each class, which computes the most."""


def make(name: str, parameters) -> optim.Optimizer:
    """Return an optimizer of the table."""
    kind, options = OPTIMIZERS[name]
    return kind(parameters, **options)


def update(name: str, shapes, rng: np.random.Generator, dtype) -> tuple[str, tuple]:
    """Return the backend's operation that a step calls, and its arguments: random arrays without negative values."""

    def draw(shape):
        return np.abs(rng.standard_normal(shape)).astype(dtype)

    optimizer = make(name, [nn.Parameter(draw(shape)) for shape in shapes])
    for array in optimizer._arrays():
        array[...] = draw(array.shape)
    for parameter in optimizer.params:
        parameter.grad = draw(parameter.shape)
    places, parameters, grads = optimizer._ready()
    for _ in range(2):
        optimizer._count(places)
    backend = _Listener()
    optimizer._update(backend, places, parameters, grads)
    return backend.heard


class _Listener:
    """A backend that stores the last operation and its arguments."""

    heard: tuple[str, tuple]

    def __getattr__(self, operation: str):
        def call(*arguments):
            self.heard = operation, arguments

        return call
