"""Checkpoints: a resumed run is bit-identical to one that was never stopped.

A checkpoint is a safetensors file. It holds the arrays of the run's state and, in its metadata under
"fastcnn_checkpoint", JSON with the format's version, the model's architecture, settings, versions and the state
without its arrays. Reading it executes no code, and a checksum over all of it detects damage.
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

FORMAT = 1  # `load_checkpoint` accepts no other
_HEADER, _SUM = "fastcnn_checkpoint", "sha256"  # keys in the file's metadata
_ENTRIES = {"format", "architecture", "settings", "versions", "state"}  # keys of the header
_MISFITS = ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError  # of malformed JSON
_NAME = re.compile(r"checkpoint-\d{8,}\.safetensors")


class CheckpointError(FileError):
    """A file is not a complete checkpoint, or does not fit the model, optimizer, schedule, loader or callbacks."""


class SavedRun:
    """A loaded checkpoint; see `load_checkpoint`.

    Attributes
    ----------
    path : Path
    architecture : dict or None
        Description of the model that was passed to `save_checkpoint`: ``{"name": "lenet5", "options": {...}}``.
    settings : dict or None
        Settings that were passed to `save_checkpoint`.
    versions : dict
        Versions of fastcnn, Python and NumPy, with backend and threads; see `environment`.
    weights : dict of str to ndarray
        The model's parameters and buffers, for ``model.load_state_dict``.
    history : History
    steps : int
        Number of batches trained.
    """

    def __init__(self, path: Path, header: dict, run: dict):
        self.path = path
        self.architecture = header["architecture"]
        self.settings = header["settings"]
        self.versions = header["versions"]
        self.weights = run["model"]
        self.history = state.history_of(run)
        self.steps = len(self.history.step_losses)
        self._run = run

    def restore(self, trainer, loader) -> None:
        """Restore the run: the next ``trainer.fit(loader, ...)`` continues with the next batch.

        With the same backend, weights, losses and history (except the seconds) are then bit-identical to those of a
        run that was not stopped, on any number of threads.

        Parameters
        ----------
        trainer : Trainer
            Built like the trainer of the saved run: a model of the same layers in the same modes, and the same classes
            of optimizer, schedule and callbacks.
        loader : DataLoader
            Built like the loader of the saved run, with the same images.

        Raises
        ------
        CheckpointError
            If something does not fit. The message names it, and nothing is changed.
        """
        try:
            state.apply(self._run, trainer, loader)
        except _MISFITS as error:
            raise CheckpointError(f"{self.path} does not fit this run: {error}") from error

    def __repr__(self) -> str:
        return f"SavedRun({str(self.path)!r}, steps={self.steps}, epochs={len(self.history.epochs)})"


def save_checkpoint(path, trainer, loader, architecture: dict | None = None, settings: dict | None = None) -> None:
    """Write the complete state of a run between two batches: from a callback, or after `Trainer.fit`.

    The state has weights and buffers, optimizer, schedule, callbacks with a state, the order of the data, all random
    generators, the history and the sums of the current epoch. The write is atomic; see `save_weights`.

    Parameters
    ----------
    path : path
        An existing file is replaced.
    trainer : Trainer
    loader : DataLoader
        The training data: any object with ``state_dict`` and ``load_state_dict``.
    architecture : dict, optional
        Description of the model, as JSON: ``{"name": "lenet5", "options": {...}}``.
    settings : dict, optional
        Any other information about the run, as JSON.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file is unchanged then.
    TypeError, ValueError
        If `architecture`, `settings` or the state of a callback holds a value that cannot be saved, such as NaN in
        `settings`.

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
        A file that `save_checkpoint` wrote.

    Returns
    -------
    SavedRun

    Raises
    ------
    OSError
        If the file cannot be read.
    CheckpointError
        If it is not a complete checkpoint, or has another format.
    """
    path = Path(path)
    try:
        arrays, metadata = _files.read_arrays(path)
    except FileError as error:
        raise CheckpointError(str(error)) from None
    if _HEADER not in metadata:
        raise CheckpointError(f"{path} holds arrays but is not a checkpoint; to read weights, use load_weights.")
    try:
        header = json.loads(metadata[_HEADER])
        if header["format"] != FORMAT:
            raise CheckpointError(f"{path} has checkpoint format {header['format']!r} but must have {FORMAT}.")
        if unknown := header.keys() - _ENTRIES:
            raise CheckpointError(f"{path} has entries that this version does not know: {', '.join(sorted(unknown))}.")
        if metadata.get(_SUM) != _sum(metadata[_HEADER], arrays):
            raise CheckpointError(f"{path} is damaged: its content does not match the SHA-256 sum that it holds.")
        return SavedRun(path, header, state_tree.join(header["state"], arrays))
    except CheckpointError:
        raise
    except _MISFITS as error:
        raise CheckpointError(f"{path} is not a checkpoint: {type(error).__name__}: {error}") from None


def latest_checkpoint(folder: str | os.PathLike) -> SavedRun | None:
    """Load the newest readable checkpoint from the folder of a `Checkpoint`, with a warning for each damaged one.

    Parameters
    ----------
    folder : path

    Returns
    -------
    SavedRun or None
        None if the folder has no checkpoint or does not exist.

    Raises
    ------
    OSError
        If a file cannot be read.
    CheckpointError
        If there are checkpoints, but all are damaged.
    """
    damaged = []
    for path in reversed(checkpoints(folder)):
        try:
            return load_checkpoint(path)
        except FileNotFoundError:
            if path in checkpoints(folder):  # a link to a file that is not there
                raise
            return latest_checkpoint(folder)  # a run that is training has removed it and written newer ones
        except CheckpointError as error:
            damaged.append(error)
            warnings.warn(f"{error} The previous checkpoint is tried.", stacklevel=2)
    if damaged:
        raise CheckpointError(f"None of the {len(damaged)} checkpoints in {folder} can be read: {damaged[0]}")
    return None


def checkpoints(folder: str | os.PathLike) -> list[Path]:
    """Return the files in a folder that are named like checkpoints, oldest first."""
    return sorted((p for p in Path(folder).glob("checkpoint-*") if _NAME.fullmatch(p.name)), key=steps)


def checkpoint_path(folder: str | os.PathLike, steps: int) -> Path:
    """Path of the checkpoint after so many batches."""
    return Path(folder, f"checkpoint-{steps:08d}.safetensors")


def steps(path: Path) -> int:
    """Number of batches trained, from the file name of a checkpoint."""
    return int(path.stem.removeprefix("checkpoint-"))


def _sum(text: str, arrays: dict) -> str:
    """SHA-256 of the header and all arrays."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
