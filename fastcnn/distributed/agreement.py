"""Stopping all ranks after the same batch."""

import numpy as np

from fastcnn.distributed.ranks import Ranks
from fastcnn.training.callbacks import Callback


class Agreement(Callback):
    """Stop all ranks after the same batch if a callback, Ctrl-C or SIGTERM stops one of them.

    It runs before the callbacks that run last. The ranks exchange two numbers each after every batch.

    Attributes
    ----------
    reached : bool
        Whether all ranks are about to raise the same exception.
    """

    runs_last = True

    def __init__(self, ranks: Ranks):
        self._ranks = ranks
        self.reached = False

    def on_fit_start(self, trainer) -> None:
        """Begin to catch Ctrl-C and SIGTERM; a callback may have stopped the run already."""
        trainer.interrupt.catch()
        self._agree(trainer)

    def on_batch_end(self, trainer) -> None:
        """Exchange the stops of all ranks."""
        self._agree(trainer)

    def on_epoch_end(self, trainer) -> None:
        """Exchange the stops of all ranks."""
        self._agree(trainer)

    def on_exit(self, trainer) -> None:
        """Restore the previous handling of signals."""
        trainer.interrupt.release()

    def _agree(self, trainer) -> None:
        table = self._ranks.allgather_numbers([bool(trainer.stopped), trainer.interrupt.came])
        stopped, interrupted = np.any(table, axis=0)
        if stopped:
            trainer.stopped = next(filter(None, self._ranks.allgather(trainer.stopped)))
        if interrupted:
            trainer.interrupt.came = self.reached = True
