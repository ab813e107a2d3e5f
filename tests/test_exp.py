"""The numba backend's own exponential function and related ones, compared with higher precision."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from fastcnn import functional as F

numba = pytest.importorskip("numba")

from fastcnn.backends.numba_direct.kernels import exp  # noqa: E402

if numba.config.DISABLE_JIT:
    pytest.skip("the functions are written in LLVM IR", allow_module_level=True)


def over(body: str):
    """Make a kernel that computes y from ``body``, an expression in v, for each v of x."""
    scope = {"exp": exp}
    exec(f"def kernel(y, x):\n    for i in range(x.size):\n        v = x[i]\n        y[i] = {body}\n", scope)
    compiled = numba.njit(error_model="numpy")(scope["kernel"])

    def function(x):
        y = np.empty_like(x)
        compiled(y, x)
        return y

    return function


def numbers(dtype):
    """Return numbers over the whole range, near 0, and on both sides of every limit."""
    last = 1.1 * math.log(np.finfo(dtype).max)
    near = np.logspace(-12, 1, 30_001)
    x = np.concatenate([np.linspace(-last, last, 100_001), np.linspace(-3, 3, 100_001), near, -near]).astype(dtype)
    limits = np.log([dtype(t) for t in (np.finfo(dtype).max, np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal)])
    around = [np.nextafter(dtype(limit), dtype(way)) for limit in limits for way in (-np.inf, np.inf)]
    return np.concatenate([x, np.array(around, dtype), limits.astype(dtype)])


FUNCTIONS = {
    "exp": ("exp.exp(v)", np.exp, 1.1),
    "expm1": ("exp.expm1(-abs(v))", lambda x: np.expm1(-np.abs(x)), 1.1),
    "log1p": ("exp.log1p(exp.exp(-abs(v)))", lambda x: np.log1p(np.exp(-np.abs(x))), 2.6),
    "tanh": ("exp.tanh(v)", np.tanh, 2.6),
    "sigmoid": ("exp.sigmoid(v)[0]", lambda x: 1 / (1 + np.exp(-x)), 2.5),
    "1 - sigmoid": ("exp.sigmoid(v)[1]", lambda x: 1 / (1 + np.exp(x)), 2.5),
    "softplus": ("exp.softplus(v)[0]", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 2.7),
    "softplus of -x": ("exp.softplus(v)[1]", lambda x: np.maximum(-x, 0) + np.log1p(np.exp(-np.abs(x))), 2.7),
}


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="longdouble is float64 here")
@pytest.mark.parametrize(("body", "reference", "units"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_they_are_right_to_the_last_places(body, reference, units, dtype):
    x = numbers(dtype)
    y = over(body)(x)
    with np.errstate(over="ignore", under="ignore"):
        expected = reference(x.astype(np.longdouble))
        rounded = expected.astype(dtype)
    np.testing.assert_array_equal(np.isinf(y), np.isinf(rounded))
    normal = np.isfinite(rounded) & (np.abs(rounded) >= np.finfo(dtype).tiny)
    errors = np.abs(y[normal] - expected[normal]) / np.spacing(np.abs(rounded[normal]))
    assert errors.max() < units, x[normal][errors.argmax()]
    small = np.abs(rounded) < np.finfo(dtype).tiny
    assert (np.abs(y[small] - expected[small]) <= 2 * np.finfo(dtype).smallest_subnormal).all()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("exp.exp(v)", [np.nan, np.inf, 0, 1, 1, np.inf, 0], id="exp"),
        pytest.param("exp.expm1(-abs(v))", [np.nan, -1, -1, 0, 0, -1, -1], id="expm1"),
        pytest.param("exp.tanh(v)", [np.nan, 1, -1, 0, 0, 1, -1], id="tanh"),
        pytest.param("exp.sigmoid(v)[0]", [np.nan, 1, 0, 0.5, 0.5, 1, 0], id="sigmoid"),
        pytest.param("exp.normal(v)[0]", [np.nan, 1, 0, 0.5, 0.5, 1, 0], id="normal"),
        pytest.param("exp.normal(v)[1]", [np.nan, 0, 0, (2 * np.pi) ** -0.5, (2 * np.pi) ** -0.5, 0, 0], id="density"),
    ],
)
def test_odd_numbers(body, expected, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e30, -1e30], dtype)
    rtol = 2e-14 if dtype == np.float64 else 2e-7
    np.testing.assert_allclose(over(body)(x), np.array(expected, dtype), rtol)


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 2e-7), (np.float64, 2e-14)], ids=["float32", "float64"])
def test_the_normal_distribution(dtype, error):
    x = np.concatenate([np.linspace(-40, 40, 40_001), np.linspace(-4, 4, 40_001)]).astype(dtype)
    expected = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x.tolist()])
    assert np.abs(over("exp.normal(v)[0]")(x) - expected).max() < error


def above(x: float) -> tuple[Decimal, Decimal]:
    """Return the probability that a normal number exceeds ``x >= 0``, and the density, to at least 20 digits."""
    with localcontext() as context:
        context.prec = 60
        u = Decimal(x)
        density = (-u * u / 2).exp() / (2 * Decimal("3.14159265358979323846264338327950288419716939937511")).sqrt()
        if u > 6:  # Laplace's continued fraction
            fraction = Decimal(0)
            for k in range(150, 0, -1):
                fraction = k / (u + fraction)
            return density / (u + fraction), density
        term = total = u
        for k in range(3, 301, 2):
            term = term * u * u / k
            total += term
        return Decimal("0.5") - density * total, density


def units(found: float, exact: Decimal) -> float:
    """Return the difference in units in the last place of float64."""
    return float(abs(Decimal(found) - exact) / Decimal(float(np.spacing(float(exact)))))


def test_the_normal_distribution_in_float64_is_right_to_the_last_places():
    x = np.concatenate([np.linspace(0, 5, 500), np.linspace(5, 37, 200), np.logspace(-9, -1, 50)])
    below, density, beyond = (over(body)(v) for body, v in (("exp.normal(v)[0]", -x), ("exp.normal(v)[1]", x),
                                                           ("exp.normal(v)[0]", x)))  # fmt: skip
    for k, (tail, level) in enumerate(map(above, x.tolist())):
        assert units(below[k], tail) < 6, x[k]
        assert units(density[k], level) < 4, x[k]
        assert units(beyond[k], 1 - tail) < 4, x[k]


def test_gelu_in_float64_is_right_to_the_last_places():
    """The gradient is measured in units of the sizes of its two terms, which may cancel."""
    x = np.concatenate([np.linspace(-5, 5, 701), np.linspace(-37, -5, 101)])
    y, slope = F.gelu(x, backend="numba"), F.gelu_backward(np.ones_like(x), x, backend="numba")
    for k, v in enumerate(x.tolist()):
        tail, density = above(abs(v))
        below = tail if v < 0 else 1 - tail
        assert units(y[k], Decimal(v) * below) < 7, v
        terms = below + abs(Decimal(v)) * density
        error = abs(Decimal(float(slope[k])) - below - Decimal(v) * density)
        assert error / Decimal(float(np.spacing(float(terms)))) < 7, v


def softmax(x):
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="longdouble is float64 here")
@pytest.mark.parametrize(
    ("function", "reference", "units"),
    [
        pytest.param(F.silu, lambda x: x / (1 + np.exp(-x)), 3, id="silu"),
        pytest.param(F.softplus, lambda x: np.log1p(np.exp(x)), 2.5, id="softplus"),
        pytest.param(F.mish, lambda x: x * np.tanh(np.log1p(np.exp(x))), 6, id="mish"),
        pytest.param(F.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), 1.5, id="elu"),
        pytest.param(F.softmax, softmax, 20, id="softmax"),  # x minus the largest, up to 32, is rounded: 16 units
    ],
)
def test_what_is_made_of_them_in_float64(function, reference, units):
    x = np.random.default_rng(0).standard_normal((500, 10)) * 4
    y, expected = function(x, backend="numba"), reference(x.astype(np.longdouble))
    errors = np.abs(y - expected) / np.spacing(np.abs(expected.astype(np.float64)))
    assert errors.max() < units


def test_python_cannot_call_them():
    with pytest.raises(NotImplementedError, match="tanh can be called by compiled kernels only"):
        exp.tanh(1.0)
