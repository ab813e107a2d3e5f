"""Start training from the weights of another run, and freeze parameters."""

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastcnn import nn
from fastcnn._names import choices_for
from fastcnn.commands import prepare
from fastcnn.commands.classifier import Classifier
from fastcnn.commands.errors import UsageError
from fastcnn.commands.records import BEST
from fastcnn.data import Preprocessing

BODY = "body"  # all but the head, which is the last layer with parameters


class Pretrained(NamedTuple):
    """The best weights of a run, the settings of its model, and its preprocessing."""

    run: str
    weights: dict[str, np.ndarray]
    settings: dict
    preprocessing: Preprocessing

    def completed(self, given: Mapping) -> dict:
        """Complete the settings with the run's model, image size and channels where they are not given.

        Raises
        ------
        UsageError
            If a different model is given.
        """
        known = dict(self.settings)
        if not prepare.is_folder(given.get("data", "")):
            del known["channels"]
        if (name := given.get("model", known["model"])) != known["model"]:
            raise UsageError(f"--model is {name!r}, but the model of --weights {self.run} is {known['model']!r}.")
        return known | dict(given)


def pretrained(run: str) -> Pretrained:
    """Load the weights and settings of a run, or of one of its checkpoints."""
    if Path(run).name == BEST:
        raise UsageError(
            f"--weights is {run}, but must be a run's folder, such as {Path(run).parent}, or a checkpoint."
        )
    classifier = Classifier(run)
    settings = {name: classifier.settings[name] for name in ("model", "model_options")}
    settings |= {"image_size": classifier.preprocess.size, "channels": classifier.image_shape[0]}
    return Pretrained(run, classifier.model.state_dict(), settings, classifier.preprocess)


def take(model: nn.Module, source: Pretrained) -> str:
    """Load the arrays with the same names and shapes into a model.

    Returns
    -------
    str
        A sentence that says how many arrays were loaded, and which remain newly initialized.

    Raises
    ------
    UsageError
        If no array fits.
    """
    own = model.state_dict()
    fitting = {name: array for name, array in own.items() if _fits(source.weights.get(name), array)}
    if not any(array.ndim for array in fitting.values()):  # counters of batches always fit
        raise UsageError(f"--weights is {source.run}, but none of its arrays fits this model by name and shape.")
    model.load_state_dict(own | {name: source.weights[name] for name in fitting})
    new = [name for name in own if name not in fitting]
    stay = f"; newly initialized, as their shapes differ: {', '.join(new)}" if new else ""
    return f"Weights: {len(fitting)} of {len(own)} arrays come from {source.run}{stay}."


def freeze(model: nn.Module, names: Sequence[str]) -> str:
    """Freeze parameters, and the running statistics of batch normalizations whose parameters are all frozen.

    Parameters
    ----------
    model : Module
    names : sequence of str
        Names of parameters and layers, such as ``0.weight`` and ``0``, patterns of names, or ``body`` for all
        parameters but those of the last layer.

    Returns
    -------
    str
        A sentence that says what is frozen and what is trained.

    Raises
    ------
    UsageError
        If a name matches nothing, or no parameter is left to train.
    """
    parameters = dict(model.named_parameters())
    for name in names:
        found = _body(model) if name == BODY else [own for own in parameters if _is_meant(own, name)]
        if not found:
            there = choices_for(name, parameters)
            raise UsageError(f"--freeze: no layer or parameter is called {name!r}; there are {there}.")
        for own in found:
            parameters[own].requires_grad = False
    learning = [name for name, parameter in parameters.items() if parameter.requires_grad]
    if not learning:
        raise UsageError(f"--freeze {' '.join(names)} leaves no parameter to train.")
    for module in model.modules():
        held = [value for value in vars(module).values() if isinstance(value, nn.Parameter)]
        if held and not any(parameter.requires_grad for parameter in held):
            module.eval()  # so that running statistics stay, too; other layers with parameters have no such mode
    frozen = [name for name in parameters if name not in learning]
    which = ", ".join(learning) if len(learning) <= len(frozen) else f"all but {', '.join(frozen)}"
    return f"Frozen: {len(frozen)} of {len(parameters)} parameters; trained: {which}."


def frozen_at_random(model: nn.Module, source: Pretrained | None) -> list[str]:
    """Return a warning if frozen parameters have random initial values that no run has trained."""
    frozen = {name: held.data for name, held in model.named_parameters() if not held.requires_grad}
    known = source.weights if source else {}
    new = [name for name, array in frozen.items() if not _fits(known.get(name), array)]
    if not new:
        return []
    if source is None:
        return ["The frozen parameters keep random initial values; --weights RUN would start from a trained run."]
    return [f"Frozen with random initial values, as {source.run} has none of the same shape: {', '.join(new)}."]


def _fits(there: np.ndarray | None, here: np.ndarray) -> bool:
    """Whether an array exists and has the shape and dtype of another one."""
    return there is not None and (there.shape, there.dtype) == (here.shape, here.dtype)


def _is_meant(parameter: str, name: str) -> bool:
    """Whether a name or pattern matches a parameter or a layer that contains it."""
    parts = parameter.split(".")
    return any(fnmatch.fnmatchcase(".".join(parts[:n]), name) for n in range(1, len(parts) + 1))


def _body(model: nn.Module) -> list[str]:
    """Return the names of the parameters of all layers but the last one that has parameters."""
    names = [name for name, _ in model.named_parameters()]
    head = names[-1].rpartition(".")[0]
    return [name for name in names if name.rpartition(".")[0] != head]
