"""Run Python threads concurrently."""

import threading
from collections.abc import Callable, Iterable


def in_threads(work: Callable, arguments: Iterable) -> None:
    """Call ``work`` with each argument in a thread of its own, and wait for all threads."""
    threads = [threading.Thread(target=work, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
