"""The time that kernels take to compile: no time of training, shown while it goes by, and said once it is over."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastcnn import backends
from fastcnn.training.bar import tqdm


class Compiling:
    """What the current backend compiles in this thread from now on; nothing, but for "numba"."""

    def __init__(self) -> None:
        backend = backends.load()
        self._backend: Any = backend if hasattr(backend, "compiled") else None
        self._said: Any = self._backend and self._backend.compiled()

    def clock(self) -> float:
        """Seconds from some moment on, without those in which this thread waited for its kernels."""
        now = time.perf_counter()
        if self._backend:
            done = self._backend.compiled()
            now -= done.seconds + done.reading
        return now

    @contextmanager
    def shown(self, bar: tqdm) -> Iterator[None]:
        """Within this, a progress bar shows that a kernel is being compiled."""
        if not self._backend:
            yield
            return
        with self._backend.telling(lambda: bar.set_postfix_str(f"compiling kernel {self._new()[0]}")):
            yield

    def say(self) -> None:
        """Print on stderr what was compiled since the last time, if anything was."""
        if not self._backend:
            return
        kernels, seconds = self._new()
        self._said = self._backend.compiled()
        if kernels and sys.stderr:
            tqdm.write(f"fastcnn: compiled {kernels} kernel{'s' * (kernels > 1)} in {seconds:.1f} s.", file=sys.stderr)

    def _new(self) -> tuple[int, float]:
        """Kernels since the last time, and the seconds that they took."""
        now, before = self._backend.compiled(), self._said
        return now.kernels - before.kernels, now.seconds - before.seconds
