"""What a program is a list of: kernels, each with all that it is called with."""

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.arguments import places
from fastcnn.backends.numba_direct.runtime.buffers import Buffers

Tasks = int | tuple[int, int]
"""How many tasks; or how many blocks of images, and tasks of each that read and write nothing of the other blocks.

Of arrays (blocks, ..., lanes) they read and write one block only, of all others whatever they like.
"""


class Step(NamedTuple):
    """A kernel, and all that it is called with.

    Attributes
    ----------
    kernel : Kernel
    address : int
        Of its compiled code.
    record : bytes
        The arguments as the code finds them, in words of eight bytes.
    tasks : int
    blocks : int
        Into how many parts the tasks fall that each read and write one block of images only; 0 if they do not.
    scratch : int
        Bytes that each thread has for itself.
    arguments : dict
        By name, in the order of the record.
    """

    kernel: Any
    address: int
    record: bytes
    tasks: int
    blocks: int
    scratch: int
    arguments: dict[str, Any]

    def arrays(self) -> Iterator[tuple[int, str, np.ndarray]]:
        """The arrays that are not empty: in which word of the record each one's address stands, and its name."""
        return (found for found in places(self.arguments) if found[2].size)

    def is_like(self, kernel: Any, tasks: Tasks, arguments: dict[str, Any], given: dict[int, np.ndarray]) -> bool:
        """Whether a launch would do the same, but for arrays that have ``given`` ones, by identity, in their place."""

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
        """The same step, but of the arrays that lie in these buffers its arguments have the shapes only."""
        gone = [(name, array) for _, name, array in self.arrays() if buffers.find(array)]
        shapes = {memory.address(array): np.broadcast_to(np.empty((), array.dtype), array.shape) for _, array in gone}
        return self._replace(arguments=self.arguments | {name: shapes[memory.address(array)] for name, array in gone})


def divided(tasks: Tasks) -> tuple[int, int]:
    """How many tasks in all; and of how many blocks, 0 if there are no several."""
    return (tasks, 0) if isinstance(tasks, int) else (tasks[0] * tasks[1], tasks[0] if tasks[0] > 1 else 0)
