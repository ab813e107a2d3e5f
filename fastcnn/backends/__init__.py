"""The backends, and how one is selected.

A backend is a package that implements every operation of "naive" with the same signature, in a file of the same name.
Arguments reach it in canonical form: validated, C-contiguous, of one dtype, with options expanded to a `Windows` value.
Between `pack` and `unpack`, activations are in the backend's own layout. A backend is imported on first use.
`fastcnn.testing.check_backend` tests a backend.
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
from fastcnn._names import did_you_mean

FILES = (
    "layout", "conv", "conv_transpose", "padding", "pooling", "adaptive_pooling", "interpolation", "normalization",
    "group_norm",
    "linear", "activations", "prelu", "residual", "branches", "softmax", "losses", "class_losses", "element_losses",
    "optim", "muon",
)  # fmt: skip
"""Files of a backend package that contain its operations."""

RECORDING = {
    "layout": ("empty", "copy", "repack"),
    "inference": ("prepare", "prepared_size"),
    "runtime.memory": ("Pool",),
    "losses": ("stop_unless_finite",),
    "runtime.program": ("record",),
    "runtime.recorder": ("is_recording", "perform"),
}
"""Optional functions of a backend, by file: recording passes, replaying them without Python, and memory for them.

See `fastcnn.nn.recording` and `fastcnn.nn.inference`.
"""

POSTPONING = {"postponing": ("postponed",)}
"""Optional function of a backend: it lets an optimizer change all parameters or, if an error occurs, none."""

COMPILING = {"runtime.cache": ("compiled", "telling", "reported")}
"""Optional functions of a backend that compiles kernels on demand: the time spent, and messages about it.

See `fastcnn.training.compiling`.
"""

_PACKAGES = {"naive": "naive", "numpy": "numpy_im2col", "numba": "numba_direct"}
_loaded: dict[str, ModuleType] = {}  # packages by backend name
_process_wide: str | None = None
_context: ContextVar[str | None] = ContextVar("fastcnn_backend", default=None)


def names() -> tuple[str, ...]:
    """Names of the backends, from slowest to fastest."""
    return tuple(_PACKAGES)


def set_backend(name: str) -> None:
    """Set the backend for all following calls in this process.

    Parameters
    ----------
    name : {"naive", "numpy", "numba"}

    Raises
    ------
    ValueError
        If `name` is not the name of a backend.
    """
    global _process_wide
    _process_wide = _known(name, "`name`")


def get_backend() -> str:
    """Name of the backend that calls without ``backend=`` currently use.

    It is the backend of the innermost active `use_backend`, else that of `set_backend`, else that of the environment
    variable ``FASTCNN_BACKEND``, else "numba".

    Returns
    -------
    str
    """
    chosen = _context.get() or _process_wide
    return chosen or _known(os.environ.get("FASTCNN_BACKEND", "numba"), "The environment variable FASTCNN_BACKEND")


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Use a backend inside a ``with`` block, in this thread (or asyncio task) only.

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
    """Return a backend's package, prepared for this Python thread; ``None`` means the backend of `get_backend`.

    Every call of an operation, a module or an optimizer calls this once.
    """
    name = get_backend() if name is None else _known(name, "`backend`")
    package = _loaded.get(name)
    if package is None:
        package = _loaded[name] = importlib.import_module(f"{__name__}.{_PACKAGES[name]}")
    _threads.prepare(name)
    return package


@functools.cache
def operations() -> tuple[str, ...]:
    """Names of the operations of a backend."""
    return tuple(itertools.chain(*operations_by_file().values()))


@functools.cache
def operations_by_file() -> dict[str, tuple[str, ...]]:
    """Names of the operations by file: the public functions that "naive" defines there."""
    return {file: _functions(importlib.import_module(f"{__name__}.naive.{file}")) for file in FILES}


def _functions(module: ModuleType) -> tuple[str, ...]:
    """Names of the public functions that a module defines."""
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return tuple(name for name in own if not name.startswith("_"))


def assemble(package: str, *more: Mapping[str, tuple[str, ...]]) -> None:
    """Add the operations in a backend's files, and the functions of ``more``, to the namespace of its package."""
    namespace = vars(sys.modules[package])
    for files in (operations_by_file(), *more):
        for file, names in files.items():
            module = importlib.import_module(f"{package}.{file}")
            namespace.update({name: getattr(module, name) for name in names})
            namespace.setdefault("__all__", []).extend(names)


def _known(name: str, what: str) -> str:
    if not isinstance(name, str) or name not in _PACKAGES:
        known, meant = ", ".join(map(repr, _PACKAGES)), did_you_mean(name, _PACKAGES, repr)
        raise ValueError(f"{what} must be one of {known}, not {name!r}{meant}.")
    return name
