"""What hypothesis draws: arrays of every magnitude and memory order, batches around a vector's lanes, windows.

Shapes are small, since naive goes over them number by number, and few channels and filters keep to the tiles that the
tables of cases have compiled already. An array is drawn as the few facts that make it, which is what a failure shows.
"""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from fastcnn.testing import AdaptivePoolCase, ConvCase, ConvTransposeCase, PoolCase
from tests.profile import FULL

FAST = ("numpy", "numba")  # the backends that are held against naive
ODD = np.nan, np.inf, -np.inf, 0.0, -0.0

CHANNELS = (1, 2, 3), (1, 1, 2), (1, 3, 1), (2, 2, 4), (2, 4, 2), (3, 3, 3)  # groups, channels, filters

dtypes = st.sampled_from([np.float32, np.float64])


class Numbers(NamedTuple):
    """An array to be: numbers around ``10**exponent``, or up to 10 ** ±spread of that; where they lie in memory."""

    exponent: int
    spread: int
    odd: str
    order: str
    seed: int

    def array(self, shape: tuple[int, ...], dtype) -> np.ndarray:
        """C-contiguous; `laid_out` has the same numbers elsewhere in memory."""
        rng = np.random.default_rng(self.seed)
        values = rng.standard_normal(shape)
        powers = np.clip(self.exponent + rng.uniform(-1, 1, shape) * self.spread, -40, 30)
        values = values * 10.0**powers
        if self.odd == "whole":  # sums are exact, values are alike
            values = rng.integers(-2, 3, shape).astype(float)
        elif self.odd != "none":
            chosen = rng.random(shape) < 0.1
            odd = {"NaN": ODD[:1], "inf": ODD[1:2], "both infs": ODD[1:3], "all": ODD}[self.odd]
            values = np.where(chosen, rng.choice(odd, shape), values)
        return values.astype(dtype)

    def laid_out(self, array: np.ndarray) -> np.ndarray:
        """The numbers of ``array`` in this memory order."""
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
    """Numbers of magnitudes between two powers of ten; ``odd`` ones may be among them."""
    return st.builds(
        Numbers,
        st.one_of(st.just(0), st.integers(lowest, highest)),
        st.sampled_from([0, 0, 3, 70]) if (lowest, highest) == (-40, 30) else st.sampled_from([0, 1]),
        st.sampled_from(["none"] * 5 + ["whole", "NaN", "inf", "both infs", "all"] if odd else ["none"]),
        st.sampled_from(["C", "C", "Fortran", "every second", "backwards", "read-only"]),
        st.integers(0, 2**32 - 1),
    )


def lanes(dtype) -> int:
    """Images in a vector of the numba backend."""
    from fastcnn.backends.numba_direct.runtime import processor

    return processor.lanes(dtype)


@st.composite
def batches(draw, dtype) -> int:
    """How many images: one, a vector of them but for one, and so on."""
    L = lanes(dtype)
    return draw(st.sampled_from([1, 2, L - 1, L, L + 1, 2 * L + 1]))


pairs = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))
sides = st.integers(0, 2)
paddings = st.one_of(
    sides, st.tuples(sides, sides), st.tuples(sides, sides, sides, sides), st.sampled_from(["same", "valid"])
)


def _images(draw, N: int, channels: int) -> tuple[int, int, int, int]:
    extents = st.integers(1, 7 if N <= 2 else 5)
    return N, channels, draw(extents), draw(extents)


def _possible(case):
    """Whether the windows exist; the sentences of those that do not are tested elsewhere."""
    try:
        case.windows  # noqa: B018
    except ValueError:
        return False
    return True


@st.composite
def conv_cases(draw, dtype) -> ConvCase:
    """Convolutions, some of them grouped or depthwise."""
    groups, channels, filters = draw(st.sampled_from(CHANNELS))
    x = _images(draw, draw(batches(dtype)), channels)
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    options = draw(pairs), draw(paddings), draw(st.one_of(st.just(1), pairs)), groups, draw(st.booleans())
    return ConvCase("drawn", x, (filters, channels // groups, *kernel), *options)


@st.composite
def conv_transpose_cases(draw, dtype) -> ConvTransposeCase:
    """Transposed convolutions."""
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
    """Poolings; average-pooling has those without dilation."""
    x = _images(draw, draw(batches(dtype)), draw(st.integers(1, 2)))
    dilation = draw(st.one_of(st.just(1), pairs))
    return PoolCase("drawn", x, draw(pairs), draw(st.one_of(st.none(), pairs)), draw(paddings), dilation,
                    draw(st.booleans()))  # fmt: skip


@st.composite
def adaptive_cases(draw, dtype) -> AdaptivePoolCase:
    """Poolings to a given size."""
    size = st.integers(1, 6)
    x = _images(draw, draw(batches(dtype)), draw(st.integers(1, 2)))
    side = st.one_of(st.none(), size)
    return AdaptivePoolCase("drawn", x, draw(st.one_of(size, st.tuples(side, side))))


@st.composite
def of_some_dtype(draw, cases):
    """A dtype, and a case of it whose windows exist."""
    dtype = draw(dtypes if FULL else st.just(np.float32))  # as tests/conftest.py says why
    return dtype, draw(cases(dtype).filter(_possible))
