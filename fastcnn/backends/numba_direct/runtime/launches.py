"""Steps that run in one launch, on all threads."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastcnn._threads import get_num_threads
from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.buffers import Move, whole_vectors
from fastcnn.backends.numba_direct.runtime.launch import COLUMNS, LINE, run
from fastcnn.backends.numba_direct.runtime.step import Step

WORD = 8  # bytes


class Working:
    """Counters and scratch memory for launches, reused while the number of threads stays the same."""

    def __init__(self) -> None:
        self._counters, self._scratch = np.empty((0, 0, 0), np.int64), np.empty(0, np.uint8)

    def of(self, steps: int, threads: int, scratch_bytes: int) -> tuple[np.ndarray, np.ndarray]:
        """Counters for this many steps and threads, and ``scratch_bytes`` of scratch memory per thread."""
        if self._counters.shape != (steps, threads + 1, LINE):
            self._counters = np.empty((steps, threads + 1, LINE), np.int64)
        if self._scratch.size < threads * scratch_bytes:
            self._scratch = memory.vectors(lambda size: np.empty(size, np.uint8), threads * scratch_bytes)
        return self._counters, self._scratch


def run_steps(table: np.ndarray, kernels: Sequence[Any], working: Working, threads: int, scratch_bytes: int) -> bool:
    """Run the steps of a table on ``threads`` threads, each with ``scratch_bytes`` of scratch memory.

    ``kernels`` are the kernels of the steps. Returns whether one of them stopped the program.
    """
    counters, scratch = working.of(len(kernels), threads, scratch_bytes)
    failed = run(table, counters, scratch, scratch_bytes)
    if failed and not kernels[failed - 1].stops:
        raise IndexError(f"The kernel {kernels[failed - 1]!r} reads or writes outside of an array.")
    return failed > 0


class Launch:
    """Steps that run in one launch; ``words`` holds their records.

    Attributes
    ----------
    chains : list of list of Step
        The chains of steps (see `chains`). A step outside of chains is alone in its list.
    alone : bool
        Whether one thread runs all steps. Initially, true if each step has one task at most.
    """

    def __init__(self, chains: list[list[Step]], words: np.ndarray):
        self.chains, self._words = chains, words
        steps = self.steps
        self._kernels = [step.kernel for step in steps]
        self.alone = all(step.tasks <= 1 for step in steps)
        self._table = np.zeros((len(steps), COLUMNS), np.int64)
        self._working, self._scratch_bytes = Working(), max(whole_vectors(step.scratch) for step in steps)
        at, begin = memory.address(words), 0
        for i, step in enumerate(steps):
            self._table[i, :4] = step.address, at, step.tasks, step.kernel.flushes
            at += len(step.record)
        for chain in chains:
            self._table[begin, 4:6] = chain[0].blocks, len(chain)
            begin += len(chain)

    def move(self, moves: list[list["Move"]]) -> None:
        """Put blocks of some arrays into the scratch memory of each thread, behind the scratch memory of kernels."""
        steps, start = self.steps, self._scratch_bytes
        room = max((move.place + move.block for of_step in moves for move in of_step), default=0)
        copy = start + whole_vectors(room)
        self._scratch_bytes = copy + whole_vectors(max(len(step.record) for step in steps))
        self._moves = []
        for step, found in zip(steps, moves, strict=True):
            places = [number for move in found for number in (move.word, start + move.place, move.block)]
            self._moves.append(np.array([len(found), len(step.record) // WORD, copy, *places]))
        for row, found, table in zip(self._table, moves, self._moves, strict=True):
            row[6] = memory.address(table) if found else 0

    @property
    def steps(self) -> list[Step]:
        """All steps, in order."""
        return [step for chain in self.chains for step in chain]

    def __call__(self) -> bool:
        """Run the steps; returns whether one of them stopped the program."""
        threads = 1 if self.alone else get_num_threads()
        return run_steps(self._table, self._kernels, self._working, threads, self._scratch_bytes)


def launches(
    chains: list[list[Step]], words: np.ndarray, within: list[list[Move]]
) -> tuple[list[Callable[[], Any]], Callable[[], Any]]:
    """Functions that run the steps of a program one by one, and one that runs all; ``words`` holds the records."""
    alone: list[Callable[[], Any]] = []
    at = 0
    for step in (step for chain in chains for step in chain):
        alone.append(Launch([[step]], words[at:]))
        at += len(step.record) // WORD
    together = Launch(chains, words)
    together.move(within)
    return alone, together


def records(steps: Iterable[Step]) -> np.ndarray:
    """The records of all steps, as one array of words."""
    return np.array([word for step in steps for word in memoryview(step.record).cast("q")], np.int64)
