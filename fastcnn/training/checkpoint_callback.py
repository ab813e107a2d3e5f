"""Checkpoints while a run goes on, and on Ctrl-C."""

import math
import os
import tempfile
import time
from pathlib import Path

from fastcnn import _files, _strict_json, _validate
from fastcnn.training.callbacks import Callback
from fastcnn.training.checkpoint import (
    CheckpointError,
    checkpoint_path,
    checkpoints,
    load_checkpoint,
    save_checkpoint,
    steps,
)


class Checkpoint(Callback):
    """Write a checkpoint at the end of each epoch, and more often if asked; see `save_checkpoint`.

    Ctrl-C ends the batch, writes a checkpoint and raises KeyboardInterrupt; a second Ctrl-C leaves at once.

    Parameters
    ----------
    folder : path
        Made if it is not there. The files are named by the batches trained, as ``checkpoint-00000469.safetensors``.
    every_steps : int, optional
        Batches between checkpoints.
    every_seconds : float, optional
        Seconds between checkpoints, at least.
    keep : int, default 2
        So many stay, the newest; with more than one, a damaged one is no great loss.
    architecture, settings : dict, optional
        See `save_checkpoint`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or `architecture` or `settings` is not JSON, which has no NaN and no infinity.
    FileExistsError
        From `Trainer.fit`, if the folder has checkpoints of a run that has come further: this one did not go on from
        there.
    OSError
        From `Trainer.fit`, if the folder cannot be written to.

    Examples
    --------
    A run that goes on from where it was, if it was:

    >>> import tempfile
    >>> import numpy as np
    >>> from fastcnn import data, nn, optim, training
    >>> def run(folder, epochs):
    ...     x, labels = np.eye(2, dtype=np.float32), np.arange(2)
    ...     model = nn.Linear(2, 2)
    ...     loader = data.DataLoader(x, labels, 1, shuffle=True, rng=np.random.default_rng(0))
    ...     trainer = training.Trainer(model, optim.Adam(model.parameters()), nn.CrossEntropyLoss(),
    ...                                callbacks=[training.Checkpoint(folder, every_seconds=60)])
    ...     if saved := training.latest_checkpoint(folder):
    ...         saved.restore(trainer, loader)
    ...     return trainer.fit(loader, (x, labels), epochs - len(trainer.history.epochs))
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
    ...     half = run(folder, epochs=1)
    ...     whole = run(folder, epochs=2)
    epoch 1: ...
    epoch 2: ...
    """

    runs_last = True  # so that it saves what the other callbacks did
    first_rank_only = True

    def __init__(
        self,
        folder: str | os.PathLike,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        keep: int = 2,
        architecture: dict | None = None,
        settings: dict | None = None,
    ):
        self.folder = Path(folder)
        self.every_steps = None if every_steps is None else _validate.count("every_steps", every_steps)
        if every_seconds is not None:
            every_seconds = _validate.number("every_seconds", every_seconds, 0, math.inf)
        self.every_seconds = every_seconds
        self.keep = _validate.count("keep", keep)
        _strict_json.check(architecture=architecture, settings=settings)  # is said now, not after hours
        self.architecture, self.settings = architecture, settings

    def on_fit_start(self, trainer) -> None:
        """Make the folder, see that it can be written to, and begin to wait for Ctrl-C."""
        for method in ("state_dict", "load_state_dict"):
            if not hasattr(trainer.loader, method):
                raise TypeError(
                    f"`train` must have state_dict and load_state_dict, as a DataLoader, for a Checkpoint; "
                    f"{type(trainer.loader).__name__} has not."
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder):
            pass  # what cannot be written is said now
        _files.remove_parts(self.folder)
        self._refuse_another_run(len(trainer.history.step_losses))
        self._saved = time.monotonic()
        trainer.interrupt.catch()

    def on_batch_end(self, trainer) -> None:
        """Save if it is time."""
        if (
            trainer.interrupt.came
            or trainer.stopped
            or (self.every_steps and len(trainer.history.step_losses) % self.every_steps == 0)
            or (self.every_seconds is not None and time.monotonic() - self._saved >= self.every_seconds)
        ):
            self._save(trainer)

    def on_epoch_end(self, trainer) -> None:
        """Save."""
        self._save(trainer)

    def on_exit(self, trainer) -> None:
        """Let Ctrl-C do what it did."""
        trainer.interrupt.release()

    def _save(self, trainer) -> None:
        path = checkpoint_path(self.folder, len(trainer.history.step_losses))
        save_checkpoint(path, trainer, trainer.loader, self.architecture, self.settings)
        self._saved = time.monotonic()
        older = [other for other in checkpoints(self.folder) if steps(other) <= steps(path)]
        for other in older[: -self.keep]:
            other.unlink(missing_ok=True)

    def _refuse_another_run(self, done: int) -> None:
        for path in checkpoints(self.folder):
            if steps(path) > done:
                try:
                    load_checkpoint(path)
                except CheckpointError:
                    continue  # damaged: this run goes on from one before it
                raise FileExistsError(
                    f"{path} is of a run that has come further than this one ({done} batches): restore the latest "
                    f"checkpoint, or choose another folder."
                )
