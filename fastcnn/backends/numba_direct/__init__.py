"""The "numba" backend: compiled direct convolution and pooling on register tiles, on all CPU threads."""

from typing import TYPE_CHECKING, Any

from fastcnn.backends import COMPILING, RECORDING, assemble
from fastcnn.backends.numba_direct import _start  # noqa: F401 (first, as all other modules make kernels)

assemble(__name__, RECORDING, COMPILING)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """An operation."""
