"""Checkpoints during a run, and when it is interrupted."""

import math
import os
import tempfile
import time
from contextlib import suppress
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
    """Write a checkpoint after each epoch, and optionally more often; see `save_checkpoint`.

    After Ctrl-C, or SIGTERM, the current batch is completed, a checkpoint is written and KeyboardInterrupt is raised. A
    second signal stops at once. A program's own handling of SIGTERM stays in place.

    Parameters
    ----------
    folder : path
        Created if it does not exist. Files are named after the number of batches trained, such as
        ``checkpoint-00000469.safetensors``.
    every_steps : int, optional
        Also write a checkpoint every so many batches.
    every_seconds : float, optional
        Also write a checkpoint after a batch if the last one is at least so many seconds old.
    keep : int, default 2
        Number of newest checkpoints to keep. With more than one, an older one is left if the newest is damaged.
    architecture, settings : dict, optional
        See `save_checkpoint`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or `architecture` or `settings` is not JSON, which has no NaN and no infinity.
    FileExistsError
        From `Trainer.fit`, if the folder has checkpoints of a run that has trained more batches than this one.
    OSError
        From `Trainer.fit`, if the folder cannot be written to.

    Examples
    --------
    A run that resumes from its latest checkpoint, if there is one:

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

    runs_last = True  # so that a checkpoint includes the effects of the other callbacks
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
        _strict_json.check(architecture=architecture, settings=settings)  # raise now, not after hours of training
        self.architecture, self.settings = architecture, settings

    def on_fit_start(self, trainer) -> None:
        """Create the folder, check that it is writable, and begin to catch Ctrl-C and SIGTERM."""
        for method in ("state_dict", "load_state_dict"):
            if not hasattr(trainer.loader, method):
                raise TypeError(
                    f"`train` must have state_dict and load_state_dict for a Checkpoint, as a DataLoader has; "
                    f"{type(trainer.loader).__name__} has no {method}."
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder):
            pass  # raises now if the folder is not writable
        _files.remove_parts(self.folder)
        self._refuse_another_run(len(trainer.history.step_losses))
        self._saved = time.monotonic()
        trainer.interrupt.catch()

    def on_batch_end(self, trainer) -> None:
        """Save if a checkpoint is due, after an interrupt, or after a stop."""
        if (
            trainer.interrupt.came
            or trainer.stopped
            or (self.every_steps and len(trainer.history.step_losses) % self.every_steps == 0)
            or (self.every_seconds is not None and time.monotonic() - self._saved >= self.every_seconds)
        ):
            self._save(trainer)

    def on_epoch_end(self, trainer) -> None:
        """Save a checkpoint."""
        self._save(trainer)

    def on_exit(self, trainer) -> None:
        """Restore the previous handling of signals."""
        trainer.interrupt.release()

    def _save(self, trainer) -> None:
        path = checkpoint_path(self.folder, len(trainer.history.step_losses))
        save_checkpoint(path, trainer, trainer.loader, self.architecture, self.settings)
        self._saved = time.monotonic()
        older = [other for other in checkpoints(self.folder) if steps(other) <= steps(path)]
        for other in older[: -self.keep]:
            with suppress(PermissionError):  # Windows removes no file that is being read; the next save tries again
                other.unlink(missing_ok=True)

    def _refuse_another_run(self, done: int) -> None:
        for path in checkpoints(self.folder):
            if steps(path) > done:
                try:
                    load_checkpoint(path)
                except CheckpointError:
                    continue  # damaged: this run resumed from an earlier one
                raise FileExistsError(
                    f"{path} is from a run that has trained more batches than this one ({done}): restore the latest "
                    f"checkpoint, or choose another folder."
                )
