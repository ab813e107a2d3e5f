"""The steps of a program: each is a kernel with its arguments."""

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.arguments import places
from fastcnn.backends.numba_direct.runtime.buffers import Buffers

Tasks = int | tuple[int, int]
"""The number of tasks; or (blocks, tasks per block), if each task belongs to one block of images.

In arrays of shape (blocks, ..., lanes), such a task reads and writes its own block only. It may use all other arrays.
"""


class Step(NamedTuple):
    """A kernel with its arguments, ready to run.

    Attributes
    ----------
    kernel : Kernel
    address : int
        Address of the compiled code.
    record : bytes
        The packed arguments, in words of eight bytes.
    tasks : int
        Number of tasks.
    blocks : int
        Number of blocks of images, if each task belongs to one block; else 0.
    scratch : int
        Bytes of scratch memory for each thread.
    arguments : dict
        The arguments by name, in the order of the record.
    """

    kernel: Any
    address: int
    record: bytes
    tasks: int
    blocks: int
    scratch: int
    arguments: dict[str, Any]

    def arrays(self) -> Iterator[tuple[int, str, np.ndarray]]:
        """The non-empty arrays: the word of the record that holds the address, the argument's name, and the array."""
        return (found for found in places(self.arguments) if found[2].size)

    def is_like(self, kernel: Any, tasks: Tasks, arguments: dict[str, Any], given: dict[int, np.ndarray]) -> bool:
        """Whether a launch would repeat this step; ``given`` maps ids of its new arrays to those that they replace."""

        def same(value, own) -> bool:
            if isinstance(value, np.ndarray):
                return given.get(id(value), value) is own
            if isinstance(value, list):
                return len(value) == len(own) and all(map(operator.is_, value, own))
            return value == own

        own = self.arguments
        return (self.kernel, self.tasks, own.keys()) == (kernel, *divided(tasks)[:1], arguments.keys()) and all(
            same(value, own[name]) for name, value in arguments.items()
        )

    def without(self, buffers: Buffers) -> "Step":
        """The same step, with placeholders of the same shape for the arrays in these buffers."""
        gone = [(name, array) for _, name, array in self.arrays() if buffers.find(array)]
        shapes = {memory.address(array): np.broadcast_to(np.empty((), array.dtype), array.shape) for _, array in gone}
        return self._replace(arguments=self.arguments | {name: shapes[memory.address(array)] for name, array in gone})


def divided(tasks: Tasks) -> tuple[int, int]:
    """Total number of tasks, and number of blocks, which is 0 unless there are several."""
    return (tasks, 0) if isinstance(tasks, int) else (tasks[0] * tasks[1], tasks[0] if tasks[0] > 1 else 0)
