"""The "numba" backend: compiled direct convolution and pooling on register tiles, on all CPU threads."""

from typing import TYPE_CHECKING, Any

from fastcnn.backends import COMPILING, POSTPONING, RECORDING, assemble
from fastcnn.backends.numba_direct import _start  # noqa: F401 (first, as all other modules make kernels)

assemble(__name__, RECORDING, POSTPONING, COMPILING)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """An operation."""
