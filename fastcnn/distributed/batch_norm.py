"""Synchronized batch normalization: statistics over the images of all ranks."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn.distributed.ranks import Ranks
from fastcnn.nn import BatchNorm1d, BatchNorm2d, Module


def convert_sync_batch_norm(model: Module, comm) -> Module:
    """Make the batch normalizations of a model use the mean and variance of all ranks' images; return the model.

    Without it each rank normalizes with its own part of a batch, and the running statistics are those of rank 0. Use it
    if a rank has few images, or if n ranks must match one process with the whole batch. It costs two exchanges of a few
    numbers per channel, one forward and one backward. In evaluation mode nothing changes.

    Parameters
    ----------
    model : Module
        Its layers are changed in place. A copy of the model is not synchronized.
    comm : mpi4py.MPI.Intracomm
        The ranks, such as ``MPI.COMM_WORLD``. Each must have at least one image of every batch.

    Returns
    -------
    Module

    Raises
    ------
    ImportError
        If mpi4py or its MPI library is missing.
    TypeError
        If `comm` is not a communicator.

    References
    ----------
    Like ``torch.nn.SyncBatchNorm.convert_sync_batchnorm``. Moments are combined as by T. F. Chan, G. H. Golub and
    R. J. LeVeque, "Algorithms for computing the sample variance", The American Statistician 37 (1983).
    """
    sums = Sums(Ranks(comm))
    for layer in _layers(model):
        layer.count_with(sums)
    return model


class Sums:
    """Exchange of statistics between the ranks for a batch normalization."""

    def __init__(self, ranks: Ranks):
        self._ranks = ranks

    def moments(self, mean: np.ndarray, var: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Combine the means and biased variances (C,) of all ranks, and the number of values per channel."""
        C = len(mean)
        table = self._ranks.allgather_numbers([*mean, *var, count])
        means, variances, counts = table[:, :C], table[:, C:-1], table[:, -1:]  # (ranks, C), (ranks, C), (ranks, 1)
        total = counts.sum()
        if total < 2:
            raise ValueError("Batch normalization needs at least 2 values per channel on all ranks together, not 1.")
        mean = (counts * means).sum(axis=0) / total
        var = (counts * (variances + (means - mean) ** 2)).sum(axis=0) / total
        return mean, var, int(total)

    def sums(self, *arrays: np.ndarray) -> np.ndarray:
        """Sum arrays (C,) over all ranks: float64 of shape (arrays, C)."""
        C = len(arrays[0])
        return self._ranks.allgather_numbers(np.concatenate(arrays)).sum(axis=0).reshape(-1, C)


def is_synchronized(model: Module) -> bool:
    """Whether a layer of the model is synchronized with the other ranks."""
    return any(layer._others for layer in _layers(model))


@contextmanager
def apart(model: Module) -> Iterator[None]:
    """Turn off the synchronization of the model's layers within this context."""
    others = [(layer, layer._others) for layer in _layers(model)]
    for layer, _ in others:
        layer.count_with(None)
    try:
        yield
    finally:
        for layer, sums in others:
            layer.count_with(sums)


def _layers(model: Module) -> list[BatchNorm1d | BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, BatchNorm1d | BatchNorm2d)]
