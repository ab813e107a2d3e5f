"""Batch normalization with the statistics of all ranks' images."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn.distributed.ranks import Ranks
from fastcnn.nn import BatchNorm1d, BatchNorm2d, Module


def convert_sync_batch_norm(model: Module, comm) -> Module:
    """Let the batch normalizations of a model train with the mean and variance of all ranks' images; return the model.

    Without it each rank normalizes with its own part of a batch, and the running statistics are those of rank 0's. It
    pays where a rank has few images, and makes n ranks equal to one with the whole batch; it costs one exchange of a
    few numbers for each channel forward, and one backward. What is not trained is as before.

    Parameters
    ----------
    model : Module
        Its layers are changed in place. A copy of the model is without it.
    comm : mpi4py.MPI.Intracomm
        The ranks, such as ``MPI.COMM_WORLD``. Each must have at least one image of every batch.

    Returns
    -------
    Module

    Raises
    ------
    ImportError
        If there is no mpi4py, or no MPI library for it.
    TypeError
        If `comm` is not a communicator.

    References
    ----------
    As ``torch.nn.SyncBatchNorm.convert_sync_batchnorm``. Moments are put together as by T. F. Chan, G. H. Golub and
    R. J. LeVeque, "Algorithms for computing the sample variance", The American Statistician 37 (1983).
    """
    sums = Sums(Ranks(comm))
    for layer in _layers(model):
        layer.count_with(sums)
    return model


class Sums:
    """What a batch normalization asks the other ranks for."""

    def __init__(self, ranks: Ranks):
        self._ranks = ranks

    def moments(self, mean: np.ndarray, var: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Mean and biased variance (C,) of all ranks' values, and how many of a channel there are, from a rank's."""
        C = len(mean)
        table = self._ranks.allgather_numbers([*mean, *var, count])
        means, variances, counts = table[:, :C], table[:, C:-1], table[:, -1:]  # (ranks, C), (ranks, C), (ranks, 1)
        total = counts.sum()
        if total < 2:
            raise ValueError("Batch normalization needs at least 2 values of a channel on all ranks together, not 1.")
        mean = (counts * means).sum(axis=0) / total
        var = (counts * (variances + (means - mean) ** 2)).sum(axis=0) / total
        return mean, var, int(total)

    def sums(self, *arrays: np.ndarray) -> np.ndarray:
        """Sums of all ranks' arrays (C,): float64 of shape (arrays, C)."""
        C = len(arrays[0])
        return self._ranks.allgather_numbers(np.concatenate(arrays)).sum(axis=0).reshape(-1, C)


def is_synchronized(model: Module) -> bool:
    """Whether a layer of the model needs the other ranks."""
    return any(layer._others for layer in _layers(model))


@contextmanager
def apart(model: Module) -> Iterator[None]:
    """Within this, no layer of the model needs the other ranks."""
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
