"""Compilation time of kernels: shown while it passes, reported afterwards, and not counted as training time."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastcnn import backends
from fastcnn.training.bar import tqdm


class Compiling:
    """Track what the current backend compiles in this thread from now on; only "numba" compiles anything."""

    def __init__(self) -> None:
        backend = backends.load()
        self._backend: Any = backend if hasattr(backend, "compiled") else None
        self._said: Any = self._backend and self._backend.compiled()

    def clock(self) -> float:
        """Like `time.perf_counter`, without the time in which this thread waited for kernels to compile or load."""
        now = time.perf_counter()
        if self._backend:
            done = self._backend.compiled()
            now -= done.seconds + done.reading
        return now

    @contextmanager
    def shown(self, bar: tqdm) -> Iterator[None]:
        """Show in the progress bar when a kernel is being compiled."""
        if not self._backend:
            yield
            return
        with self._backend.telling(lambda: bar.set_postfix_str(f"compiling kernel {self._new()[0]}")):
            yield

    def say(self) -> None:
        """Print to stderr what was compiled since the last call, if anything was."""
        if not self._backend:
            return
        kernels, seconds = self._new()
        self._said = self._backend.compiled()
        if kernels and sys.stderr:
            tqdm.write(f"fastcnn: compiled {kernels} kernel{'s' * (kernels > 1)} in {seconds:.1f} s.", file=sys.stderr)
            self._backend.reported()

    def _new(self) -> tuple[int, float]:
        """Number of kernels compiled since the last report, and the seconds that they took."""
        now, before = self._backend.compiled(), self._said
        return now.kernels - before.kernels, now.seconds - before.seconds
