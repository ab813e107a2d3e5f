"""A program as a table, with the time of each step."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.launches import launches
from fastcnn.backends.numba_direct.runtime.step import Step

_REPEATS, _LEAST, _SECONDS = 30, 3, 3.0  # runs of each step; fewer, down to 3, if they take longer than 3 s
PYTHON = "(Python)"
_MARKS = {"": "", "first": "/ ", "within": "| ", "last": "\\ "}  # ASCII, as not every terminal can draw lines


class Row(NamedTuple):
    """A row of the table: a step of the program.

    Attributes
    ----------
    kernel : str
        Name of the kernel; `PYTHON` for a Python call between steps.
    tile : str
        Rows and columns of the kernel's tile, such as "4x6"; "" if it has none.
    tasks : int
        Number of tasks.
    bytes : int
        Total size of its arrays, each counted once.
    microseconds : float or None
        Median time of several runs of this step alone, on all threads; None if it was not timed.
    chain : str
        Its position in a chain, "first", "within" or "last"; "" if it is in none.
    """

    kernel: str
    tile: str
    tasks: int
    bytes: int
    microseconds: float | None = None
    chain: str = ""


@dataclass(frozen=True)
class Listing:
    """The steps of a program. Its ``str`` is the table, with slashes and bars beside the steps of a chain.

    Attributes
    ----------
    rows : list of Row
    together : float or None
        Microseconds of all steps in one launch; None if they were not timed.
    """

    rows: list[Row]
    together: float | None = None

    @property
    def microseconds(self) -> float:
        """Sum of the times of the steps."""
        return sum(row.microseconds or 0.0 for row in self.rows)

    def __str__(self) -> str:
        timed = self.together is not None
        table = [("", "kernel", "tile", "tasks", "kB", "microseconds", "share")]
        for number, row in enumerate(self.rows, 1):
            sizes = ("", "") if row.kernel == PYTHON else (f"{row.tasks:,}", _kilobytes(row.bytes))
            table.append(
                (str(number), _MARKS[row.chain] + row.kernel, row.tile, *sizes, *self._times(row.microseconds))
            )
        steps = f"{len(self.rows)} step{'s' * (len(self.rows) != 1)}"
        ends = [("", steps, "", "", _kilobytes(sum(row.bytes for row in self.rows)), *self._times(self.microseconds))]
        if timed:
            ends.append(("", "in one launch", "", "", "", *self._times(self.together)))
        columns = 7 if timed else 5
        widths = [max(map(len, column)) for column in zip(*table, *ends, strict=True)][:columns]
        lines = [_aligned(line, widths) for line in (*table, *ends)]
        rule = "-" * max(map(len, lines))
        return "\n".join((lines[0], rule, *lines[1 : len(table)], rule, *lines[len(table) :]))

    def _times(self, microseconds: float | None) -> tuple[str, str]:
        if microseconds is None or self.together is None:
            return "", ""
        return f"{microseconds:,.1f}", f"{microseconds / self.microseconds:.1%}" if self.microseconds else ""


def listing(parts: Sequence[list[Step] | Callable[[], None]]) -> Listing:
    """The table of chains of steps and of Python calls between them."""
    return Listing([row for part in parts for row in _rows(part)])


def times(parts: Sequence[list[Step] | Callable[[], None]], words: np.ndarray, within) -> Listing:
    """The same table with times: each step is run repeatedly, alone and in one launch with all others.

    Python calls between steps are neither run nor timed.
    """
    chains = [part for part in parts if isinstance(part, list)]
    if not chains:
        return listing(parts)
    alone, together = launches(chains, words, within)
    for launch in alone:
        launch()  # warm-up; afterwards the arrays hold the steps' usual inputs
    seconds: list[list[float]] = []
    end = time.perf_counter() + _SECONDS
    while len(seconds) < _LEAST or (len(seconds) < _REPEATS and time.perf_counter() < end):
        seconds.append([*map(_seconds, alone), _seconds(together)])
    *medians, whole = (1e6 * np.median(seconds, axis=0)).tolist()
    left = iter(medians)
    return Listing([row for part in parts for row in _rows(part, left)], whole)


def _seconds(launch: Callable[[], None]) -> float:
    start = time.perf_counter()
    launch()
    return time.perf_counter() - start


def _rows(part: list[Step] | Callable[[], None], microseconds: Iterator[float] | None = None) -> Iterator[Row]:
    if not isinstance(part, list):
        yield Row(PYTHON, "", 0, 0)
        return
    for number, step in enumerate(part):
        given = step.arguments
        rows, columns = (len(given.get(name, (0,))) for name in ("rows", "columns"))
        tile = f"{rows}x{columns}" if "columns" in given else ""
        place = "" if len(part) == 1 else "first" if number == 0 else "last" if number == len(part) - 1 else "within"
        taken = None if microseconds is None else next(microseconds)
        yield Row(step.kernel.name.strip("_").replace("_", " "), tile, step.tasks, _bytes(step), taken, place)


def _bytes(step: Step) -> int:
    """Total size of a step's arrays."""
    return sum({memory.address(array): array.nbytes for _, _, array in step.arrays()}.values())


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """A line of as many columns as there are widths; the kernel is left-aligned, all else right-aligned."""
    number, kernel, *rest = line[: len(widths)]
    cells = number.rjust(widths[0]), kernel.ljust(widths[1]), *map(str.rjust, rest, widths[2:])
    return "  ".join(cells).rstrip()


def _kilobytes(size: int) -> str:
    return f"{size / 1000:,.1f}"
