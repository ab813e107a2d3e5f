"""Batches that threads make ahead of the one in use."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 2  # batches that each thread may be ahead by, as PyTorch's prefetch_factor

Made = TypeVar("Made")


def in_order(make: Callable[[int], Made], numbers: Iterable[int], workers: int) -> Generator[Made, None, None]:
    """``make(i)`` for each of the numbers, in their order, by so many threads; without any, when it is asked for.

    What ``make`` raises is raised when its turn comes. However the iteration ends, at its end, by an exception or by
    being closed, its threads have ended then.
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
