"""Programs: lists of steps, each a kernel and its arguments, that are run again and again.

What a layer does to a second batch of a shape is to launch the same kernels with the same arguments. Finding out which
they are takes Python longer than a small kernel runs. So `record` writes the steps down while they are made for the
first time, and the program that it returns runs them again, for other inputs, without any Python in between.
"""

import operator
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastcnn._threads import get_num_threads
from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.arguments import places
from fastcnn.backends.numba_direct.runtime.chains import Use, chains
from fastcnn.backends.numba_direct.runtime.launch import COLUMNS, LINE, run
from fastcnn.backends.numba_direct.runtime.lifetimes import Lifetime, place
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES

if TYPE_CHECKING:
    from fastcnn.backends.numba_direct.runtime.compile import Kernel
    from fastcnn.backends.numba_direct.runtime.listing import Listing

_WORD = 8  # bytes

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

    kernel: "Kernel"
    address: int
    record: bytes
    tasks: int
    blocks: int
    scratch: int
    arguments: dict[str, Any]

    def arrays(self) -> Iterator[tuple[int, str, np.ndarray]]:
        """The arrays that are not empty: in which word of the record each one's address stands, and its name."""
        return (found for found in places(self.arguments) if found[2].size)

    def is_like(self, kernel: "Kernel", tasks: Tasks, arguments: dict[str, Any], given: dict[int, np.ndarray]) -> bool:
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


def _run(table: np.ndarray, kernels: Sequence["Kernel"], working: _Working, threads: int, scratch_bytes: int) -> bool:
    """Run the steps of a table on so many threads, each with so much scratch memory; ``kernels`` are theirs.

    Returns whether one of them stopped the program.
    """
    counters, scratch = working.of(len(kernels), threads, scratch_bytes)
    failed = run(table, counters, scratch, scratch_bytes)
    if failed and not kernels[failed - 1].stops:
        raise IndexError(f"The kernel {kernels[failed - 1]!r} reads or writes outside of an array.")
    return failed > 0


class _Launch:
    """Steps, to be run in one launch; ``words`` is where their records lie.

    Attributes
    ----------
    chains : list of list of Step
        See `chains`; a step that is in none is alone in its list.
    alone : bool
        Whether one thread runs them all: at first, if there is nothing to share.
    """

    def __init__(self, chains: list[list[Step]], words: np.ndarray):
        self.chains, self._words = chains, words
        steps = self.steps
        self._kernels = [step.kernel for step in steps]
        self.alone = all(step.tasks <= 1 for step in steps)
        self._table = np.zeros((len(steps), COLUMNS), np.int64)
        self._working, self._scratch_bytes = _Working(), max(_whole_vectors(step.scratch) for step in steps)
        at, begin = memory.address(words), 0
        for i, step in enumerate(steps):
            self._table[i, :4] = step.address, at, step.tasks, step.kernel.flushes
            at += len(step.record)
        for chain in chains:
            self._table[begin, 4:6] = chain[0].blocks, len(chain)
            begin += len(chain)

    def move(self, moves: list[list["_Move"]]) -> None:
        """Let arrays of each step lie in the scratch memory of the thread that has a block, behind that of kernels."""
        steps, start = self.steps, self._scratch_bytes
        room = max((move.place + move.block for of_step in moves for move in of_step), default=0)
        copy = start + _whole_vectors(room)
        self._scratch_bytes = copy + _whole_vectors(max(len(step.record) for step in steps))
        self._moves = []
        for step, found in zip(steps, moves, strict=True):
            places = [number for move in found for number in (move.word, start + move.place, move.block)]
            self._moves.append(np.array([len(found), len(step.record) // _WORD, copy, *places]))
        for row, found, table in zip(self._table, moves, self._moves, strict=True):
            row[6] = memory.address(table) if found else 0

    @property
    def steps(self) -> list[Step]:
        """All, in order."""
        return [step for chain in self.chains for step in chain]

    def __call__(self) -> bool:
        threads = 1 if self.alone else get_num_threads()
        return _run(self._table, self._kernels, self._working, threads, self._scratch_bytes)


class _Move(NamedTuple):
    """An array of a step of which each thread has one block only.

    Attributes
    ----------
    word : int
        Of the step's record, where its address stands.
    place : int
        Where in the thread's memory it lies.
    block : int
        Bytes of a block.
    """

    word: int
    place: int
    block: int


class _Buffer(Lifetime):
    """Memory that steps use, and the words in which its address, or one inside it, stands.

    Attributes
    ----------
    array : ndarray or None
        What lies there; None when it is elsewhere in each run.
    uses : list of tuple of int
        Words, and how many bytes behind the start.
    blocks : set of int
        Into how many blocks of images it falls, for each of its uses; 0 where it does not.
    """

    def __init__(self, array: np.ndarray):
        super().__init__(array.nbytes)
        self.array: np.ndarray | None = array
        self.start = memory.address(array)
        self.uses: list[tuple[int, int]] = []
        self.blocks: set[int] = set()

    def offset(self, array: np.ndarray) -> int:
        """How many bytes behind the start an array begins."""
        return memory.address(array) - self.start

    def copy(self, words: np.ndarray) -> np.ndarray:
        """Other memory, of which these words tell from now on; with the same numbers, if there are any."""
        block = memory.vectors(lambda size: np.empty(size, np.uint8), self.size)
        if self.array is not None:
            np.ndarray(self.array.shape, self.array.dtype, block)[...] = self.array
        for word, offset in self.uses:
            words[word] = memory.address(block) + offset
        return block


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
    recorder : Recorder
    inputs, results : list of arrays
        Plain or in the backend's layout. A result may be None.
    known : list of ndarray
        Arrays that steps may use besides, and change: a model's parameters.

    Attributes
    ----------
    allocated : list of ndarray
        Other programs, as that of a backward pass, know them. After `share`, what the program keeps alive.

    Raises
    ------
    RuntimeError
        If a step is given an array that is none of these and can be written: NumPy computed it, and would not do so
        again. So would a result.
    """

    def __init__(self, recorder: "Recorder", inputs, results, known: list[np.ndarray]):
        self.parts, self.allocated, self._known, self._given = recorder.parts, recorder.allocated, known, recorder.given
        own, inputs_at = [list(map(_Buffer, arrays)) for arrays in (self.allocated, map(plain, inputs))]
        others = list(map(_Buffer, [*known, *self._given]))
        buffers = _Buffers([*own, *inputs_at, *others])
        ordered = list(_ordered(self.parts, buffers))
        chains = [part for part in ordered if isinstance(part, list)]
        self._words = _records(step for chain in chains for step in chain)
        self._calls: list[Any] = list(_calls(ordered, self._words))
        self._starts = [0]  # of records
        for i, chain in enumerate(chains):
            for step in chain:
                for field, _, array in step.arrays():
                    buffer = buffers.find(array)
                    if buffer is not None:
                        buffer.uses.append((self._starts[-1] + field, buffer.offset(array)))
                        buffer.live(i)  # a block may be at the end of a chain when another is at its beginning
                        is_divided = len(chain) > 1 and array.ndim > 2 and len(array) == step.blocks
                        buffer.blocks.add(step.blocks if is_divided and array.nbytes == buffer.size else 0)
                self._starts.append(self._starts[-1] + len(step.record) // _WORD)
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
        fixed = [*outputs, *map(buffers.find, recorder.called)]
        self._between = [buffer for buffer in own if buffer not in fixed]
        self._buffers = [*own, *inputs_at, *others]
        self._within: list[list[_Move]] = [[] for _ in self._starts[1:]]

    def __call__(self, *inputs) -> list:
        """Results for other inputs, of the same shapes and dtypes; arbitrary those after a step that stops."""
        for uses, array in zip(self._inputs, inputs, strict=True):
            start = memory.address(plain(array))
            for word, offset in uses:
                self._words[word] = start + offset
        block = memory.aligned((self._size,), np.dtype(np.uint8))
        _move(self._words, self._outputs, block)
        for call in self._calls:
            if call():
                break
        return [result and result.at(block) for result in self._results]

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
        """Let the arrays between the inputs and the results share memory from ``allocate``, if not needed together.

        Each is needed from the first chain that has it among its arguments to the last. Of those that a chain alone
        needs, each thread has one block. The program must keep nothing from one run to the next.
        """
        within: list[_Buffer] = []
        across: list[_Buffer] = []
        for buffer in self._between:
            is_within = buffer.first == buffer.last and min(buffer.blocks, default=0)
            (within if is_within else across).append(buffer)
        block = memory.vectors(allocate, place(across))
        _move(self._words, _moves(across), block)
        self._within = self._moves_within(within)
        at = 0
        gone = _Buffers(self._between)  # nothing else is to hold what the first run computed in
        self.parts = [part.without(gone) if isinstance(part, Step) else part for part in self.parts]
        for launch in self._calls:
            if isinstance(launch, _Launch):
                launch.chains = [[step.without(gone) for step in chain] for chain in launch.chains]
                count = len(launch.steps)
                launch.move(self._within[at : at + count])
                at += count
        for buffer in self._between:
            buffer.array = None
        self.allocated = [*(buffer.array for buffer in self._buffers if buffer.array is not None), block]

    def _moves_within(self, buffers: list[_Buffer]) -> list[list[_Move]]:
        """For each step, where in a thread's memory a block of these buffers lies, which one chain alone needs."""
        moves: list[list[_Move]] = [[] for _ in self._starts[1:]]
        of_chain: dict[Any, list[Lifetime]] = {}
        uses = []
        for buffer in buffers:
            steps = sorted((bisect_right(self._starts, word) - 1, word) for word, _ in buffer.uses)
            one = Lifetime(buffer.size // min(buffer.blocks))
            for step, word in steps:
                one.live(step)
                uses.append((step, word - self._starts[step], one))
            of_chain.setdefault(buffer.first, []).append(one)
        for lifetimes in of_chain.values():
            place(lifetimes)
        for step, word, one in uses:
            moves[step].append(_Move(word, one.place, one.size))
        return moves

    @property
    def chains(self) -> list[list[Step] | Callable[[], Any]]:
        """What it does, in order; shared memory has no arrays, of which only the shapes are left."""
        return [part for call in self._calls for part in (call.chains if isinstance(call, _Launch) else [call])]

    def __str__(self) -> str:
        from fastcnn.backends.numba_direct.runtime.listing import listing  # which needs steps

        return str(listing(self.chains))

    def times(self) -> "Listing":
        """How long each step takes, alone and on all threads: its ``str`` is the table with times.

        The steps run on copies: neither parameters nor running statistics change, and Python between them is left out.
        """
        from fastcnn.backends.numba_direct.runtime.listing import times  # which needs steps

        words = self._words.copy()
        copies = [buffer.copy(words) for buffer in self._buffers if buffer.uses]
        found = times(self.chains, words, self._within)
        del copies
        return found

    def run_alone(self) -> None:
        """From now on, run on one thread: the steps are too small to share. The program has no calls between them."""
        for launch in self._calls:
            launch.alone = True


def launches(
    chains: list[list[Step]], words: np.ndarray, within: list[list[_Move]]
) -> tuple[list[Callable[[], Any]], Callable[[], Any]]:
    """What runs the steps of a program one by one, and what runs all in one launch; their records lie in ``words``."""
    alone: list[Callable[[], Any]] = []
    at = 0
    for step in (step for chain in chains for step in chain):
        alone.append(_Launch([[step]], words[at:]))
        at += len(step.record) // _WORD
    together = _Launch(chains, words)
    together.move(within)
    return alone, together


def _records(steps: Iterable[Step]) -> np.ndarray:
    """The words of all records."""
    return np.array([word for step in steps for word in memoryview(step.record).cast("q")], np.int64)


def _ordered(parts, buffers: _Buffers) -> Iterator[Any]:
    """The chains of all steps between two calls, and these calls."""
    waiting: list[Step] = []
    for part in [*parts, None]:
        if isinstance(part, Step):
            waiting.append(part)
            continue
        for chain in chains([_use(step, buffers) for step in waiting]):
            yield [waiting[i] for i in chain]
        waiting = []
        if part is not None:
            yield part


def _use(step: Step, buffers: _Buffers) -> Use:
    """What a step does to which buffers."""
    kernel, touched = step.kernel, (set[int](), set[int]())  # read, and perhaps written
    for _, name, array in step.arrays():
        buffer = buffers.find(array)
        if buffer is not None:
            touched[kernel.writes is None or name in kernel.writes].add(id(buffer))
        elif array.flags.writeable:
            raise RuntimeError(f"The step {kernel!r} is given an array, `{name}`, that no step computes.")
    blocks, threads = step.blocks, get_num_threads()
    is_even = blocks % threads == 0 or blocks >= 4 * threads  # so that no thread waits long for another one
    return Use(blocks if is_even and not kernel.stops else 0, *touched, kernel.stops)


def plain(array) -> np.ndarray:
    """The numbers of an array that may be in the backend's layout."""
    return getattr(array, "blocks", array)


def _move(words: np.ndarray, moves: tuple[np.ndarray, np.ndarray], block: np.ndarray) -> None:
    """Write down that arrays are in another block of memory."""
    numbers, offsets = moves
    words[numbers] = offsets + memory.address(block)


def _moves(buffers: list[_Buffer]) -> tuple[np.ndarray, np.ndarray]:
    """The words with addresses in these buffers, and how far each is from the start of a block with their places."""
    moves = [(word, buffer.place + offset) for buffer in buffers for word, offset in buffer.uses]
    words, offsets = np.array(moves, np.int64).reshape(-1, 2).T.copy()
    return words, offsets


def _calls(parts, words: np.ndarray) -> Iterator[Callable[[], Any]]:
    """A launch for all chains that follow each other, and what stands between."""
    waiting: list[list[Step]] = []
    word = 0
    for part in [*parts, None]:
        if isinstance(part, list):
            waiting.append(part)
            continue
        if waiting:
            launch = _Launch(waiting, words[word:])
            yield launch
            word += sum(len(step.record) for step in launch.steps) // _WORD
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
    called : list of ndarray
        What calls between the steps computed with.
    """

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.allocated: list[np.ndarray] = []
        self.given: list[np.ndarray] = []
        self.called: list[np.ndarray] = []


class _Thread(threading.local):
    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.attempt: Recorder | None = None  # what would be launched; see `Program.renew`
        self.working = _Working()
        self.table = np.array([[0, 0, 0, 0, 0, 1, 0]])  # a step alone


_thread = _Thread()


def divided(tasks: Tasks) -> tuple[int, int]:
    """How many tasks in all; and of how many blocks, 0 if there are no several."""
    return (tasks, 0) if isinstance(tasks, int) else (tasks[0] * tasks[1], tasks[0] if tasks[0] > 1 else 0)


def launch(kernel: "Kernel", tasks: Tasks, scratch: int, arguments: dict[str, Any]) -> None:
    """Run one step, and write it down where its thread is recording."""
    if _thread.attempt is not None:
        _thread.attempt.parts.append((kernel, tasks, arguments))
        return
    step = kernel.step(tasks, scratch, arguments)
    if _thread.recorder is not None:
        _thread.recorder.parts.append(step)
    at = memory.address(np.frombuffer(step.record, np.uint8))
    _thread.table[0, :4] = step.address, at, step.tasks, step.kernel.flushes
    threads = get_num_threads() if step.tasks > 1 else 1
    _run(_thread.table, [step.kernel], _thread.working, threads, _whole_vectors(step.scratch))


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
    inside = Recorder()
    with recording(inside):
        function()
    recorder.called += [array for step in inside.parts for _, _, array in step.arrays()]


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
    return Program(recorder, inputs, results, list(known)), results


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Within this block, write down what this thread does, or do not."""
    before, _thread.recorder = _thread.recorder, recorder
    try:
        with memory.noting(recorder.allocated if recorder else None):
            yield
    finally:
        _thread.recorder = before
