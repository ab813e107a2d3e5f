"""The parts of a training run that are chosen by name (optimizer, schedule, augmentations), made from their options."""

import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

from fastcnn import optim
from fastcnn._names import choices_for
from fastcnn.commands.errors import UsageError, usage
from fastcnn.data import augment

# name: class, default learning rate, further defaults
OPTIMIZERS: dict[str, tuple[Callable, float, dict]] = {
    "adam": (optim.Adam, 0.003, {}),
    "adamw": (optim.AdamW, 0.003, {}),
    "sgd": (optim.SGD, 0.1, {"momentum": 0.9}),
    "rmsprop": (optim.RMSprop, 0.001, {}),
    "muon": (optim.Muon, 0.01, {}),
}

AUGMENTS: dict[str, tuple[Callable, dict]] = {
    "shift": (augment.Shift, {"pixels": 2}),
    "rotation": (augment.Rotation, {"degrees": 10}),
    "scale": (augment.Scale, {"low": 0.9, "high": 1.1}),
    "elastic": (augment.Elastic, {}),
    "flip": (augment.HorizontalFlip, {}),
    "crop": (augment.PadAndCrop, {"padding": 4}),
    "cutout": (augment.Cutout, {"size": 8}),
}


class _Schedule(NamedTuple):
    kind: Callable | None
    defaults: dict
    fixed: Callable = lambda lr, batches: {}  # arguments that follow from the learning rate and the number of batches
    needs_epochs: bool = False  # the schedule depends on the number of epochs, which cannot change before it ends


SCHEDULES = {
    "one-cycle": _Schedule(
        optim.OneCycleLR, {"cycle_momentum": False}, lambda lr, n: {"max_lr": lr, "total_steps": n}, True
    ),
    "cosine": _Schedule(optim.CosineAnnealingLR, {}, lambda lr, n: {"T_max": n, "every": "batch"}, True),
    "linear": _Schedule(optim.LinearLR, {}),
    "step": _Schedule(optim.StepLR, {}),
    "multi-step": _Schedule(optim.MultiStepLR, {}),
    "exponential": _Schedule(optim.ExponentialLR, {}),
    "plateau": _Schedule(optim.ReduceLROnPlateau, {}),
    "constant": _Schedule(None, {}),
}


def make_optimizer(settings: Mapping, parameters) -> optim.Optimizer:
    """Make the optimizer."""
    kind, _, defaults = OPTIMIZERS[settings["optimizer"]]
    fixed = {"params": parameters, "lr": settings["lr"]}
    return _make(f"The optimizer {settings['optimizer']!r}", kind, fixed, defaults | settings["optimizer_options"])


def make_schedule(settings: Mapping, optimizer: optim.Optimizer, batches: int) -> optim.Schedule | None:
    """Make the schedule for a run of ``batches`` batches in all; None keeps the learning rate constant."""
    name, options = settings["schedule"], settings["schedule_options"]
    schedule = SCHEDULES[name]
    if schedule.kind is None:
        if options:
            raise UsageError(f"The schedule {name!r} has no options, but {next(iter(options))!r} is given.")
        return None
    fixed = {"optimizer": optimizer, **schedule.fixed(settings["lr"], batches)}
    return _make(f"The schedule {name!r}", schedule.kind, fixed, schedule.defaults | options)


def make_augment(table: Mapping, size: int, black) -> augment.Compose | None:
    """Make the augmentation for images of ``size`` x ``size`` pixels; None if the table names none."""
    parts = []
    for name, value in table.items():
        if name not in AUGMENTS:
            raise UsageError(f"There is no augmentation {name!r}; there are {choices_for(name, AUGMENTS)}.")
        if value is False:
            continue
        kind, defaults = AUGMENTS[name]
        known = inspect.signature(kind).parameters
        fixed = {"fill": black} if "fill" in known else {}
        if name == "crop":
            fixed["size"] = size
        free = [parameter for parameter in known if parameter not in fixed]
        if not isinstance(value, dict):  # true for the defaults, a number, or a list of numbers in the order of `free`
            values = [] if value is True else value if isinstance(value, list) else [value]
            if len(values) > len(free):
                raise UsageError(f"The augmentation {name!r} takes {', '.join(free)}, not {len(values)} numbers.")
            value = dict(zip(free, values, strict=False))
        parts.append(_make(f"The augmentation {name!r}", kind, fixed, defaults | value))
    return augment.Compose(*parts) if parts else None


def _make(what: str, kind: Callable, fixed: dict, options: dict):
    """Call ``kind(**fixed, **options)``; unknown, missing and wrong options are a UsageError of one sentence."""
    known = {name: p for name, p in inspect.signature(kind).parameters.items() if name not in fixed}
    for name in options:
        if name not in known:
            raise UsageError(f"{what} has no option {name!r}; it has {choices_for(name, known)}.")
    if needed := [name for name, p in known.items() if p.default is p.empty and name not in options]:
        raise UsageError(f"{what} needs {', '.join(needed)}.")
    with usage(f"{what}: "):
        return kind(**fixed, **options)
