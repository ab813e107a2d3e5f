"""The backends and how one is chosen.

A backend is a package that has every operation of "naive", in a file of the same name, with the same signature. Its
arguments are canonical: checked, C-contiguous, of one dtype, options expanded to a `Windows` value. Between `pack` and
`unpack` the activations are in the backend's own layout. Backends are imported when they are first used.
`fastcnn.testing.check_backend` checks one.
"""

import functools
import importlib
import itertools
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

from fastcnn import _threads

FILES = (
    "layout", "conv", "conv_transpose", "padding", "pooling", "adaptive_pooling", "interpolation", "normalization",
    "group_norm",
    "linear", "activations", "prelu", "residual", "branches", "softmax", "losses", "class_losses", "element_losses",
    "optim",
)  # fmt: skip
"""Those of a backend in which its operations are."""

RECORDING = {
    "layout": ("empty", "copy", "repack"),
    "inference": ("prepare", "prepared_size"),
    "runtime.memory": ("Pool",),
    "losses": ("stop_unless_finite",),
    "runtime.program": ("record",),
    "runtime.recorder": ("is_recording", "perform"),
}
"""What a backend may have besides: passes that are made again without Python in between, and memory for them.

See `fastcnn.nn.recording` and `fastcnn.nn.inference`.
"""

COMPILING = {"runtime.cache": ("compiled", "telling")}
"""What a backend has besides that compiles its kernels when they are needed: how long that took, and notice of it.

See `fastcnn.training.compiling`.
"""

_PACKAGES = {"naive": "naive", "numpy": "numpy_im2col", "numba": "numba_direct"}
_loaded: dict[str, ModuleType] = {}  # packages by the backend's name
_process_wide: str | None = None
_context: ContextVar[str | None] = ContextVar("fastcnn_backend", default=None)


def names() -> tuple[str, ...]:
    """Names of the backends, the slowest first."""
    return tuple(_PACKAGES)


def set_backend(name: str) -> None:
    """Choose the backend of every following call of this process.

    Parameters
    ----------
    name : {"naive", "numpy", "numba"}

    Raises
    ------
    ValueError
        If there is no such backend.
    """
    global _process_wide
    _process_wide = _known(name, "`name`")


def get_backend() -> str:
    """Name of the backend that a call without ``backend=`` uses now.

    The first that is set of: the innermost `use_backend`, `set_backend`, the environment variable
    ``FASTCNN_BACKEND``, and "numba".

    Returns
    -------
    str
    """
    chosen = _context.get() or _process_wide
    return chosen or _known(os.environ.get("FASTCNN_BACKEND", "numba"), "The environment variable FASTCNN_BACKEND")


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Choose the backend within a ``with`` block, for this thread (or asyncio task) only.

    Parameters
    ----------
    name : {"naive", "numpy", "numba"}

    Examples
    --------
    >>> import fastcnn
    >>> with fastcnn.use_backend("naive"):
    ...     fastcnn.get_backend()
    'naive'
    """
    token = _context.set(_known(name, "`name`"))
    try:
        yield
    finally:
        _context.reset(token)


def load(name: str | None = None) -> ModuleType:
    """The backend's package, ready for this Python thread; ``None`` is the one that `get_backend` names.

    Called once in every call of an operation, a module or an optimizer.
    """
    name = get_backend() if name is None else _known(name, "`backend`")
    package = _loaded.get(name)
    if package is None:
        package = _loaded[name] = importlib.import_module(f"{__name__}.{_PACKAGES[name]}")
    _threads.prepare(name)
    return package


@functools.cache
def operations() -> tuple[str, ...]:
    """The names of a backend's operations."""
    return tuple(itertools.chain(*operations_by_file().values()))


@functools.cache
def operations_by_file() -> dict[str, tuple[str, ...]]:
    """The same by the file that has them: all that "naive" has there under a public name."""
    return {file: _functions(importlib.import_module(f"{__name__}.naive.{file}")) for file in FILES}


def _functions(module: ModuleType) -> tuple[str, ...]:
    """Public names of the functions that a file defines."""
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return tuple(name for name in own if not name.startswith("_"))


def assemble(package: str, *more: Mapping[str, tuple[str, ...]]) -> None:
    """Give a backend's package its operations, from its files, and ``more``."""
    namespace = vars(sys.modules[package])
    for files in (operations_by_file(), *more):
        for file, names in files.items():
            module = importlib.import_module(f"{package}.{file}")
            namespace.update({name: getattr(module, name) for name in names})
            namespace.setdefault("__all__", []).extend(names)


def _known(name: str, what: str) -> str:
    if not isinstance(name, str) or name not in _PACKAGES:
        raise ValueError(f"{what} is {name!r}, but the backends are {', '.join(map(repr, _PACKAGES))}.")
    return name
