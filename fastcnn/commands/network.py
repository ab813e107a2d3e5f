"""A named model or the model of a run, for commands that need a model but no data."""

from typing import Any

import numpy as np

from fastcnn import models, nn
from fastcnn.commands import prepare
from fastcnn.commands.arguments import Parser, Table, choice, from_text, path, whole
from fastcnn.commands.classifier import load
from fastcnn.commands.errors import UsageError
from fastcnn.commands.parts import OPTIMIZERS, make_optimizer
from fastcnn.optim import Optimizer


def add_to(parser: Parser) -> None:
    """Add the options that choose the model."""
    add = parser.add_argument
    size: dict[str, Any] = {"type": from_text(whole(1)), "metavar": "N"}
    add("run", type=path, nargs="?", metavar="RUN", help="a folder of fastcnn train, or a checkpoint: use its model")
    names = f"the model if there is no RUN, one of {', '.join(models.NAMES)} (default: lenet5)"
    add("--model", type=from_text(choice(*models.NAMES)), metavar="NAME", help=names)
    add("--image-size", **size, help="height and width of the images")
    add("--channels", **size, help="channels of the images")
    add("--classes", **size, help="number of classes")
    more = "further options of the model, such as pooling=avg"
    add("--model-options", action=Table, nargs="+", default={}, metavar="NAME=VALUE", help=more)


def build(args, rng: np.random.Generator) -> nn.Sequential:
    """Build the model with new weights."""
    options = {
        name: getattr(args, option) for option, name in prepare.SIZES.items() if getattr(args, option) is not None
    }
    options |= args.model_options
    if args.run is None:
        return prepare.build({"name": args.model or "lenet5", "options": options}, rng)
    if args.model or options:
        raise UsageError(f"{args.run} has a model already: leave out --model and the options of a model.")
    return prepare.build(load(args.run).architecture, rng)


def optimizer(name: str, model: nn.Sequential) -> Optimizer:
    """Make a named optimizer with the defaults of ``fastcnn train``."""
    _, lr, _ = OPTIMIZERS[name]
    return make_optimizer({"optimizer": name, "lr": lr, "optimizer_options": {}}, model.parameters())
