"""How the "numba" backend convolves: by the faster way, or always as it is defined."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fastcnn import _validate

VARIABLE = "FASTCNN_CONVOLUTION"
WAYS = "auto", "direct"

_process_wide: str | None = None
_context: ContextVar[str | None] = ContextVar("fastcnn_convolution", default=None)


def set_convolution(name: str) -> None:
    """Choose how this process convolves in the "numba" backend, unless `use_convolution` says otherwise.

    Parameters
    ----------
    name : {"auto", "direct"}
        With "auto" 3x3 filters that move by one, from at least 16 channels to at least 16, in float32, are computed by
        Winograd's algorithm: a quarter of the products, and errors about twice as large. An output then has the
        rounding of the largest pixel that its tile sees, up to five pixels away: one of 1e6 costs its neighbours these
        digits.
        With "direct" every output is the sum that defines it.

    Raises
    ------
    ValueError
        If it is neither.

    References
    ----------
    A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
    """
    global _process_wide
    _process_wide = _validate.choice("name", name, WAYS)


def get_convolution() -> str:
    """How convolutions are computed now: "auto" or "direct".

    The first that is set of: the innermost `use_convolution`, `set_convolution`, the environment variable
    ``FASTCNN_CONVOLUTION``, and "auto".

    Returns
    -------
    str
    """
    chosen = _context.get() or _process_wide
    if chosen is None:
        chosen = _validate.choice(f"the environment variable {VARIABLE}", os.environ.get(VARIABLE, WAYS[0]), WAYS)
    return chosen


@contextmanager
def use_convolution(name: str) -> Iterator[None]:
    """Choose as `set_convolution` does within a ``with`` block, for this thread (or asyncio task) only.

    Parameters
    ----------
    name : {"auto", "direct"}

    Examples
    --------
    >>> import fastcnn
    >>> with fastcnn.use_convolution("direct"):
    ...     fastcnn.get_convolution()
    'direct'
    """
    token = _context.set(_validate.choice("name", name, WAYS))
    try:
        yield
    finally:
        _context.reset(token)
