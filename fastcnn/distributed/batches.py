"""The part of each batch that a rank trains on."""

from collections.abc import Iterator

import numpy as np

from fastcnn.data import DataLoader
from fastcnn.distributed.ranks import Ranks
from fastcnn.distributed.streams import jumped
from fastcnn.nn import Module
from fastcnn.training import state


class Batches:
    """A rank's part of each batch; every rank has the same loader, and each epoch begins at the position of rank 0's.

    Layers such as `Dropout` draw from each rank's own stream; see `fastcnn.distributed.streams`.
    """

    def __init__(self, loader: DataLoader, model: Module, ranks: Ranks):
        self._loader, self._model, self._ranks = loader, model, ranks

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self._loader.load_state_dict(self._ranks.broadcast(self._loader.state_dict()))
        batches = self._loader.parts(self._ranks.rank, self._ranks.size)
        first = next(batches, None)  # draws the order, possibly from a generator of the model
        states = self._ranks.broadcast(state.generator_states(self._model))
        state.load_generators(self._model, jumped(states, self._ranks.rank))
        if first is not None:
            yield first
            yield from batches
