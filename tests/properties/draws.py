"""Hypothesis strategies: arrays of every magnitude and memory order, batch sizes around the vector length, windows.

Shapes are small, because naive loops over all numbers, and the few numbers of channels and filters use tiles that the
tables of cases have compiled already. An array is drawn as a few parameters, which a failure reports.
"""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from fastcnn.testing import AdaptivePoolCase, ConvCase, ConvTransposeCase, PoolCase
from tests.profile import FULL

FAST = ("numpy", "numba")  # the backends that are compared with naive
ODD = np.nan, np.inf, -np.inf, 0.0, -0.0

CHANNELS = (1, 2, 3), (1, 1, 2), (1, 3, 1), (2, 2, 4), (2, 4, 2), (3, 3, 3)  # groups, channels, filters

dtypes = st.sampled_from([np.float32, np.float64])


class Numbers(NamedTuple):
    """Parameters of an array: numbers around ``10**exponent``, times up to 10 ** ±spread, in a memory order."""

    exponent: int
    spread: int
    odd: str
    order: str
    seed: int

    def array(self, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Make the C-contiguous array; `laid_out` returns the same numbers in another memory order."""
        rng = np.random.default_rng(self.seed)
        values = rng.standard_normal(shape)
        powers = np.clip(self.exponent + rng.uniform(-1, 1, shape) * self.spread, -40, 30)
        values = values * 10.0**powers
        if self.odd == "whole":  # exact sums and many ties
            values = rng.integers(-2, 3, shape).astype(float)
        elif self.odd != "none":
            chosen = rng.random(shape) < 0.1
            odd = {"NaN": ODD[:1], "inf": ODD[1:2], "both infs": ODD[1:3], "all": ODD}[self.odd]
            values = np.where(chosen, rng.choice(odd, shape), values)
        return values.astype(dtype)

    def laid_out(self, array: np.ndarray) -> np.ndarray:
        """Copy an array to this memory order."""
        if self.order == "Fortran":
            return np.asfortranarray(array)
        if self.order == "every second":
            return np.repeat(array, 2, axis=-1)[..., ::2]
        if self.order == "backwards":
            return np.flip(np.flip(array).copy())
        copy = array.copy()
        copy.flags.writeable = self.order != "read-only"
        return copy


def numbers(lowest: int = -40, highest: int = 30, odd: bool = True) -> st.SearchStrategy[Numbers]:
    """Draw arrays with magnitudes between two powers of ten; with ``odd``, also NaN, infinities and small integers."""
    return st.builds(
        Numbers,
        st.one_of(st.just(0), st.integers(lowest, highest)),
        st.sampled_from([0, 0, 3, 70]) if (lowest, highest) == (-40, 30) else st.sampled_from([0, 1]),
        st.sampled_from(["none"] * 5 + ["whole", "NaN", "inf", "both infs", "all"] if odd else ["none"]),
        st.sampled_from(["C", "C", "Fortran", "every second", "backwards", "read-only"]),
        st.integers(0, 2**32 - 1),
    )


def lanes(dtype) -> int:
    """Return the number of images in a vector of the numba backend."""
    from fastcnn.backends.numba_direct.runtime import processor

    return processor.lanes(dtype)


@st.composite
def batches(draw, dtype) -> int:
    """Draw a batch size around multiples of the vector length."""
    L = lanes(dtype)
    return draw(st.sampled_from([1, 2, L - 1, L, L + 1, 2 * L + 1]))


pairs = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))
sides = st.integers(0, 2)
paddings = st.one_of(
    sides, st.tuples(sides, sides), st.tuples(sides, sides, sides, sides), st.sampled_from(["same", "valid"])
)


def _images(draw, N: int, channels: int) -> tuple[int, int, int, int]:
    """Draw a shape of images."""
    extents = st.integers(1, 7 if N <= 2 else 5)
    return N, channels, draw(extents), draw(extents)


def _possible(case):
    """Whether the windows of a case are valid; errors of invalid ones are tested elsewhere."""
    try:
        case.windows  # noqa: B018
    except ValueError:
        return False
    return True


@st.composite
def conv_cases(draw, dtype) -> ConvCase:
    """Draw convolutions, some of them grouped or depthwise."""
    groups, channels, filters = draw(st.sampled_from(CHANNELS))
    x = _images(draw, draw(batches(dtype)), channels)
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    options = draw(pairs), draw(paddings), draw(st.one_of(st.just(1), pairs)), groups, draw(st.booleans())
    return ConvCase("drawn", x, (filters, channels // groups, *kernel), *options)


@st.composite
def conv_transpose_cases(draw, dtype) -> ConvTransposeCase:
    """Draw transposed convolutions."""
    groups, channels, filters = draw(st.sampled_from(CHANNELS))
    N = draw(batches(dtype))
    extents = st.integers(1, 4 if N <= 2 else 3)
    x = N, channels, draw(extents), draw(extents)
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding, extra = (draw(st.one_of(sides, st.tuples(sides, sides))) for _ in range(2))
    options = draw(pairs), padding, extra, groups, draw(st.one_of(st.just(1), pairs)), draw(st.booleans())
    return ConvTransposeCase("drawn", x, (channels, filters // groups, *kernel), *options)


@st.composite
def pool_cases(draw, dtype) -> PoolCase:
    """Draw poolings; average-pooling uses those without dilation."""
    x = _images(draw, draw(batches(dtype)), draw(st.integers(1, 2)))
    dilation = draw(st.one_of(st.just(1), pairs))
    return PoolCase("drawn", x, draw(pairs), draw(st.one_of(st.none(), pairs)), draw(paddings), dilation,
                    draw(st.booleans()))  # fmt: skip


@st.composite
def adaptive_cases(draw, dtype) -> AdaptivePoolCase:
    """Draw adaptive poolings."""
    size = st.integers(1, 6)
    x = _images(draw, draw(batches(dtype)), draw(st.integers(1, 2)))
    side = st.one_of(st.none(), size)
    return AdaptivePoolCase("drawn", x, draw(st.one_of(size, st.tuples(side, side))))


@st.composite
def of_some_dtype(draw, cases):
    """Draw a dtype and a case with valid windows."""
    dtype = draw(dtypes if FULL else st.just(np.float32))  # see tests/conftest.py for the reason
    return dtype, draw(cases(dtype).filter(_possible))
