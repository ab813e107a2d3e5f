"""How the "numba" backend computes convolutions: by the faster algorithm, or always as direct sums."""

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
    """Set how the "numba" backend computes convolutions in this process; `use_convolution` takes precedence.

    Parameters
    ----------
    name : {"auto", "direct"}
        With "auto", Winograd's algorithm computes float32 convolutions with 3x3 filters, stride 1 and at least 16 input
        and 16 output channels. It needs a quarter of the multiplications, and its errors are about twice as large. The
        rounding error of an output depends on the largest pixel of its tile, up to five pixels away: a pixel of 1e6
        costs neighbours of about 1 six digits.
        With "direct", every output is computed as the sum that defines it.

    Raises
    ------
    ValueError
        If `name` is neither.

    References
    ----------
    A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
    """
    global _process_wide
    _process_wide = _validate.choice("name", name, WAYS)


def get_convolution() -> str:
    """Return how the "numba" backend computes convolutions: "auto" or "direct".

    The innermost `use_convolution` takes precedence over `set_convolution`, and that over the environment variable
    ``FASTCNN_CONVOLUTION``. The default is "auto".

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
    """Set how convolutions are computed within a ``with`` block, for this thread (or asyncio task) only.

    Parameters
    ----------
    name : {"auto", "direct"}
        As for `set_convolution`.

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
