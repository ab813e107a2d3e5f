"""The folder of compiled kernels: survived when it is stale, broken or read-only, and announced when it lacks a kernel.

Numba chooses the folder: in ``NUMBA_CACHE_DIR``, or ``__pycache__`` beside this file, or in the user's cache.
"""

import functools
import hashlib
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, NullCache

_PACKAGE = __name__.rpartition(".runtime")[0]


def attach(dispatcher) -> None:
    """Give a kernel its place in the folder, or none if no folder can be written; and count the time it takes."""
    dispatcher.compile = _timed(dispatcher.compile)
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
    except RuntimeError:
        dispatcher._cache = _NoCache()


def folder() -> str | None:
    """Where compiled kernels are kept; None where no folder can be written."""
    try:
        return _Cache(folder).cache_path
    except RuntimeError:
        return None


class _Place(CompileResultCacheImpl):
    """Where Numba keeps one kernel: all in one folder, wherever their sources are, by the names of their modules."""

    def __init__(self, function):
        super().__init__(folder)
        self._lineno = function.__code__.co_firstlineno
        name = f"{function.__module__.removeprefix(_PACKAGE + '.')}.{function.__qualname__}"
        name += ".checked" if config.BOUNDSCHECK else ""  # Numba itself would take one for the other
        self._filename_base = self.get_filename_base(name, getattr(sys, "abiflags", ""))


class _Cache(FunctionCache):
    """Numba's cache of one kernel.

    By itself it raises errors for broken files, and does not see when a kernel calls what has changed in another file.
    """

    _impl_class = _Place

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, _stamp(function.__module__))

    def load_overload(self, sig, target_context):
        try:
            code = super().load_overload(sig, target_context)
        except Exception:  # whatever rubbish may raise
            _warn(f"compiled kernels in {self.cache_path} cannot be read and are compiled again")
            code = None
            self._keep(self.flush)
        if code is None:
            _begin(f"kept in {self.cache_path} for the next time")
        return code

    def save_overload(self, sig, data):
        self._keep(super().save_overload, sig, data)

    def _keep(self, write, *args):
        try:
            write(*args)
        except OSError as error:
            _warn(f"compiled kernels cannot be kept in {self.cache_path}", f": {error.strerror}")


class _Files(IndexDataCacheFile):
    """An index, and files of compiled code in which it stands what they were compiled from.

    Numba numbers the files of a kernel and believes its index. Two processes that compile it at once for two dtypes may
    both take number 1, and one that is killed between index and code leaves another version's there: what was called
    then is not what the arguments were made for (numba/numba#10128).
    """

    def save(self, key, data):
        super().save(key, (self._source_stamp, key, data))

    def load(self, key):
        stamp, stored, data = super().load(key) or (None, None, None)
        return data if (stamp, stored) == (self._source_stamp, key) else None


class _NoCache(NullCache):
    def load_overload(self, sig, target_context):
        _warn(
            "compiled kernels cannot be kept, so that every process compiles them: no folder can be written; "
            "set the environment variable NUMBA_CACHE_DIR to one that can"
        )
        _begin("not kept for the next time")


@functools.cache
def _stamp(module: str) -> str:
    """Hash of the sources that a kernel of a module may be made of: its own, and what is imported there."""
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
    """What a thread did until its kernels were ready.

    Attributes
    ----------
    kernels : int
        How many it compiled.
    seconds : float
        That this took.
    reading : float
        Seconds for others, which were in the folder.
    """

    kernels: int
    seconds: float
    reading: float


class _Thread(threading.local):
    done = Compiled(0, 0.0, 0.0)
    busy = False
    tell: Callable[[], None] | None = None


_thread = _Thread()


def compiled() -> Compiled:
    """What this thread did so far."""
    return _thread.done


@contextmanager
def telling(tell: Callable[[], None]) -> Iterator[None]:
    """Within this block, call a function before this thread compiles a kernel, which `compiled` counts already."""
    before, _thread.tell = _thread.tell, tell
    try:
        yield
    finally:
        _thread.tell = before


def _timed(compile: Callable) -> Callable:
    """A dispatcher's ``compile``, whose time is counted; that of a kernel inside another one with the other's."""

    @functools.wraps(compile)
    def timed(signature):
        if _thread.busy:
            return compile(signature)
        before, start, _thread.busy = _thread.done, time.perf_counter(), True
        try:
            return compile(signature)
        finally:
            done, spent, _thread.busy = _thread.done, time.perf_counter() - start, False
            field = "reading" if done.kernels == before.kernels else "seconds"
            _thread.done = done._replace(**{field: getattr(done, field) + spent})

    return timed


_said: set[str] = set()


def _warn(what: str, why: str = "") -> None:
    """Say it once, with the first reason."""
    if what not in _said:
        _said.add(what)
        warnings.warn(f"fastcnn: {what}{why}.", RuntimeWarning, stacklevel=2)


def _begin(where: str) -> None:
    """Count a kernel that is about to be compiled, and say once, before the first, why that call takes long."""
    _thread.done = _thread.done._replace(kernels=_thread.done.kernels + 1)
    if "compiling" not in _said:
        _said.add("compiling")
        text = f"fastcnn: compiling kernels for this processor, some seconds each; {where}."
        print(text, file=sys.stderr, flush=True)
    if _thread.tell:
        _thread.tell()
