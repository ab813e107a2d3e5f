"""The steps of a program: each is a kernel with its arguments."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastcnn.backends.numba_direct.runtime.arguments import places

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

    def is_like(self, kernel: Any, tasks: Tasks, arguments: dict[str, Any], same: Callable[[Any, Any], bool]) -> bool:
        """Whether a launch would repeat this step; ``same`` compares its arrays and numbers with this step's."""
        own = self.arguments
        return (self.kernel, self.tasks, own.keys()) == (kernel, *divided(tasks)[:1], arguments.keys()) and all(
            len(value) == len(own[name]) and all(map(same, value, own[name]))
            if isinstance(value, list)
            else same(value, own[name])
            for name, value in arguments.items()
        )

    def without(self, stand_in: Callable[[np.ndarray], np.ndarray]) -> "Step":
        """The same step with other arrays of the same shapes."""

        def replaced(value):
            if isinstance(value, list):
                return [array if array is None else stand_in(array) for array in value]
            return stand_in(value) if isinstance(value, np.ndarray) else value

        return self._replace(arguments={name: replaced(value) for name, value in self.arguments.items()})


def divided(tasks: Tasks) -> tuple[int, int]:
    """Total number of tasks, and number of blocks, which is 0 unless there are several."""
    return (tasks, 0) if isinstance(tasks, int) else (tasks[0] * tasks[1], tasks[0] if tasks[0] > 1 else 0)
