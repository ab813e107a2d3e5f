"""A training run on disk, from which it goes on bit for bit as if it had never been stopped.

A checkpoint is a safetensors file: the arrays of the run's state, and in its metadata, under "fastcnn_checkpoint", JSON
with the format's version, the model's architecture, settings, versions and the rest of the state. Nothing in it is
executed, and a sum over all of it tells when it was damaged.
"""

import hashlib
import json
import os
import re
import warnings
from pathlib import Path

import numpy as np

from fastcnn import _files, _strict_json
from fastcnn._errors import FileError
from fastcnn.training import state, state_tree
from fastcnn.training.environment import environment
from fastcnn.training.history import History

FORMAT = 1  # a reader refuses any other
_HEADER, _SUM = "fastcnn_checkpoint", "sha256"  # in the file's metadata
_ENTRIES = {"format", "architecture", "settings", "versions", "state"}  # of the header
_MISFITS = ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError  # of JSON that lies
_NAME = re.compile(r"checkpoint-\d{8,}\.safetensors")


class CheckpointError(FileError):
    """A file is not a whole checkpoint, or not one of this model, optimizer, schedule, loader and callbacks."""


class SavedRun:
    """A checkpoint that was read; see `load_checkpoint`.

    Attributes
    ----------
    path : Path
    architecture : dict or None
        What the model is, as it was given: ``{"name": "lenet5", "options": {...}}``.
    settings : dict or None
        As they were given.
    versions : dict
        Of fastcnn, Python and NumPy, with backend and threads; see `environment`.
    weights : dict of str to ndarray
        The model's parameters and buffers, for ``model.load_state_dict``.
    history : History
    steps : int
        Batches trained.
    """

    def __init__(self, path: Path, header: dict, run: dict):
        self.path = path
        self.architecture = header["architecture"]
        self.settings = header["settings"]
        self.versions = header["versions"]
        self.weights = run["model"]
        self.history = History.from_dict(run["history"])
        self.steps = len(self.history.step_losses)
        self._run = run

    def restore(self, trainer, loader) -> None:
        """Let a run go on from here: the next ``trainer.fit(loader, ...)`` begins with the next batch.

        Weights, losses and history (but for the seconds) are from then on those of a run that was not stopped, where
        the backend is the same, on any number of threads.

        Parameters
        ----------
        trainer : Trainer
            Made as that of the run: a model of the same layers in the same modes, the same kinds of optimizer, schedule
            and callbacks.
        loader : DataLoader
            Made as that of the run, with the same images.

        Raises
        ------
        CheckpointError
            If something does not fit; it names it, and nothing has changed.
        """
        try:
            state.apply(self._run, trainer, loader)
        except _MISFITS as error:
            raise CheckpointError(f"{self.path} does not fit this run: {error}") from error

    def __repr__(self) -> str:
        return f"SavedRun({str(self.path)!r}, steps={self.steps}, epochs={len(self.history.epochs)})"


def save_checkpoint(path, trainer, loader, architecture: dict | None = None, settings: dict | None = None) -> None:
    """Write the whole state of a run, between two batches: from a callback, or when `Trainer.fit` is done.

    Weights and buffers, optimizer, schedule, callbacks with a state, the order of the data, all random generators, the
    history and the sums of the running epoch. The file is whole or not there; see `save_weights`.

    Parameters
    ----------
    path : path
        A file that is there is replaced.
    trainer : Trainer
    loader : DataLoader
        What it trains on; anything with ``state_dict`` and ``load_state_dict``.
    architecture : dict, optional
        What the model is: ``{"name": "lenet5", "options": {...}}``.
    settings : dict, optional
        Whatever else is to be known of the run. Both are JSON.

    Raises
    ------
    OSError
        If the file cannot be written; what was there before is as it was.
    TypeError, ValueError
        If `architecture`, `settings` or the state of a callback holds what cannot be saved, as NaN in settings.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from fastcnn import data, nn, optim, training
    >>> def make():
    ...     model = nn.Linear(2, 2)
    ...     trainer = training.Trainer(model, optim.Adam(model.parameters()), nn.CrossEntropyLoss())
    ...     x = np.eye(2, dtype=np.float32)
    ...     return trainer, data.DataLoader(x, np.arange(2), 1, shuffle=True, rng=np.random.default_rng(0))
    >>> trainer, loader = make()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "run.safetensors")
    ...     training.save_checkpoint(path, trainer, loader, {"name": "linear"})
    ...     saved = training.load_checkpoint(path)
    >>> saved.architecture, saved.steps
    ({'name': 'linear'}, 0)
    >>> trainer, loader = make()
    >>> saved.restore(trainer, loader)
    """
    _strict_json.check(architecture=architecture, settings=settings)
    arrays: dict[str, np.ndarray] = {}
    run = state_tree.split(state.capture(trainer, loader), arrays, "")
    header = {
        "format": FORMAT,
        "architecture": architecture,
        "settings": settings,
        "versions": environment(),
        "state": run,
    }
    text = json.dumps(header, allow_nan=False)
    _files.write_arrays(path, arrays, {_HEADER: text, _SUM: _sum(text, arrays)})


def load_checkpoint(path: str | os.PathLike) -> SavedRun:
    """Read a checkpoint.

    Parameters
    ----------
    path : path
        As from `save_checkpoint`.

    Returns
    -------
    SavedRun

    Raises
    ------
    OSError
        If the file cannot be read.
    CheckpointError
        If it is not a whole checkpoint, or one of another format.
    """
    path = Path(path)
    try:
        arrays, metadata = _files.read_arrays(path)
    except FileError as error:
        raise CheckpointError(str(error)) from None
    if _HEADER not in metadata:
        raise CheckpointError(f"{path} holds arrays but is not a checkpoint; load_weights reads weights alone.")
    try:
        header = json.loads(metadata[_HEADER])
        if header["format"] != FORMAT:
            raise CheckpointError(f"{path} is a checkpoint of format {header['format']!r} but this reads {FORMAT}.")
        if unknown := header.keys() - _ENTRIES:
            raise CheckpointError(f"{path} has what this version does not know: {', '.join(sorted(unknown))}.")
        if metadata.get(_SUM) != _sum(metadata[_HEADER], arrays):
            raise CheckpointError(f"{path} is damaged: its content does not have the SHA-256 sum that stands in it.")
        return SavedRun(path, header, state_tree.join(header["state"], arrays))
    except CheckpointError:
        raise
    except _MISFITS as error:
        raise CheckpointError(f"{path} is not a checkpoint: {type(error).__name__}: {error}") from None


def latest_checkpoint(folder: str | os.PathLike) -> SavedRun | None:
    """The newest checkpoint in a folder of a `Checkpoint` that can be read, with a warning for each that cannot.

    Parameters
    ----------
    folder : path

    Returns
    -------
    SavedRun or None
        None if there is no checkpoint, or no folder.

    Raises
    ------
    OSError
        If a file cannot be read.
    CheckpointError
        If there are checkpoints but none that is whole.
    """
    damaged = []
    for path in reversed(checkpoints(folder)):
        try:
            return load_checkpoint(path)
        except CheckpointError as error:
            damaged.append(error)
            warnings.warn(f"{error} The one before is taken.", stacklevel=2)
    if damaged:
        raise CheckpointError(f"None of the {len(damaged)} checkpoints in {folder} can be read: {damaged[0]}")
    return None


def checkpoints(folder: str | os.PathLike) -> list[Path]:
    """Files of a folder that have the name of a checkpoint, the oldest first."""
    return sorted((p for p in Path(folder).glob("checkpoint-*") if _NAME.fullmatch(p.name)), key=steps)


def checkpoint_path(folder: str | os.PathLike, steps: int) -> Path:
    """Where the checkpoint after so many batches is."""
    return Path(folder, f"checkpoint-{steps:08d}.safetensors")


def steps(path: Path) -> int:
    """Batches trained, by the name of a checkpoint."""
    return int(path.stem.removeprefix("checkpoint-"))


def _sum(text: str, arrays: dict) -> str:
    """SHA-256 of the header and all arrays."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
