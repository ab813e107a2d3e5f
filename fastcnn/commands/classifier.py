"""A trained network with its preprocessing and class names, ready to classify pictures."""

import os
from dataclasses import fields
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn import functional
from fastcnn._text import in_full
from fastcnn.commands import prepare, settings
from fastcnn.commands.records import BEST, results
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
"""The parts that fastcnn train describes in a checkpoint, and the known names in each."""

MAKE_ONE = "`fastcnn train --out DIR` makes a run."


class Classifier:
    """A trained model with the preprocessing of its images and the names of its classes; for programs, too.

    Parameters
    ----------
    run : path
        A folder written by ``fastcnn train``, or one of its checkpoints. A folder gives the weights of the best epoch,
        a checkpoint its own weights.

    Attributes
    ----------
    model : Sequential
    classes : tuple of str
    settings : dict
        The settings of the run.
    image_shape : (int, int, int)
        Shape (C, H, W) of the images that the model was trained on.
    digits : bool
        Whether these images were digits, centred as by `fastcnn.data.digit_image`.
    held_out : dict or None
        The pictures that were drawn as test images; see `fastcnn.commands.held_out`.
    preprocess : Preprocessing
        The preprocessing of images before the model.

    Raises
    ------
    OSError
        If `run` does not exist or cannot be read.
    CheckpointError
        If it is not a checkpoint of ``fastcnn train``.
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
        """Compute class probabilities (N, classes) of uint8 images (N, C, H, W), with the backend of the run."""
        with settings.in_use(self.settings):
            return functional.softmax(self.model(self.preprocess(images)))

    def read(self, path: str | os.PathLike, digit: bool | None = None) -> np.ndarray:
        """Read a picture file as a uint8 image (C, H, W) like those that the model was trained on.

        Parameters
        ----------
        path : path
        digit : bool, optional
            Whether the picture shows a photographed or drawn digit, to be cut out by `fastcnn.data.digit_image`. By
            default, true if the model was trained on such digits.
        """
        C, H, W = self.image_shape
        if not (self.digits if digit is None else digit):
            return read_image(path, (H, W), channels=C)
        try:
            return digit_image(read_image(path, channels=1))
        except DataError as error:
            raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def load(run: Path) -> SavedRun:
    """Load a checkpoint of ``fastcnn train``: a file, or the newest one in the folder of a run."""
    if not run.exists():
        raise FileNotFoundError(f"There is no run and no checkpoint {in_full(run)}.")
    if run.is_dir():
        os.scandir(run).close()  # raises PermissionError if the folder cannot be read, instead of finding no checkpoint
    saved = latest_checkpoint(run) if run.is_dir() else load_checkpoint(run)
    if saved is None:
        found = ", ".join(results(run))
        others = f", only {found}, which another program may have written" if found else ""
        raise FileNotFoundError(f"{in_full(run)} holds no checkpoint of fastcnn train{others}. {MAKE_ONE}")
    if not isinstance(saved.settings, dict) or saved.settings.keys() != {"settings", "preprocessing", "data"}:
        raise CheckpointError(
            f"{saved.path} was not written by fastcnn train, but by another program: it lacks the preprocessing and "
            f"the names of the classes. {MAKE_ONE}"
        )
    _check(saved)
    return saved


def _check(saved: SavedRun) -> None:
    """Refuse a run with names or settings that this version does not know; dropping them would silently change it."""
    described: dict[str, dict] = {"architecture": saved.architecture or {}, **(saved.settings or {})}
    whose = f"fastcnn {fastcnn.__version__} does not know; it was written by fastcnn {saved.versions['fastcnn']}"
    for part, known in KNOWN.items():
        if unknown := [repr(name) for name in described[part] if name not in known]:
            raise CheckpointError(f"{saved.path} has {part} {', '.join(unknown)} that {whose}.")
    for name, value in described["settings"].items():
        try:
            value is None or settings.SETTINGS[name].check(value)
        except ValueError as error:
            raise CheckpointError(f"{saved.path}: the setting {name} has a value that {whose}: {error}.") from None
