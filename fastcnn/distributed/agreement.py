"""All ranks stop after the same batch."""

import numpy as np

from fastcnn.distributed.ranks import Ranks
from fastcnn.training.callbacks import Callback


class Agreement(Callback):
    """What stops one rank, a callback or Ctrl-C, stops all after the same batch; before those callbacks that run last.

    There is no way to know but to ask after each batch: two numbers of each rank.

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
        """Begin to note Ctrl-C; a callback may have stopped already."""
        trainer.interrupt.catch()
        self._agree(trainer)

    def on_batch_end(self, trainer) -> None:
        """Ask the others."""
        self._agree(trainer)

    def on_epoch_end(self, trainer) -> None:
        """Ask the others."""
        self._agree(trainer)

    def on_exit(self, trainer) -> None:
        """Let Ctrl-C do what it did."""
        trainer.interrupt.release()

    def _agree(self, trainer) -> None:
        table = self._ranks.allgather_numbers([bool(trainer.stopped), trainer.interrupt.came])
        stopped, interrupted = np.any(table, axis=0)
        if stopped:
            trainer.stopped = next(filter(None, self._ranks.allgather(trainer.stopped)))
        if interrupted:
            trainer.interrupt.came = self.reached = True
