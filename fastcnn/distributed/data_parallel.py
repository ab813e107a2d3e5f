"""Data-parallel training: every rank trains on its part of each batch, and all take the same step."""

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
    """Train on all ranks of a communicator as one process would.

    ``Trainer(..., distributed=comm)`` creates it. Every rank creates such a trainer, with the whole data and the same
    `DataLoader`.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The ranks, such as ``MPI.COMM_WORLD`` under ``mpiexec -n 4 python ...``.

    Raises
    ------
    ImportError
        If mpi4py or its MPI library is missing.
    TypeError
        If `comm` is not a communicator.

    Notes
    -----
    Each rank takes its part of every batch. Gradients are summed over the ranks, in the order of the ranks, so that all
    take the same step. n ranks with batches of B images match one process with batches of B to rounding; repeated runs
    on n ranks are bit-identical. Random layers (`Dropout`) and augmentation draw from each rank's own stream. Batch
    normalization uses the images of one rank only, and the running statistics are those of rank 0, unless the model was
    converted by `fastcnn.distributed.convert_sync_batch_norm`.

    When `Trainer.fit` begins, all ranks get the weights, optimizer, schedule, callbacks, position in the data and
    number of epochs of rank 0. So only rank 0 needs to restore a checkpoint, which may be from another number of ranks.
    Only rank 0 prints and writes files. Each rank evaluates a part of the images. Unless the number of threads was set,
    the ranks of a machine share its processors. An exception on one rank prints its traceback and ends all ranks. The
    exceptions of `fit` for a loss that is not finite and for an interrupt are raised on all ranks.
    """

    def __init__(self, comm):
        self.ranks = Ranks(comm)
        self.rank = self.ranks.rank
        self._agreement = Agreement(self.ranks)
        self._output: np.ndarray | None = None  # for this rank's part of the last batch in `forward`
        self._part = self._batch = BatchResult()
        share_processors(self.ranks)

    def callbacks(self, callbacks: list[Callback]) -> list[Callback]:
        """Return the callbacks of this rank, after one that stops all ranks after the same batch."""
        own = [callback for callback in callbacks if self.is_main_process or not callback.first_rank_only]
        return [self._agreement, *own]

    @contextmanager
    def fitting(self, trainer) -> Iterator[None]:
        """Start all ranks from the state of rank 0; end all if an exception is not raised on every rank."""
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
        """Return this rank's part of each batch; `fitting` has checked that the loader is a `DataLoader`."""
        return Batches(loader, model, self.ranks)

    def smallest_batch(self, loader: DataLoader, model: Module) -> int:
        """Smallest number of images that a batch normalization trains on, on this rank or on all together."""
        return loader.smallest() if is_synchronized(model) else loader.smallest(self.rank, self.ranks.size)

    def evaluated(self, N: int) -> int:
        """Number of images, out of N, that this rank evaluates."""
        own = self.ranks.slice(N)
        return own.stop - own.start

    def forward(self, model: Module, loss, images, labels: np.ndarray, task: Task) -> BatchResult:
        """Run the model on this rank's part of a batch, which may be empty; return the result of all ranks."""
        self._output = model(images) if len(labels) else None
        self._part = BatchResult() if self._output is None else task.batch(self._output, labels, loss)
        with np.errstate(over="ignore", invalid="ignore"):
            self._batch = task.together(self.ranks.allgather(self._part))
        if not self._batch.counts:
            self._agreement.reached = True  # all ranks are about to raise
        return self._batch

    def backward(self, model: Module, loss) -> None:
        """Compute the parameters' gradients for the whole batch."""
        if self._output is not None:
            # Scale the gradient of the part's mean to its share of the batch's. If no image of the part counts, go
            # backward with zeros: synchronized layers wait for all ranks.
            share = self._part.weight / self._batch.weight
            model.backward(loss.backward() * share if share else np.zeros_like(self._output), input_grad=False)
        sum_gradients(self.ranks, model.parameters())

    def explain(self, model: Module, images) -> str:
        """Return the explanation of the first rank whose own loss is not finite."""
        with apart(model):
            own = None if np.isfinite(self._part.loss) else f"Rank {self.rank}: {explain(model, images)}"
        said = self.ranks.allgather(own)
        self._agreement.reached = True
        return next(filter(None, said), "The losses of all ranks are finite; their mean is not.")

    def evaluate(self, model: Module, data: Any, loss: Callable, task: Task) -> Any:
        """Evaluate a part of the images on each rank, with the buffers of rank 0, and share the findings."""
        for _, buffer in model.named_buffers():
            buffer.data[...] = self.broadcast(buffer.data)
        loss = loss_for(task, loss)
        with held(for_evaluation(model)):
            in_order: Callable = itertools.chain
            if pair := as_pair(data):
                check_pair(task, *pair)
                own = self.ranks.slice(len(pair[1]))
                batches = batches_of((rows(pair[0], own), pair[1][own]))
            else:  # whole batches, so that the findings are those of one process
                batches, in_order = itertools.islice(batches_of(data), self.rank, None, self.ranks.size), _in_turn
            parts = self.ranks.allgather(list(found(model, batches, loss, task)))
            return judged(task, in_order(*parts), loss)

    def _check(self, trainer) -> None:
        """Raise if the ranks cannot share the training data."""
        loader, least = trainer.loader, self.ranks.size
        if not isinstance(loader, DataLoader):
            raise TypeError(f"`train` must be a DataLoader for several ranks to share, not {type(loader).__name__}.")
        smallest = min(loader.batch_size, len(loader.dataset))
        if not loader.drop_last:
            smallest = len(loader.dataset) % loader.batch_size or smallest
        if smallest < least and is_synchronized(trainer.model):
            raise ValueError(
                f"A batch of {smallest} is too small for {least} ranks: batch normalization over all ranks needs an "
                "image on each; `drop_last=True` drops a last batch that is not full."
            )


def _in_turn(*parts: list) -> Iterator:
    """Yield the first item of each list, then the second of each, and so on."""
    for turn in itertools.zip_longest(*parts):
        yield from (finding for finding in turn if finding is not None)
