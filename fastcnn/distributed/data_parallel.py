"""Every rank trains on its part of each batch, and all take the same step."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastcnn.data import DataLoader
from fastcnn.distributed.agreement import Agreement
from fastcnn.distributed.batch_norm import apart, is_synchronized
from fastcnn.distributed.batches import Batches
from fastcnn.distributed.ending import abort
from fastcnn.distributed.gradients import sum_gradients
from fastcnn.distributed.processors import share_processors
from fastcnn.distributed.ranks import Ranks
from fastcnn.distributed.streams import jumped
from fastcnn.nn import Module
from fastcnn.training import state
from fastcnn.training.batch_result import BatchResult
from fastcnn.training.batches import as_pair, batches_of, rows
from fastcnn.training.callbacks import Callback
from fastcnn.training.diagnosis import explain
from fastcnn.training.evaluation import check_pair, found, judged, loss_for
from fastcnn.training.modes import for_evaluation, held
from fastcnn.training.strategy import Strategy
from fastcnn.training.tasks import Task


class DataParallel(Strategy):
    """The ranks of a communicator train as one process does.

    ``Trainer(..., distributed=comm)`` makes one. Every rank has such a trainer, the whole data and the same
    `DataLoader`.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Such as ``MPI.COMM_WORLD`` under ``mpiexec -n 4 python ...``.

    Raises
    ------
    ImportError
        If there is no mpi4py, or no MPI library for it.
    TypeError
        If `comm` is not a communicator.

    Notes
    -----
    Each rank takes its part of every batch; gradients are added up over the ranks, in their order, so that all take the
    same step. n ranks with batches of B images learn what one does with batches of B, to rounding, and the same, bit
    for bit, whenever so many ranks do it. Where layers draw (`Dropout`), each rank draws from its own stream; so does
    augmentation. Batch normalization sees a rank's part only, and rank 0's running statistics count, unless the model
    went through `fastcnn.distributed.convert_sync_batch_norm`.

    When `Trainer.fit` begins, rank 0's weights, optimizer, schedule, callbacks, place in the data and number of epochs
    are given to all: it is enough that it goes on from a checkpoint, and that may be of another number of ranks. Rank 0
    alone prints and writes. All evaluate, each a part of the images. Unless the number of threads was set, the ranks
    of a machine share its processors. An exception on one rank prints its traceback and ends all of them; those that
    `fit` raises after a loss that is not finite and after Ctrl-C are raised on all.
    """

    def __init__(self, comm):
        self.ranks = Ranks(comm)
        self.rank = self.ranks.rank
        self._agreement = Agreement(self.ranks)
        self._output: np.ndarray | None = None  # of this rank's part of the batch that `forward` saw last
        self._part = self._batch = BatchResult()
        share_processors(self.ranks)

    def callbacks(self, callbacks: list[Callback]) -> list[Callback]:
        """Those for this rank, and before them what lets all ranks stop after the same batch."""
        own = [callback for callback in callbacks if self.is_main_process or not callback.first_rank_only]
        return [self._agreement, *own]

    @contextmanager
    def fitting(self, trainer) -> Iterator[None]:
        """All ranks go on from the state of rank 0, and an exception on one that is not one on all ends all."""
        self._agreement.reached = False
        try:
            self._check(trainer)
            start = self.broadcast(state.capture(trainer, trainer.loader) if self.rank == 0 else None)
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

    def batches(self, loader: Any, model: Module) -> Batches:
        """The part of each batch that is for this rank; `fitting` has seen that the loader is a `DataLoader`."""
        return Batches(loader, model, self.ranks)

    def smallest_batch(self, loader: DataLoader, model: Module) -> int:
        """How many images a batch normalization takes statistics over, at least, on this rank or on all together."""
        return loader.smallest() if is_synchronized(model) else loader.smallest(self.rank, self.ranks.size)

    def evaluated(self, N: int) -> int:
        """How many of N images this rank evaluates."""
        own = self.ranks.slice(N)
        return own.stop - own.start

    def forward(self, model: Module, loss, images, labels: np.ndarray, task: Task) -> BatchResult:
        """Show this rank's part of a batch, which may have no image, to the model; returns what all ranks found."""
        self._output = model(images) if len(labels) else None
        self._part = BatchResult() if self._output is None else task.batch(self._output, labels, loss)
        with np.errstate(over="ignore", invalid="ignore"):
            self._batch = task.together(self.ranks.allgather(self._part))
        if not self._batch.counts:
            self._agreement.reached = True  # all ranks are about to say so
        return self._batch

    def backward(self, model: Module, loss) -> None:
        """Let the parameters have the gradients of the whole batch."""
        if self._output is not None:
            # The gradient of the part's mean is its share of that of the batch's. Where none of the part's images
            # counts it is 0, and goes back all the same: layers may wait for that of all ranks.
            share = self._part.weight / self._batch.weight
            model.backward(loss.backward() * share if share else np.zeros_like(self._output), input_grad=False)
        sum_gradients(self.ranks, model.parameters())

    def explain(self, model: Module, images) -> str:
        """What the first rank says whose own part has a loss that is not finite."""
        with apart(model):
            own = None if np.isfinite(self._part.loss) else f"Rank {self.rank}: {explain(model, images)}"
        said = self.ranks.allgather(own)
        self._agreement.reached = True
        return next(filter(None, said), "The losses of all ranks' parts are finite; their mean is not.")

    def evaluate(self, model: Module, data: Any, loss: Callable, task: Task) -> Any:
        """Every rank evaluates a part of the images, by the buffers of rank 0, and has all that all found."""
        for _, buffer in model.named_buffers():
            buffer.data[...] = self.broadcast(buffer.data)
        loss = loss_for(task, loss)
        with held(for_evaluation(model)):
            in_order: Callable = itertools.chain
            if pair := as_pair(data):
                check_pair(task, *pair)
                own = self.ranks.slice(len(pair[1]))
                batches = batches_of((rows(pair[0], own), pair[1][own]))
            else:  # whole batches, so that what is found in each is what one process finds
                batches, in_order = itertools.islice(batches_of(data), self.rank, None, self.ranks.size), _in_turn
            parts = self.ranks.allgather(list(found(model, batches, loss, task)))
            return judged(task, in_order(*parts), loss)

    def _check(self, trainer) -> None:
        """What can be trained on."""
        loader, least = trainer.loader, self.ranks.size
        if not isinstance(loader, DataLoader):
            raise TypeError(f"`train` must be a DataLoader where ranks share its batches, not {type(loader).__name__}.")
        smallest = min(loader.batch_size, len(loader.dataset))
        if not loader.drop_last:
            smallest = len(loader.dataset) % loader.batch_size or smallest
        if smallest < least and is_synchronized(trainer.model):
            raise ValueError(
                f"A batch of {smallest} is too small for {least} ranks: batch normalization over all ranks needs an "
                "image on each; `drop_last=True` leaves a last batch out that is not full."
            )


def _in_turn(*parts: list) -> Iterator:
    """The first of each list, the second of each, and so on."""
    for turn in itertools.zip_longest(*parts):
        yield from (finding for finding in turn if finding is not None)
