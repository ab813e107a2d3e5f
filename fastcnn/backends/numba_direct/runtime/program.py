"""Programs: lists of steps, each a kernel and its arguments, that are run again and again.

What a layer does to a second batch of a shape is to launch the same kernels with the same arguments. Finding out which
they are takes Python longer than a small kernel runs. So `record` writes the steps down while they are made for the
first time, and the program that it returns runs them again, for other inputs, without any Python in between.
"""

import math
import operator
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastcnn._threads import get_num_threads
from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.arguments import places
from fastcnn.backends.numba_direct.runtime.launch import LINE, run
from fastcnn.backends.numba_direct.runtime.lifetimes import Lifetime, place
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES

if TYPE_CHECKING:
    from fastcnn.backends.numba_direct.runtime.compile import Kernel
    from fastcnn.backends.numba_direct.runtime.listing import Listing

_WORD = 8  # bytes


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
    scratch : int
        Bytes that each thread has for itself.
    arguments : dict
        By name, in the order of the record.
    """

    kernel: "Kernel"
    address: int
    record: bytes
    tasks: int
    scratch: int
    arguments: dict[str, Any]

    def arrays(self) -> Iterator[tuple[int, str, np.ndarray]]:
        """The arrays that are not empty: in which word of the record each one's address stands, and its name."""
        return (found for found in places(self.arguments) if found[2].size)

    def is_like(self, kernel: "Kernel", tasks: int, arguments: dict[str, Any], given: dict[int, np.ndarray]) -> bool:
        """Whether a launch would do the same, but for arrays that have ``given`` ones, by identity, in their place."""

        def same(value, own) -> bool:
            if isinstance(value, np.ndarray):
                return given.get(id(value), value) is own
            if isinstance(value, list):
                return len(value) == len(own) and all(map(operator.is_, value, own))
            return value == own

        own = self.arguments
        return (self.kernel, self.tasks, own.keys()) == (kernel, tasks, arguments.keys()) and all(
            same(value, own[name]) for name, value in arguments.items()
        )

    def without(self, buffers: "_Buffers") -> "Step":
        """The same step, but of the arrays that lie in these buffers its arguments have the shapes only."""
        gone = [(name, array) for _, name, array in self.arrays() if buffers.find(array)]
        shapes = {memory.address(array): np.broadcast_to(np.empty((), array.dtype), array.shape) for _, array in gone}
        return self._replace(arguments=self.arguments | {name: shapes[memory.address(array)] for name, array in gone})


class _Working:
    """What a launch needs besides, for as many threads as there were the last time."""

    def __init__(self) -> None:
        self._counters, self._scratch = np.empty((0, 0, 0), np.int64), np.empty(0, np.uint8)

    def of(self, steps: int, threads: int, scratch_bytes: int) -> tuple[np.ndarray, np.ndarray]:
        """Counters of so many steps and threads, and scratch memory."""
        if self._counters.shape != (steps, threads + 1, LINE):
            self._counters = np.empty((steps, threads + 1, LINE), np.int64)
        if self._scratch.size < threads * scratch_bytes:
            self._scratch = memory.vectors(lambda size: np.empty(size, np.uint8), threads * scratch_bytes)
        return self._counters, self._scratch


def _run(table: np.ndarray, steps: Sequence[Step], working: _Working, threads: int, scratch_bytes: int) -> bool:
    """Run steps, of which a table tells where they lie, on so many threads, each with so much scratch memory.

    Returns whether one of them stopped the program.
    """
    counters, scratch = working.of(len(steps), threads, scratch_bytes)
    failed = run(table, counters, scratch, scratch_bytes)
    if failed and not steps[failed - 1].kernel.stops:
        raise IndexError(f"The kernel {steps[failed - 1].kernel!r} reads or writes outside of an array.")
    return failed > 0


class _Launch:
    """Steps, to be run in one launch; ``words`` is where their records lie.

    Attributes
    ----------
    steps : sequence of Step
    alone : bool
        Whether one thread runs them all: at first, if there is nothing to share.
    """

    def __init__(self, steps: Sequence[Step], words: np.ndarray):
        self.steps, self.alone, self._words = steps, all(step.tasks <= 1 for step in steps), words
        self._table = np.empty((len(steps), 4), np.int64)
        self._working, self._scratch_bytes = _Working(), max(_whole_vectors(step.scratch) for step in steps)
        at = memory.address(words)
        for i, step in enumerate(steps):
            self._table[i] = step.address, at, step.tasks, step.kernel.flushes
            at += len(step.record)

    def __call__(self) -> bool:
        threads = 1 if self.alone else get_num_threads()
        return _run(self._table, self.steps, self._working, threads, self._scratch_bytes)


class _Buffer(Lifetime):
    """Memory that steps use, and the words in which its address, or one inside it, stands."""

    def __init__(self, array: np.ndarray):
        super().__init__(array.nbytes)
        self.start = memory.address(array)
        self.uses: list[tuple[int, int]] = []  # words, and how many bytes behind the start

    def offset(self, array: np.ndarray) -> int:
        """How many bytes behind the start an array begins."""
        return memory.address(array) - self.start


class _Buffers:
    """Which memory an array lies in."""

    def __init__(self, buffers: Sequence[_Buffer]):
        self._sorted = sorted(buffers, key=lambda buffer: buffer.start)
        self._starts = [buffer.start for buffer in self._sorted]

    def find(self, array: np.ndarray) -> _Buffer | None:
        at = memory.address(array)
        i = bisect_right(self._starts, at) - 1
        return self._sorted[i] if i >= 0 and at < self._starts[i] + max(1, self._sorted[i].size) else None


class _Result:
    """An array that is returned: where it lies in a buffer, and what is like it elsewhere."""

    def __init__(self, buffer: _Buffer, array):
        numbers = plain(array)
        self.buffer, self._offset = buffer, buffer.offset(numbers)
        self._shape, self._dtype = numbers.shape, numbers.dtype
        self._native = None if numbers is array else (type(array), array.shape)

    def at(self, block: np.ndarray):
        """The array, where the buffer is at its place in a block of memory."""
        numbers = np.ndarray(self._shape, self._dtype, block, self.buffer.place + self._offset)
        if self._native is None:
            return numbers
        kind, shape = self._native
        return kind(numbers, shape)


class Program:
    """Steps, and calls of Python between them, that compute results from inputs.

    All other arrays, in which they compute, belong to the program. The results of each run are new ones.

    Parameters
    ----------
    parts : sequence of Step or callable
    allocated : list of ndarray
        All memory that was taken for the steps' arrays.
    inputs, results : list of arrays
        Plain or in the backend's layout. A result may be None.
    known : list of ndarray
        Arrays that steps may use besides, and change: a model's parameters.
    given : list of ndarray
        What `given` told.

    Attributes
    ----------
    allocated : list of ndarray
        Other programs, as that of a backward pass, know them.

    Raises
    ------
    RuntimeError
        If a step is given an array that is none of these and can be written: NumPy computed it, and would not do so
        again. So would a result.
    """

    def __init__(self, parts, allocated, inputs, results, known: list[np.ndarray], given: Sequence[np.ndarray] = ()):
        self.parts, self.allocated, self._known, self._given = parts, allocated, known, given
        steps = [part for part in parts if isinstance(part, Step)]
        self._words = _records(steps)
        self._calls: list[Any] = list(_calls(parts, self._words))
        own, inputs_at = [list(map(_Buffer, arrays)) for arrays in (allocated, map(plain, inputs))]
        buffers = _Buffers([*own, *inputs_at, *map(_Buffer, [*known, *given])])
        word = 0
        for i, step in enumerate(steps):
            for field, name, array in step.arrays():
                buffer = buffers.find(array)
                if buffer is not None:
                    buffer.uses.append((word + field, buffer.offset(array)))
                    buffer.live(i)
                elif array.flags.writeable:
                    raise RuntimeError(f"The step {step.kernel!r} is given an array, `{name}`, that no step computes.")
            word += len(step.record) // _WORD
        self._inputs = [buffer.uses for buffer in inputs_at]
        self._size, outputs = 0, []
        self._results: list[_Result | None] = []
        for result in results:
            if result is None:
                self._results.append(None)
                continue
            buffer = buffers.find(plain(result))
            if buffer not in own:
                raise RuntimeError("A result is an array that no step computes.")
            if buffer not in outputs:
                buffer.place = self._size
                self._size += _whole_vectors(buffer.size)
                outputs.append(buffer)
            self._results.append(_Result(buffer, result))
        self._outputs = _moves(outputs)
        self._own, self._replaced = own, _Buffers([*own, *inputs_at])
        self._shared: list | None = None  # results in shared memory

    def __call__(self, *inputs) -> list:
        """Results for other inputs, of the same shapes and dtypes; arbitrary those after a step that stops."""
        for uses, array in zip(self._inputs, inputs, strict=True):
            start = memory.address(plain(array))
            for word, offset in uses:
                self._words[word] = start + offset
        if self._shared is None:
            block = memory.aligned((self._size,), np.dtype(np.uint8))
            self._move(self._outputs, block)
        for call in self._calls:
            if call():
                break
        return self._results_in(block) if self._shared is None else [result.copy() for result in self._shared]

    def renew(self, function: Callable[[], Any]) -> bool:
        """Call a function that launches nothing now but says what it would: whether that is what the last steps do.

        If so, the numbers that it tells by `given` are theirs from now on.
        """
        attempt, before = Recorder(), _thread.attempt
        _thread.attempt = attempt
        try:
            function()
        finally:
            _thread.attempt = before
        steps, new = self.parts[len(self.parts) - len(attempt.parts) :], attempt.given
        if [(a.shape, a.dtype) for a in new] != [(a.shape, a.dtype) for a in self._given]:
            return False
        old = {id(array): own for array, own in zip(new, self._given, strict=True)}
        if not all(step.is_like(*launch, old) for step, launch in zip(steps, attempt.parts, strict=True)):
            return False
        for array, own in zip(new, self._given, strict=True):
            own[...] = array
        return True

    def share(self, allocate: Callable[[int], np.ndarray]) -> None:
        """Let the arrays in which steps compute share memory from ``allocate``, where they are not needed together.

        Each lives from the first step that has it among its arguments to the last; results are plain arrays, and live
        on until they are copied. The program has no calls between its steps, and keeps nothing from one run to the
        next.
        """
        for result in filter(None, self._results):
            result.buffer.live(math.inf)
        block = memory.vectors(allocate, place(self._own))
        self._move(_moves(self._own), block)
        self._shared = self._results_in(block)
        self.parts, self.allocated = [], [block]
        for launch in self._calls:  # nothing else is to hold what the first run computed in
            launch.steps = [step.without(self._replaced) for step in launch.steps]

    def _move(self, moves: tuple[np.ndarray, np.ndarray], block: np.ndarray) -> None:
        """Write down that arrays are in another block of memory."""
        words, offsets = moves
        self._words[words] = offsets + memory.address(block)

    def _results_in(self, block: np.ndarray) -> list:
        return [result and result.at(block) for result in self._results]

    @property
    def steps(self) -> list[Step | Callable[[], Any]]:
        """What it does, in order; shared memory has no arrays, of which only the shapes are left."""
        return [part for call in self._calls for part in (call.steps if isinstance(call, _Launch) else [call])]

    def __str__(self) -> str:
        from fastcnn.backends.numba_direct.runtime.listing import listing  # which needs steps

        return str(listing(self.steps))

    def times(self) -> "Listing":
        """How long each step takes, alone and on all threads: its ``str`` is the table with times.

        The steps run on copies: neither parameters nor running statistics change, and Python between them is left out.

        Raises
        ------
        RuntimeError
            If memory is shared: a step alone would find there what a later one wrote.
        """
        from fastcnn.backends.numba_direct.runtime.listing import times  # which needs steps

        if not self.parts:
            raise RuntimeError("The steps of this program share memory, and cannot be timed one by one.")
        return times(self.steps)

    def run_alone(self) -> None:
        """From now on, run on one thread: the steps are too small to share. The program has no calls between them."""
        for launch in self._calls:
            launch.alone = True


def launch_of(steps: Sequence[Step]) -> Callable[[], Any]:
    """What runs steps in one launch."""
    return _Launch(steps, _records(steps))


def _records(steps: Sequence[Step]) -> np.ndarray:
    """The words of all records."""
    return np.array([word for step in steps for word in memoryview(step.record).cast("q")], np.int64)


def plain(array) -> np.ndarray:
    """The numbers of an array that may be in the backend's layout."""
    return getattr(array, "blocks", array)


def _moves(buffers: list[_Buffer]) -> tuple[np.ndarray, np.ndarray]:
    """The words with addresses in these buffers, and how far each is from the start of a block with their places."""
    moves = [(word, buffer.place + offset) for buffer in buffers for word, offset in buffer.uses]
    words, offsets = np.array(moves, np.int64).reshape(-1, 2).T.copy()
    return words, offsets


def _calls(parts, words: np.ndarray) -> Iterator[Callable[[], Any]]:
    """A launch for all steps that follow each other, and what stands between."""
    waiting: list[Step] = []
    word = 0
    for part in [*parts, None]:
        if isinstance(part, Step):
            waiting.append(part)
            continue
        if waiting:
            yield _Launch(waiting, words[word:])
            word += sum(len(step.record) for step in waiting) // _WORD
            waiting = []
        if part is not None:
            yield part


def _whole_vectors(size: int) -> int:
    return -(-size // VECTOR_BYTES) * VECTOR_BYTES


class Recorder:
    """What a thread does while it records.

    Attributes
    ----------
    parts : list of Step or callable
    allocated : list of ndarray
        Memory that it took meanwhile.
    given : list of ndarray
        What `given` told.
    """

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.allocated: list[np.ndarray] = []
        self.given: list[np.ndarray] = []


class _Thread(threading.local):
    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.attempt: Recorder | None = None  # what would be launched; see `Program.renew`
        self.working = _Working()
        self.table = np.empty((1, 4), np.int64)


_thread = _Thread()


def launch(kernel: "Kernel", tasks: int, scratch: int, arguments: dict[str, Any]) -> None:
    """Run one step, and write it down where its thread is recording."""
    if _thread.attempt is not None:
        _thread.attempt.parts.append((kernel, tasks, arguments))
        return
    step = kernel.step(tasks, scratch, arguments)
    if _thread.recorder is not None:
        _thread.recorder.parts.append(step)
    at = memory.address(np.frombuffer(step.record, np.uint8))
    _thread.table[0] = step.address, at, step.tasks, step.kernel.flushes
    threads = get_num_threads() if step.tasks > 1 else 1
    _run(_thread.table, [step], _thread.working, threads, _whole_vectors(step.scratch))


def given(array: np.ndarray) -> np.ndarray:
    """The same array: numbers that Python works out, and works out again before each run of a program."""
    for recorder in filter(None, (_thread.attempt, _thread.recorder)):
        recorder.given.append(array)
    return array


def is_recording() -> bool:
    """Whether this thread is."""
    return _thread.recorder is not None


def perform(function: Callable[[], Any]) -> None:
    """Call a function that does what kernels cannot, now and whenever the program is run that is being recorded."""
    recorder = _thread.recorder
    if recorder is None:
        function()
        return
    recorder.parts.append(function)
    with recording(None):
        function()


def record(function: Callable[..., Sequence], inputs: Sequence, known: Sequence[np.ndarray]) -> tuple[Program, list]:
    """Call a function, and return the program of what it did, and its results.

    Parameters
    ----------
    function : callable
        Its results are arrays that kernels compute from the inputs.
    inputs : sequence of arrays
    known : sequence of ndarray
        As for `Program`.
    """
    recorder = Recorder()
    with recording(recorder):
        results = list(function(*inputs))
    return Program(recorder.parts, recorder.allocated, inputs, results, list(known), recorder.given), results


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Within this block, write down what this thread does, or do not."""
    before, _thread.recorder = _thread.recorder, recorder
    try:
        with memory.noting(recorder.allocated if recorder else None):
            yield
    finally:
        _thread.recorder = before
