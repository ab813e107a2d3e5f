"""Which images of each batch a rank trains on."""

from collections.abc import Iterator

import numpy as np

from fastcnn.data import DataLoader
from fastcnn.distributed.ranks import Ranks
from fastcnn.distributed.streams import jumped
from fastcnn.nn import Module
from fastcnn.training import state


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
