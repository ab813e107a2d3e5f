"""The exponential and related functions, written so that LLVM vectorizes them.

``math.exp`` and the like call the C library for one number at a time. On two AVX-512 processors, these functions take
0.3 ns per float32 instead of 1.1 (exp) or 7 (tanh). Where the result is a normal number, `exp` and `expm1` are accurate
to 1.1 units in the last place, `tanh` and `sigmoid` to 2.5 (over all float32: 1.04, 0.89, 2.50 and 2.41), and
`softplus` to 2.6. `normal` states its own accuracy.

Let ``n`` be the integer nearest to ``x / log 2``. Then ``exp(x) = 2^n exp(r)``, and the remainder ``r`` is at most
``log(2) / 2``, so that a few terms of the Taylor series are enough. ``n log 2`` is subtracted in two parts. The first
has so few digits that its product with ``n`` is exact: W. J. Cody and W. Waite, "Software manual for the elementary
functions", Prentice-Hall 1980, chapter 6.
"""

import math
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

_DTYPES = {types.float32: np.float32, types.float64: np.float64}
_LAST_POWER = {np.float32: 7, np.float64: 13}  # of the Taylor series; the next term is below a twentieth of eps
_LAST_SQUARE = {np.float32: 7, np.float64: 16}  # the same for the Taylor series of artanh
# Coefficients, highest power first: of Mills' ratio (float32), and of Mills' ratio times x + 4 (float64); see `_mills`.
_MILLS_FLOAT32 = (
    -3.0944893297983484e-05, 9.533796564136827e-05, 0.00032683587354204695, -0.0007984785741618884,
    -0.002482011389834908, 0.007256054606374987, 0.015373726678989478, -0.11583510160827677,
    0.3088791614932225, -0.517374863388036, 0.30459029871010374,
)  # fmt: skip
_MILLS_FLOAT64 = (
    8.531088105511449e-10, -3.0072138694861097e-10, -9.351479503202854e-09, -1.4724008259032583e-09,
    5.371137437244875e-08, 4.473083975798922e-08, -2.1774241446369674e-07, -4.004942505011417e-07,
    6.829637850977194e-07, 2.568755580279995e-06, -1.5787667928209831e-06, -1.4843277824942288e-05,
    1.7963972061622215e-06, 8.809573126216172e-05, -4.783264279937873e-06, -0.0005792693046594266,
    0.0003342446162359457, 0.004087855681201643, -0.008722295274260395, -0.018900450861711375,
    0.15139176231244347, -0.4675409629983325, 0.9704095548675884, -1.5237709108199835, 1.8932190633084853,
)  # fmt: skip


def for_each_dtype(make: Callable) -> Callable:
    """Decorator: a function of one number for kernels, which ``make(dtype)`` returns with constants of that dtype."""

    def function(number):
        raise NotImplementedError(f"{make.__name__} can be called by compiled kernels only.")

    function.__doc__ = make.__doc__
    overload(function, inline="always")(lambda x: make(_DTYPES[x]))
    return function


@intrinsic
def _power_of_two(typingctx, n):
    """2 to an integer power, if the result is a normal number.

    Adding 1.5 * 2^(bits of the mantissa) puts ``n`` into the last bits of the sum; they are shifted to the exponent.
    """

    def codegen(context, builder, signature, args):
        info, bits = np.finfo(_DTYPES[n]), ir.IntType(n.bitwidth)
        biased = builder.fadd(args[0], ir.Constant(args[0].type, 1.5 * 2**info.nmant + info.maxexp - 1))
        exponent = builder.shl(builder.bitcast(biased, bits), ir.Constant(bits, info.nmant))
        return builder.bitcast(exponent, args[0].type)

    return n(n), codegen


def _polynomial(coefficients: list[float]):
    """The polynomial with these coefficients, highest power first, as a function that kernels can call."""

    @intrinsic
    def polynomial(typingctx, x):
        def codegen(context, builder, signature, args):
            kind = args[0].type
            name = f"llvm.fmuladd.f{x.bitwidth}"  # fused if the processor can; never a call of the C library
            multiply_add = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
            value = ir.Constant(kind, float(coefficients[0]))
            for coefficient in coefficients[1:]:
                value = builder.call(multiply_add, [value, args[0], ir.Constant(kind, float(coefficient))])
            return value

        return x(x), codegen

    return polynomial


@for_each_dtype
def _reduced(dtype):
    """The integer ``n``, and ``exp(r) - 1``; see the module's docstring."""
    info = np.finfo(dtype)
    rounding = dtype(1.5 * 2**info.nmant)  # numbers of this size have no fractional digits
    digits = 2 ** (info.nmant - 11)  # n has at most 11 bits
    log2 = dtype(math.floor(math.log(2) * digits) / digits)
    rest_of_log2 = dtype(np.log(np.longdouble(2)) - log2)
    per_log2 = dtype(1 / math.log(2))
    series = _polynomial([dtype(1 / math.factorial(k)) for k in range(_LAST_POWER[dtype], 1, -1)])

    def reduced(x):
        n = (x * per_log2 + rounding) - rounding
        r = (x - n * log2) - n * rest_of_log2
        return n, r + r * r * series(r)

    return reduced


@for_each_dtype
def exp(dtype):
    """Exponential of any number."""
    info = np.finfo(dtype)
    low, high = dtype(math.log(info.smallest_subnormal) - 1), dtype(math.log(2) * (info.maxexp + 0.5))
    half, one, rounding = dtype(0.5), dtype(1), dtype(1.5 * 2**info.nmant)

    def exp(x):
        x = high if x > high else x  # written so that NaN stays NaN
        x = low if x < low else x
        n, p = _reduced(x)
        first = (n * half + rounding) - rounding  # in two steps, as 2^n may not be a normal number
        return (one + p) * _power_of_two(first) * _power_of_two(n - first)

    return exp


@for_each_dtype
def expm1(dtype):
    """``exp(x) - 1`` for ``x <= 0``, with full precision near 0."""
    low, one = dtype(math.log(np.finfo(dtype).tiny) + 1), dtype(1)

    def expm1(x):
        n, p = _reduced(low if x < low else x)
        power = _power_of_two(n)
        return power * p + (power - one)

    return expm1


@for_each_dtype
def log1p(dtype):
    """``log(1 + x)`` for ``x`` from 0 to 1, by the Taylor series of ``2 artanh(s)`` with ``s = x / (x + 2)``."""
    two = dtype(2)
    series = _polynomial([dtype(2 / (2 * k + 1)) for k in range(_LAST_SQUARE[dtype], 0, -1)])

    def log1p(x):
        s = x / (x + two)
        return two * s + s * (s * s) * series(s * s)

    return log1p


@for_each_dtype
def tanh(dtype):
    """Hyperbolic tangent of any number."""
    zero, two = dtype(0), dtype(2)

    def tanh(x):
        e = expm1(-two * abs(x))
        t = (zero - e) / (e + two)
        return t if x >= zero else -t

    return tanh


@for_each_dtype
def sigmoid(dtype):
    """``1 / (1 + exp(-x))``, and 1 minus that, with full precision."""
    zero, one = dtype(0), dtype(1)

    def sigmoid(x):
        small = exp(-abs(x))
        major, minor = one / (one + small), small / (one + small)
        return (major, minor) if x >= zero else (minor, major)

    return sigmoid


@for_each_dtype
def softplus(dtype):
    """``log(1 + exp(x))`` and ``log(1 + exp(-x))`` of any number, with full precision."""
    zero = dtype(0)

    def softplus(x):
        size = abs(x)
        small = log1p(exp(-size))
        return (size + small, small) if x >= zero else (small, size + small)

    return softplus


@for_each_dtype
def _gaussian(dtype):
    """``exp(-x^2 / 2)`` for ``x >= 0``.

    In float64 it is accurate to two units in the last place. The square of the leading digits of ``x`` is exact, and
    the rest is so small that a few terms of the series are enough, as in the erfc of fdlibm (Sun Microsystems, 1993).
    """
    half, one, far = dtype(0.5), dtype(1), dtype(64)
    digits = dtype(1.5 * 2.0 ** (np.finfo(dtype).nmant - 12))  # numbers of this size have 12 fractional bits
    series = _polynomial([dtype(1 / math.factorial(k)) for k in range(6, 0, -1)])

    def short(x):
        return exp(-half * x * x)

    def exact(x):
        x = far if x > far else x
        first = (x + digits) - digits
        rest = -half * (x - first) * (x + first)
        return exp(-half * first * first) * (one + rest * series(rest))

    return short if dtype == np.float32 else exact


@for_each_dtype
def _mills(dtype):
    """Mills' ratio for ``x >= 0``: the probability of values above ``x``, divided by the density at ``x``.

    It is a polynomial in ``t = (x - c) / (x + c)``, the truncated Chebyshev series. The float64 polynomial is that of
    the ratio times ``x + 4``. This is between 1 and 5.1 for all ``x``, so that no digits are lost for large ``x``. Its
    coefficients were computed with 50 digits. The method is that of M. M. Shepherd and J. G. Laframboise, "Chebyshev
    approximation of (1 + 2x)exp(x^2)erfc x in 0 <= x < infinity", Mathematics of Computation 36 (1981).
    """
    single = dtype == np.float32
    ratio = _polynomial([dtype(c) for c in (_MILLS_FLOAT32 if single else _MILLS_FLOAT64)])
    one, centre, far = dtype(1), dtype(3 if single else 4), dtype(1e6)

    def direct(x):
        return ratio((x - centre) / (x + centre) if x < far else one)

    def scaled(x):
        return ratio((x - centre) / (x + centre) if x < far else one) / (x + centre)

    return direct if single else scaled


@for_each_dtype
def normal(dtype):
    """The cumulative standard normal distribution, P(X <= x), and its density at ``x``.

    Accurate to 1e-7 in float32, and to 5 units in the last place in float64, even far below 0.
    """
    zero, one, density_at_0 = dtype(0), dtype(1), dtype(1 / math.sqrt(2 * math.pi))

    def normal(x):
        density = _gaussian(abs(x)) * density_at_0
        tail = density * _mills(abs(x))
        return (tail if x < zero else one - tail), density

    return normal
