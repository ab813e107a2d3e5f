"""Preparing batches ahead in threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 2  # batches that each thread prepares ahead, like PyTorch's prefetch_factor

Made = TypeVar("Made")


def in_order(make: Callable[[int], Made], numbers: Iterable[int], workers: int) -> Generator[Made, None, None]:
    """Yield ``make(i)`` for each number, in order, computed ahead by ``workers`` threads, or on demand if that is 0.

    An exception of ``make`` is raised at its position in the order. Whether the iteration is exhausted, raises or is
    closed, its threads have ended afterwards.
    """
    if not workers:
        yield from map(make, numbers)
        return
    with ThreadPoolExecutor(workers, "fastcnn data loader") as threads:
        waiting: deque[Future[Made]] = deque()
        try:
            for i in numbers:
                waiting.append(threads.submit(make, i))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
