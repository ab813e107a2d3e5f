"""The folder of compiled kernels: survived when it is stale, broken or read-only, and announced when it lacks a kernel.

Numba chooses the folder: ``NUMBA_CACHE_DIR``, or ``__pycache__`` beside a kernel's source, or the user's cache.
"""

import functools
import hashlib
import sys
import warnings
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache

_PACKAGE = __name__.rpartition(".")[0]


def attach(dispatcher) -> None:
    """Give a kernel its place in the folder, or none if no folder can be written."""
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
    except RuntimeError:
        dispatcher._cache = _NoCache()


def folder() -> str | None:
    """Where compiled kernels are kept; None where no folder can be written."""
    try:
        return _Cache(folder).cache_path  # all functions of this package have the same
    except RuntimeError:
        return None


class _Cache(FunctionCache):
    """Numba's cache of one kernel.

    By itself it raises errors for broken files, and does not see when a kernel calls what has changed in another file.
    """

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, _stamp(function.__module__))

    def load_overload(self, sig, target_context):
        note_kernel()
        try:
            code = super().load_overload(sig, target_context)
        except Exception:  # whatever rubbish may raise
            _warn(f"compiled kernels in {self.cache_path} cannot be read and are compiled again")
            code = None
            self._keep(self.flush)
        if code is None:
            _announce(f"kept in {self.cache_path} for the next time")
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
        note_kernel()
        _warn(
            "compiled kernels cannot be kept, so that every process compiles them: no folder can be written; "
            "set the environment variable NUMBA_CACHE_DIR to one that can"
        )
        _announce("not kept for the next time")


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


kernels = 0
"""How many were compiled, or read from the cache, in this process."""


def note_kernel() -> None:
    """One more is about to be."""
    global kernels
    kernels += 1


_said: set[str] = set()


def _warn(what: str, why: str = "") -> None:
    """Say it once, with the first reason."""
    if what not in _said:
        _said.add(what)
        warnings.warn(f"fastcnn: {what}{why}.", RuntimeWarning, stacklevel=2)


def _announce(where: str) -> None:
    """Say once, before the first kernel is compiled, why that call takes long."""
    if "compiling" not in _said:
        _said.add("compiling")
        text = f"fastcnn: compiling kernels for this processor, some seconds each; {where}."
        print(text, file=sys.stderr, flush=True)
