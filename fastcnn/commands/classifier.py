"""A trained network with all that belongs to it, ready for pictures."""

import json
import os
from dataclasses import fields
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn import functional
from fastcnn.commands import prepare, settings
from fastcnn.commands.records import BEST
from fastcnn.data import DataError, Preprocessing, digit_image, read_image
from fastcnn.nn import Sequential
from fastcnn.training import CheckpointError, SavedRun, latest_checkpoint, load_checkpoint, load_weights

DATA = ("source", "classes", "image_shape", "digits", "fingerprint", "held_out")
KNOWN = {
    "architecture": ("name", "options"),
    "settings": tuple(settings.SETTINGS),
    "preprocessing": tuple(field.name for field in fields(Preprocessing)),
    "data": DATA,
}
"""The parts of a run that fastcnn train describes in its checkpoints, and the names in each."""


class Classifier:
    """A model, what is done to images before it sees them, and the names of its classes.

    Parameters
    ----------
    run : path
        A folder of ``fastcnn train``, for the weights of its best epoch, or one of its checkpoints, for those in there.

    Attributes
    ----------
    model : Sequential
    classes : tuple of str
    settings : dict
        Of the run.
    image_shape : (int, int, int)
        Of the images it was trained on, (C, H, W).
    digits : bool
        Whether these were digits that are centred as `fastcnn.data.digit_image` does.
    held_out : dict or None
        The pictures that were drawn as test images, see `fastcnn.commands.held_out`.

    Raises
    ------
    OSError
        If there is nothing, or it cannot be read.
    CheckpointError
        If it is no checkpoint of ``fastcnn train``.
    """

    def __init__(self, run: str | os.PathLike):
        run = Path(run)
        saved = load(run)
        described = saved.settings
        self.settings: dict = settings.complete(described["settings"])
        self.classes = tuple(described["data"]["classes"])
        self.image_shape = tuple(described["data"]["image_shape"])
        self.digits: bool = described["data"]["digits"]
        self.held_out: dict[str, str] | None = described["data"].get("held_out")
        self.preprocess = Preprocessing(**described["preprocessing"])
        self.model: Sequential = prepare.build(saved.architecture)
        if run.is_dir() and (run / BEST).exists():
            try:
                load_weights(self.model, run / BEST)
            except ValueError as error:
                raise CheckpointError(f"{error} The weights of the last epoch are in {saved.path}.") from None
        else:
            self.model.load_state_dict(saved.weights)
        self.model.eval()

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Of each class, (N, classes), by the run's backend; `images` are uint8 (N, C, H, W), as in the run."""
        with settings.in_use(self.settings):
            return functional.softmax(self.model(self.preprocess(images)))

    def read(self, path: str | os.PathLike, digit: bool | None = None) -> np.ndarray:
        """A picture file as an image like those the model was trained on, (C, H, W) of uint8.

        Parameters
        ----------
        path : path
        digit : bool, optional
            Whether it is a photographed or drawn digit, for `fastcnn.data.digit_image`; by default if the model was
            trained on such.
        """
        C, H, W = self.image_shape
        if not (self.digits if digit is None else digit):
            return read_image(path, (H, W), channels=C)
        try:
            return digit_image(read_image(path, channels=1))
        except DataError as error:
            raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def load(run: Path) -> SavedRun:
    """The newest checkpoint of a run's folder, or a checkpoint itself, that ``fastcnn train`` wrote."""
    if not run.exists():
        raise FileNotFoundError(f"There is no run and no checkpoint {run}.")
    if run.is_dir():
        os.scandir(run).close()  # a folder that may not be read is not one without checkpoints
    saved = latest_checkpoint(run) if run.is_dir() else load_checkpoint(run)
    if saved is None:
        raise FileNotFoundError(f"There is no checkpoint in {run}.")
    if not isinstance(saved.settings, dict) or saved.settings.keys() != {"settings", "preprocessing", "data"}:
        raise CheckpointError(f"{saved.path} was not written by fastcnn train: {json.dumps(saved.settings):.60}.")
    _check(saved)
    return saved


def _check(saved: SavedRun) -> None:
    """Refuse a run of another version, of which this one knows a part only: it would be another run without a word."""
    described: dict[str, dict] = {"architecture": saved.architecture or {}, **(saved.settings or {})}
    whose = f"this fastcnn, {fastcnn.__version__}, does not know; it was written by fastcnn {saved.versions['fastcnn']}"
    for part, known in KNOWN.items():
        if unknown := [repr(name) for name in described[part] if name not in known]:
            raise CheckpointError(f"{saved.path} has {part} {', '.join(unknown)} that {whose}.")
    for name, value in described["settings"].items():
        try:
            value is None or settings.SETTINGS[name].check(value)
        except ValueError as error:
            raise CheckpointError(f"{saved.path}: the setting {name} is one that {whose}: {error}.") from None
