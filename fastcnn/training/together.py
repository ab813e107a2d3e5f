"""What a trainer does together with those of the other ranks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastcnn.data import DataLoader
from fastcnn.distributed.batch_norm import apart, is_synchronized
from fastcnn.distributed.ending import abort
from fastcnn.distributed.gradients import sum_gradients
from fastcnn.distributed.processors import share_processors
from fastcnn.distributed.ranks import Ranks
from fastcnn.distributed.streams import jumped
from fastcnn.nn import Module
from fastcnn.training import state
from fastcnn.training.batch_result import BatchResult
from fastcnn.training.callbacks import Callback
from fastcnn.training.diagnosis import explain
from fastcnn.training.evaluation import Evaluation, check_images_and_labels, judge, logits_of


class Together:
    """The ranks of a communicator that train a model; every rank calls each method.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm

    Raises
    ------
    ImportError
        If there is no mpi4py, or no MPI library for it.
    TypeError
        If `comm` is not a communicator.
    """

    def __init__(self, comm):
        self.ranks = Ranks(comm)
        self.rank, self.size = self.ranks.rank, self.ranks.size
        self._agreement = Agreement(self.ranks)
        self.callbacks = SumGradients(self.ranks), self._agreement
        share_processors(self.ranks)

    @contextmanager
    def fitting(self, trainer) -> Iterator[None]:
        """All ranks go on from the state of rank 0, and an exception on one that is not one on all ends all."""
        self._agreement.reached = False
        try:
            self._check(trainer)
            start = self.ranks.broadcast(state.capture(trainer, trainer.loader) if self.rank == 0 else None)
            if self.rank:
                start["generators"] = jumped(start["generators"], self.rank)
                state.apply(start, trainer, trainer.loader)
            yield
        except BaseException as error:
            if not self._agreement.reached:
                abort(self.ranks.comm, error)
            raise

    def broadcast(self, thing):
        """See `Ranks.broadcast`."""
        return self.ranks.broadcast(thing)

    def batches(self, loader: Any, model: Module) -> "Batches":
        """The part of each batch that is for this rank; `fitting` has seen that the loader is a `DataLoader`."""
        return Batches(loader, model, self.ranks)

    @np.errstate(over="ignore", invalid="ignore")
    def whole(self, part: BatchResult) -> BatchResult:
        """The whole batch, from this rank's part."""
        table = self.ranks.allgather_numbers([part.loss, part.weight, part.images, part.counted, part.right])
        losses, weights, images, counted, right = table.T
        weight, present = float(np.sum(weights)), weights > 0
        loss = float(np.sum(losses[present] * weights[present]) / weight) if weight else 0.0
        batch = BatchResult(loss, weight, int(images.sum()), int(counted.sum()), int(right.sum()))
        if not batch.counts:
            self._agreement.reached = True  # all ranks are about to say so
        return batch

    def explain(self, model: Module, images: np.ndarray, loss: float) -> str:
        """What the first rank says whose own part has a loss that is not finite."""
        with apart(model):
            said = self.ranks.allgather(None if np.isfinite(loss) else f"Rank {self.rank}: {explain(model, images)}")
        self._agreement.reached = True
        return next(filter(None, said), "The losses of all ranks' parts are finite; their mean is not.")

    def evaluate(self, model: Module, images: np.ndarray, labels: np.ndarray, loss: Callable) -> Evaluation:
        """Every rank evaluates a part of the images, by the buffers of rank 0, and has all that all found."""
        for _, buffer in model.named_buffers():
            buffer.data[...] = self.ranks.broadcast(buffer.data)
        check_images_and_labels(images, labels)
        own = self.ranks.slice(len(images))
        parts = self.ranks.allgather(logits_of(model, images[own]) if own.stop > own.start else None)
        return judge(np.concatenate([part for part in parts if part is not None]), labels, loss)

    def _check(self, trainer) -> None:
        """What can be trained on."""
        loader, least = trainer.loader, self.ranks.size
        if not isinstance(loader, DataLoader):
            raise TypeError(f"`train` must be a DataLoader where ranks share its batches, not {type(loader).__name__}.")
        smallest = min(loader.batch_size, len(loader.images))
        if not loader.drop_last:
            smallest = len(loader.images) % loader.batch_size or smallest
        if smallest < least and is_synchronized(trainer.model):
            raise ValueError(
                f"A batch of {smallest} is too small for {least} ranks: batch normalization over all ranks needs an "
                "image on each; `drop_last=True` leaves a last batch out that is not full."
            )


class Batches:
    """A rank's part of each batch of a loader that is on every rank; in each epoch all begin where rank 0's is.

    What layers draw, as `Dropout`, comes from each rank's own stream; see `fastcnn.distributed.streams`.
    """

    def __init__(self, loader: DataLoader, model: Module, ranks: Ranks):
        self._loader, self._model, self._ranks = loader, model, ranks

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self._loader.load_state_dict(self._ranks.broadcast(self._loader.state_dict()))
        batches = self._loader.parts(self._ranks.rank, self._ranks.size)
        first = next(batches, None)  # draws the order; a model's generator may be the loader's, too
        states = self._ranks.broadcast(state.generator_states(self._model))
        state.load_generators(self._model, jumped(states, self._ranks.rank))
        if first is not None:
            yield first
            yield from batches


class SumGradients(Callback):
    """Before all other callbacks see the gradients they are those of the whole batch."""

    def __init__(self, ranks: Ranks):
        self._ranks = ranks

    def on_backward_end(self, trainer) -> None:
        """Add them up."""
        sum_gradients(self._ranks, trainer.model.parameters())


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
        stopped, interrupted = np.any(
            self._ranks.allgather_numbers([bool(trainer.stopped), trainer.interrupt.came]), axis=0
        )
        if stopped:
            trainer.stopped = next(filter(None, self._ranks.allgather(trainer.stopped)))
        if interrupted:
            trainer.interrupt.came = self.reached = True
