"""The cache folder of compiled kernels. It may be stale, damaged or read-only; compiling a kernel is announced.

Numba chooses the folder: in ``NUMBA_CACHE_DIR``, else ``__pycache__`` beside this file, else in the user's cache.
"""

import atexit
import functools
import hashlib
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, NullCache

_PACKAGE = __name__.rpartition(".runtime")[0]


def attach(dispatcher) -> None:
    """Cache a kernel in the folder, if there is a writable one, and count the time to compile or load it."""
    dispatcher.compile = _timed(dispatcher.compile)
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
    except RuntimeError:
        dispatcher._cache = _NoCache()


def folder() -> str | None:
    """The cache folder; None if no folder is writable."""
    try:
        return _Cache(folder).cache_path
    except RuntimeError:
        return None


class _Place(CompileResultCacheImpl):
    """Where Numba caches one kernel: all kernels share one folder and are named after their modules."""

    def __init__(self, function):
        super().__init__(folder)
        self._lineno = function.__code__.co_firstlineno
        name = f"{function.__module__.removeprefix(_PACKAGE + '.')}.{function.__qualname__}"
        name += ".checked" if config.BOUNDSCHECK else ""  # Numba itself does not tell them apart
        self._filename_base = self.get_filename_base(name, getattr(sys, "abiflags", ""))


class _Cache(FunctionCache):
    """Numba's cache of one kernel, for damaged files and changed sources too.

    Numba itself raises errors for damaged files, and does not notice when a function in another file, which the kernel
    calls, has changed.
    """

    _impl_class = _Place

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, _stamp(function.__module__))

    def load_overload(self, sig, target_context):
        try:
            code = super().load_overload(sig, target_context)
        except Exception:  # a damaged file may raise anything
            _warn(f"compiled kernels in {self.cache_path} cannot be read and are compiled again")
            code = None
            self._keep(self.flush)
        if code is None:
            _begin(f"kept in {self.cache_path} for later runs")
        return code

    def save_overload(self, sig, data):
        self._keep(super().save_overload, sig, data)

    def _keep(self, write, *args):
        try:
            write(*args)
        except OSError as error:
            _warn(f"compiled kernels cannot be kept in {self.cache_path}", f": {error.strerror}")


class _Files(IndexDataCacheFile):
    """An index, and files of compiled code, each of which records what it was compiled from.

    Numba numbers the files of a kernel and trusts its index. Two processes that compile a kernel for two dtypes at the
    same time may both take number 1. A process that is killed between writing index and code leaves the code of another
    version there. Either way, Numba would call code that was compiled for other arguments (numba/numba#10128).
    """

    def save(self, key, data):
        super().save(key, (self._source_stamp, key, data))

    def load(self, key):
        stamp, stored, data = super().load(key) or (None, None, None)
        return data if (stamp, stored) == (self._source_stamp, key) else None


class _NoCache(NullCache):
    def load_overload(self, sig, target_context):
        _warn(
            "compiled kernels cannot be kept, so every process compiles them again: no cache folder is writable; "
            "set the environment variable NUMBA_CACHE_DIR to a writable folder"
        )
        _begin("not kept for later runs")


@functools.cache
def _stamp(module: str) -> str:
    """Hash of the sources that kernels of a module may depend on: its own, and those it imports from this backend."""
    modules, found = {module}, [module]
    while found:
        values = vars(sys.modules[found.pop()]).values()
        names = {str(getattr(value, "__module__", None) or getattr(value, "__name__", "")) for value in values}
        new = {name for name in names if name.startswith(_PACKAGE)} - modules
        modules |= new
        found += new
    sources = hashlib.sha256()
    for name in sorted(modules):
        source: Any = sys.modules[name]
        sources.update(source.__loader__.get_data(source.__file__))
    return sources.hexdigest()


class Compiled(NamedTuple):
    """What a thread has compiled and loaded so far.

    Attributes
    ----------
    kernels : int
        Number of kernels that it compiled.
    seconds : float
        Time that it spent compiling them.
    reading : float
        Seconds that it spent loading other kernels from the cache.
    """

    kernels: int
    seconds: float
    reading: float


class _Thread(threading.local):
    done = Compiled(0, 0.0, 0.0)
    tell: Callable[[], None] | None = None


_thread = _Thread()


def compiled() -> Compiled:
    """What this thread has compiled and loaded so far."""
    return _thread.done


@contextmanager
def telling(tell: Callable[[], None]) -> Iterator[None]:
    """Inside this block, call a function before this thread compiles a kernel, which `compiled` already counts."""
    before, _thread.tell = _thread.tell, tell
    try:
        yield
    finally:
        _thread.tell = before


def _timed(compile: Callable) -> Callable:
    """Wrap a dispatcher's ``compile`` to count its time."""

    @functools.wraps(compile)
    def timed(signature):
        before, start = _thread.done, time.perf_counter()
        try:
            return compile(signature)
        finally:
            done, spent = _thread.done, time.perf_counter() - start
            field = "reading" if done.kernels == before.kernels else "seconds"
            if field == "seconds":
                _unreported.append((0, spent))
            _thread.done = done._replace(**{field: getattr(done, field) + spent})

    return timed


_said: set[str] = set()
_unreported: list[tuple[int, float]] = []  # kernels and seconds of all threads that no message has reported yet


def reported() -> None:
    """Leave what was compiled so far out of the line at exit, because another message has reported it."""
    _unreported.clear()


@atexit.register
def _end() -> None:
    """At exit, say how many kernels were compiled since the last report, and how long that took."""
    kernels, seconds = map(sum, zip((0, 0.0), *_unreported, strict=True))
    if kernels and sys.stderr:
        with suppress(OSError, ValueError):  # stderr may be closed
            text = f"fastcnn: compiled {kernels} kernel{'s' * (kernels > 1)} in {seconds:.1f} s."
            print(text, file=sys.stderr, flush=True)


def _warn(what: str, why: str = "") -> None:
    """Warn once per message, with the first reason."""
    if what not in _said:
        _said.add(what)
        warnings.warn(f"fastcnn: {what}{why}.", RuntimeWarning, stacklevel=2)


def _begin(where: str) -> None:
    """Count a kernel that is about to be compiled; before the first one, print why the call takes long."""
    _thread.done = _thread.done._replace(kernels=_thread.done.kernels + 1)
    _unreported.append((1, 0.0))
    if "compiling" not in _said:
        _said.add("compiling")
        text = f"fastcnn: compiling kernels for this processor, about half a second each; {where}."
        print(text, file=sys.stderr, flush=True)
    if _thread.tell:
        _thread.tell()
