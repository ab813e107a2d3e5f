"""Programs: recorded lists of steps, each a kernel and its arguments, that run repeatedly.

For a second batch of the same shape, a layer launches the same kernels with the same arguments. Working these out in
Python takes longer than a small kernel runs. So `record` stores the steps while they run for the first time, and the
program that it returns runs them again for other inputs, without any Python in between.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastcnn._lifetimes import Lifetime, place
from fastcnn._threads import get_num_threads
from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.buffers import (
    Buffer,
    Buffers,
    Move,
    Result,
    moves,
    plain,
    whole_vectors,
    write_addresses,
)
from fastcnn.backends.numba_direct.runtime.chains import Use, chains
from fastcnn.backends.numba_direct.runtime.launches import WORD, Launch, records
from fastcnn.backends.numba_direct.runtime.listing import Listing, listing, times
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.runtime.recorder import Recorder, attempted, recording
from fastcnn.backends.numba_direct.runtime.step import Step


class Program:
    """Steps, and Python calls between them, that compute results from inputs.

    The program owns the arrays of intermediate values. Each run returns new arrays as results.

    Parameters
    ----------
    recorder : Recorder
    inputs, results : list of arrays
        Plain or in the backend's layout. A result may be None.
    known : list of ndarray
        Other arrays that steps may use and change, such as a model's parameters.

    Attributes
    ----------
    allocated : list of ndarray
        The program's own arrays; other programs, such as that of a backward pass, may use them as known. After
        `share`, the arrays that the program keeps alive.

    Raises
    ------
    RuntimeError
        If a step uses a writable array that is none of these, or if no step computes a result. NumPy must have computed
        it, and would not compute it again when the program runs.
    """

    def __init__(self, recorder: "Recorder", inputs, results, known: list[np.ndarray]):
        self.parts, self.allocated, self._known, self._given = recorder.parts, recorder.allocated, known, recorder.given
        own, inputs_at = [list(map(Buffer, arrays)) for arrays in (self.allocated, map(plain, inputs))]
        others = list(map(Buffer, [*known, *self._given]))
        buffers = Buffers([*own, *inputs_at, *others])
        ordered = list(_ordered(self.parts, buffers))
        chains = [part for part in ordered if isinstance(part, list)]
        self._words = records(step for chain in chains for step in chain)
        self._calls: list[Any] = list(_calls(ordered, self._words))
        self._starts = [0]  # first words of the records
        for i, chain in enumerate(chains):
            for step in chain:
                for field, _, array in step.arrays():
                    buffer = buffers.find(array)
                    if buffer is not None:
                        buffer.uses.append((self._starts[-1] + field, buffer.offset(array)))
                        buffer.live(i)  # by chain: one block may be at its end while another is at its start
                        is_divided = len(chain) > 1 and array.ndim > 2 and len(array) == step.blocks
                        buffer.blocks.add(step.blocks if is_divided and array.nbytes == buffer.size else 0)
                self._starts.append(self._starts[-1] + len(step.record) // WORD)
        self._inputs = [buffer.uses for buffer in inputs_at]
        self._size, outputs = 0, []
        self._results: list[Result | None] = []
        for result in results:
            if result is None:
                self._results.append(None)
                continue
            buffer = buffers.find(plain(result))
            if buffer not in own:
                raise RuntimeError("A result is an array that no step computes.")
            if buffer not in outputs:
                buffer.place = self._size
                self._size += whole_vectors(buffer.size)
                outputs.append(buffer)
            self._results.append(Result(buffer, result))
        self._outputs = moves(outputs)
        fixed = [*outputs, *map(buffers.find, recorder.called)]
        self._between = [buffer for buffer in own if buffer not in fixed]
        self._buffers = [*own, *inputs_at, *others]
        self._intermediate = self.allocated  # as the arguments of steps have them; see `share`
        self._within: list[list[Move]] = [[] for _ in self._starts[1:]]

    def __call__(self, *inputs) -> list:
        """Results for other inputs of the same shapes and dtypes; those after a step that stops are arbitrary."""
        for uses, array in zip(self._inputs, inputs, strict=True):
            start = memory.address(plain(array))
            for word, offset in uses:
                self._words[word] = start + offset
        block = memory.aligned((self._size,), np.dtype(np.uint8))
        write_addresses(self._words, self._outputs, block)
        results = [result and result.at(block) for result in self._results]
        for call in self._calls:  # all memory is allocated: only Python calls, which come first, can fail now
            if call():
                break
        return results

    def renew(self, function: Callable[[], Any]) -> bool:
        """Call a function without launching kernels; returns whether its launches would be the last steps again.

        If so, these steps use from now on the values that the function passed to `given`.
        """
        attempt = attempted(function)
        steps, new = self.parts[len(self.parts) - len(attempt.parts) :], attempt.given
        if [(a.shape, a.dtype) for a in new] != [(a.shape, a.dtype) for a in self._given]:
            return False
        same = _Same(new, self._given, attempt.allocated, self._intermediate)
        if not all(step.is_like(*launch, same) for step, launch in zip(steps, attempt.parts, strict=True)):
            return False
        for array, own in zip(new, self._given, strict=True):
            own[...] = array
        return True

    def share(self, allocate: Callable[[int], np.ndarray]) -> None:
        """Let arrays between inputs and results share memory from ``allocate``, unless needed at the same time.

        An array is needed from the first chain that uses it to the last. If only one chain uses it, each thread has
        memory for one block of it. The program must not carry values from one run to the next.
        """
        within: list[Buffer] = []
        across: list[Buffer] = []
        for buffer in self._between:
            is_within = buffer.first == buffer.last and min(buffer.blocks, default=0)
            (within if is_within else across).append(buffer)
        block = memory.vectors(allocate, place(across, VECTOR_BYTES))
        write_addresses(self._words, moves(across), block)
        self._within = self._moves_within(within)
        at = 0
        gone, stand_ins = Buffers(self._between), dict[tuple, np.ndarray]()

        def stand_in(array: np.ndarray) -> np.ndarray:  # as steps must not keep the arrays of the first run alive
            if not array.size or gone.find(array) is None:
                return array
            key = memory.address(array), array.shape, array.dtype
            return stand_ins.setdefault(key, np.broadcast_to(np.empty((), array.dtype), array.shape))

        self.parts = [part.without(stand_in) if isinstance(part, Step) else part for part in self.parts]
        for launch in self._calls:
            if isinstance(launch, Launch):
                launch.chains = [[step.without(stand_in) for step in chain] for chain in launch.chains]
                count = len(launch.steps)
                launch.move(self._within[at : at + count])
                at += count
        self._intermediate = list(stand_ins.values())
        for buffer in self._between:
            buffer.array = None
        self.allocated = [*(buffer.array for buffer in self._buffers if buffer.array is not None), block]

    def _moves_within(self, buffers: list[Buffer]) -> list[list[Move]]:
        """For each step, the places of its blocks in a thread's memory; only one chain uses each of these buffers."""
        moves: list[list[Move]] = [[] for _ in self._starts[1:]]
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
            place(lifetimes, VECTOR_BYTES)
        for step, word, one in uses:
            moves[step].append(Move(word, one.place, one.size))
        return moves

    @property
    def chains(self) -> list[list[Step] | Callable[[], Any]]:
        """The chains and Python calls, in order; after `share`, placeholders replace the arrays in shared memory."""
        return [part for call in self._calls for part in (call.chains if isinstance(call, Launch) else [call])]

    def __str__(self) -> str:
        return str(listing(self.chains))

    def times(self) -> "Listing":
        """Time each step alone, on all threads; the ``str`` of the result is the table with times.

        The steps run on copies, so neither parameters nor running statistics change. Python calls are left out.
        """
        words = self._words.copy()
        copies = [buffer.copy(words) for buffer in self._buffers if buffer.uses]
        found = times(self.chains, words, self._within)
        del copies
        return found

    def run_alone(self) -> None:
        """Use one thread from now on, as the steps are too small to share; the program must have no Python calls."""
        for launch in self._calls:
            launch.alone = True


class _Same:
    """Compares arguments of a launch with those of a step, although the launch has other arrays.

    Parameters
    ----------
    given, own_given : list of ndarray
        Arrays with new values of settings, and the program's arrays for them.
    allocated, own_allocated : list of ndarray
        Arrays that the launches use for intermediate values, and the program's, in any order.
    """

    def __init__(self, given, own_given, allocated, own_allocated):
        self._own = {id(array): id(own) for array, own in zip(given, own_given, strict=True)}
        self._new = set(map(id, allocated))
        self._stands = set(map(id, own_allocated)) if allocated else set()  # most optimizers allocate nothing

    def __call__(self, value, own) -> bool:
        if not isinstance(value, np.ndarray):
            return not isinstance(own, np.ndarray) and value == own
        if id(value) not in self._own and id(value) in self._new:  # seen for the first time
            if id(own) not in self._stands or (value.shape, value.dtype) != (own.shape, own.dtype):
                return False
            self._stands.discard(id(own))
            self._own[id(value)] = id(own)
        return self._own.get(id(value), id(value)) == id(own)


def record(function: Callable[..., Sequence], inputs: Sequence, known: Sequence[np.ndarray]) -> tuple[Program, list]:
    """Call a function; returns the program of the steps that it ran, and its results.

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


def _ordered(parts, buffers: Buffers) -> Iterator[Any]:
    """The Python calls, then the chains of the steps, each in order.

    The calls depend on no step. As they come first, a call that raises an error leaves nothing half done.
    """
    yield from (part for part in parts if not isinstance(part, Step))
    steps = [part for part in parts if isinstance(part, Step)]
    for chain in chains([_use(step, buffers) for step in steps]):
        yield [steps[i] for i in chain]


def _use(step: Step, buffers: Buffers) -> Use:
    """The buffers that a step reads and writes."""
    kernel, touched = step.kernel, (set[int](), set[int]())  # read, and perhaps written
    for _, name, array in step.arrays():
        buffer = buffers.find(array)
        if buffer is not None:
            touched[kernel.writes is None or name in kernel.writes].add(id(buffer))
        elif array.flags.writeable:
            raise RuntimeError(f"The step {kernel!r} is given an array, `{name}`, that no step computes.")
    blocks, threads = step.blocks, get_num_threads()
    is_even = blocks % threads == 0 or blocks >= 4 * threads  # else threads wait long for each other
    return Use(blocks if is_even and not kernel.stops else 0, *touched, kernel.stops)


def _calls(parts, words: np.ndarray) -> Iterator[Callable[[], Any]]:
    """One launch for all chains that follow each other, and the Python calls between launches."""
    waiting: list[list[Step]] = []
    word = 0
    for part in [*parts, None]:
        if isinstance(part, list):
            waiting.append(part)
            continue
        if waiting:
            launch = Launch(waiting, words[word:])
            yield launch
            word += sum(len(step.record) for step in launch.steps) // WORD
            waiting = []
        if part is not None:
            yield part
