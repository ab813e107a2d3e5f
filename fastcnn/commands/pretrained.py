"""Training that starts from what another run has learned, of which a part may stay as it is."""

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastcnn import nn
from fastcnn.commands import prepare
from fastcnn.commands.classifier import Classifier
from fastcnn.commands.errors import UsageError
from fastcnn.commands.records import BEST
from fastcnn.data import Preprocessing

BODY = "body"  # all but the head, which is the last layer with parameters


class Pretrained(NamedTuple):
    """A run's best weights, the settings that its model was made by, and what was done to its images."""

    run: str
    weights: dict[str, np.ndarray]
    settings: dict
    preprocessing: Preprocessing

    def completed(self, given: Mapping) -> dict:
        """The settings, with the run's model and form of images where nothing else is given.

        Raises
        ------
        UsageError
            If another model is given.
        """
        known = dict(self.settings)
        if not prepare.is_folder(given.get("data", "")):
            del known["channels"]
        if (name := given.get("model", known["model"])) != known["model"]:
            raise UsageError(f"--model is {name!r}, but that of --weights {self.run} is {known['model']!r}.")
        return known | dict(given)


def pretrained(run: str) -> Pretrained:
    """What a run, or one of its checkpoints, has learned."""
    if Path(run).name == BEST:
        raise UsageError(f"--weights is {run}, but must be a run's folder, as {Path(run).parent}, or a checkpoint.")
    classifier = Classifier(run)
    settings = {name: classifier.settings[name] for name in ("model", "model_options")}
    settings |= {"image_size": classifier.preprocess.size, "channels": classifier.image_shape[0]}
    return Pretrained(run, classifier.model.state_dict(), settings, classifier.preprocess)


def take(model: nn.Module, source: Pretrained) -> str:
    """Give a model the arrays of the same names and shapes; say how many, and which stay new.

    Raises
    ------
    UsageError
        If none fits.
    """
    own = model.state_dict()
    fitting = {name: array for name, array in own.items() if _fits(source.weights.get(name), array)}
    if not any(array.ndim for array in fitting.values()):  # the numbers of batches that were counted always do
        raise UsageError(f"--weights is {source.run}, but none of its arrays has a name and a shape of this model's.")
    model.load_state_dict(own | {name: source.weights[name] for name in fitting})
    new = [name for name in own if name not in fitting]
    stay = f"; new stay {', '.join(new)}, which have other shapes there" if new else ""
    return f"Weights: {len(fitting)} of {len(own)} arrays are those of {source.run}{stay}."


def freeze(model: nn.Module, names: Sequence[str]) -> str:
    """Let parameters stay as they are, and the statistics of a batch normalization with them, and say so.

    Parameters
    ----------
    model : Module
    names : sequence of str
        Names of parameters and of layers, as ``0.weight`` and ``0``, or patterns of them; or ``body``.

    Raises
    ------
    UsageError
        If there is nothing of a name, or nothing is left to learn.
    """
    parameters = dict(model.named_parameters())
    for name in names:
        found = _body(model) if name == BODY else [own for own in parameters if _is_meant(own, name)]
        if not found:
            raise UsageError(f"--freeze: no layer or parameter is called {name!r}; there are {', '.join(parameters)}.")
        for own in found:
            parameters[own].requires_grad = False
    learning = [name for name, parameter in parameters.items() if parameter.requires_grad]
    if not learning:
        raise UsageError(f"--freeze {' '.join(names)} leaves nothing to learn.")
    for module in model.modules():
        held = [value for value in vars(module).values() if isinstance(value, nn.Parameter)]
        if held and not any(parameter.requires_grad for parameter in held):
            module.eval()  # with its running statistics, which do not change: for others it makes no difference
    frozen = [name for name in parameters if name not in learning]
    which = f"{', '.join(learning)} learn" if len(learning) <= len(frozen) else f"all but {', '.join(frozen)} learn"
    return f"Frozen: {len(frozen)} of {len(parameters)} parameters; {which}."


def frozen_at_random(model: nn.Module, source: Pretrained | None) -> list[str]:
    """Say which frozen parameters no run has trained: what they were drawn as, they stay."""
    frozen = {name: held.data for name, held in model.named_parameters() if not held.requires_grad}
    known = source.weights if source else {}
    new = [name for name, array in frozen.items() if not _fits(known.get(name), array)]
    if not new:
        return []
    if source is None:
        return [
            "What is frozen stays as it was drawn at random: --weights RUN would start from what a run has learned."
        ]
    return [f"Frozen as drawn at random: {', '.join(new)}, as {source.run} has nothing of the shape."]


def _fits(there: np.ndarray | None, here: np.ndarray) -> bool:
    return there is not None and (there.shape, there.dtype) == (here.shape, here.dtype)


def _is_meant(parameter: str, name: str) -> bool:
    """Whether a name or a pattern is that of a parameter, or of a layer that it is in."""
    parts = parameter.split(".")
    return any(fnmatch.fnmatchcase(".".join(parts[:n]), name) for n in range(1, len(parts) + 1))


def _body(model: nn.Module) -> list[str]:
    """The parameters of all layers but the last one that has any."""
    names = [name for name, _ in model.named_parameters()]
    head = names[-1].rpartition(".")[0]
    return [name for name in names if name.rpartition(".")[0] != head]
