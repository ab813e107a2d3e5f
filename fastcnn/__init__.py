"""Train small convolutional networks fast on CPU threads, with numpy and numba.

The public names follow PyTorch: `fastcnn.functional`, `fastcnn.nn`, `fastcnn.optim`. Submodules are imported on first
use, and numba when the "numba" backend first computes.
"""

import importlib
from typing import TYPE_CHECKING

import fastcnn._gil  # noqa: F401 (before all others, as it may refuse this Python)
from fastcnn import _absent, _strategies
from fastcnn._convolution import get_convolution, set_convolution, use_convolution
from fastcnn._errors import FileError
from fastcnn._threads import get_num_threads, set_num_threads
from fastcnn.backends import get_backend, set_backend, use_backend

__version__ = "0.1.0"

_SUBMODULES = (
    "data",
    "distributed",
    "functional",
    "interop",
    "models",
    "nn",
    "optim",
    "plotting",
    "sklearn",
    "testing",
    "training",
)

__all__ = [
    "FileError",
    "__version__",
    "get_backend",
    "get_convolution",
    "get_num_threads",
    "set_backend",
    "set_convolution",
    "set_num_threads",
    "use_backend",
    "use_convolution",
    *_SUBMODULES,
]


if TYPE_CHECKING:  # type checkers see the submodules, and no __getattr__, which would accept any name
    from fastcnn import (  # noqa: F401
        data,
        distributed,
        functional,
        interop,
        models,
        nn,
        optim,
        plotting,
        sklearn,
        testing,
        training,
    )  # fmt: skip
else:

    def __getattr__(name: str):
        if name in _SUBMODULES:
            return importlib.import_module(f"fastcnn.{name}")
        return _absent.say("fastcnn")(name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _data_parallel(comm):
    """Make the strategy of a `Trainer` from a communicator; see `fastcnn._strategies`."""
    from fastcnn.distributed import DataParallel

    return DataParallel(comm)


_strategies.from_communicator = _data_parallel
