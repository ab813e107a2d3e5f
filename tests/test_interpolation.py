"""Interpolation: literals computed by hand -> naive -> central differences -> the other backends."""

import re

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn
from fastcnn.testing import RESIZE_CASES, assert_close, central_difference

cases = pytest.mark.parametrize("case", RESIZE_CASES, ids=lambda case: case.reason)
NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("x", "options", "y"),
    [
        pytest.param([[1, 2]], {"scale_factor": 2}, [[1, 1, 2, 2], [1, 1, 2, 2]], id="twice as large"),
        pytest.param([[1, 2, 3]], {"size": (1, 5)}, [[1, 1, 2, 2, 3]], id="places 0 0.6 1.2 1.8 2.4"),
        pytest.param([[1, 2, 3, 4, 5]], {"size": (1, 2)}, [[1, 3]], id="places 0 2.5"),
        pytest.param([[1, 2, 3, 4, 5]], {"scale_factor": (1, 0.7)}, [[1, 2, 3]], id="places 0 1.43 2.86"),
        pytest.param([[NAN, INF]], {"scale_factor": (1, 2)}, [[NAN, NAN, INF, INF]], id="not finite"),
        # positions -0.25 0.25 0.75 1.25; those outside are clamped to the border
        pytest.param([[0, 4]], {"size": (1, 4), "mode": "bilinear"}, [[0, 1, 3, 4]], id="bilinear"),
        pytest.param([[0, 4], [8, 4]], {"size": 1, "mode": "bilinear"}, [[4]], id="the middle of four"),
        # positions 0 0.5 1 1.5 2
        pytest.param(
            [[0, 4, 2]], {"size": (1, 5), "mode": "bilinear", "align_corners": True}, [[0, 2, 4, 3, 2]], id="corners"
        ),
        pytest.param([[3, 4]], {"size": 1, "mode": "bilinear", "align_corners": True}, [[3]], id="one corner"),
    ],
)
def test_by_hand(backend, dtype, x, options, y):
    actual = F.interpolate(np.array(x, dtype)[None, None], **options, backend=backend)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual[0, 0], y)


@pytest.mark.parametrize(
    ("dy", "options", "dx"),
    [
        pytest.param([[1, 2, 3, 4]], {"scale_factor": (1, 2)}, [[3, 7]], id="twice as large"),
        pytest.param([[1, 2]], {"scale_factor": (1, 0.5)}, [[1, 0, 2, 0]], id="pixels left out"),
        pytest.param([[4, 4, 4, 8]], {"mode": "bilinear"}, [[8, 12]], id="bilinear"),
        pytest.param([[1, 2, 4]], {"mode": "bilinear", "align_corners": True}, [[2, 5]], id="corners"),
    ],
)
def test_backward_by_hand(backend, dtype, dy, options, dx):
    shape = 1, 1, 1, len(dx[0])
    actual = F.interpolate_backward(np.array(dy, dtype)[None, None], shape, **options, backend=backend)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual[0, 0], dx)


@cases
def test_agrees_with_naive(fast_backend, dtype, case, rng):
    x, dy = case.arrays(rng, dtype)

    def results(backend):
        y = F.interpolate(x, case.size, **case.options, backend=backend)
        return y, F.interpolate_backward(dy, x.shape, **case.options, backend=backend)

    for a, expected in zip(results(fast_backend), results("naive"), strict=True):
        assert_close(a, expected, 64, np.full(a.shape, np.abs(expected).max()))


@cases
def test_the_gradient_is_the_central_difference(backend, case, rng):
    x, dy = case.arrays(rng, np.float64)
    direction = rng.standard_normal(x.shape)
    dx = F.interpolate_backward(dy, x.shape, **case.options, backend=backend)
    slope = central_difference(
        lambda x: (F.interpolate(x, case.size, **case.options, backend=backend) * dy).sum(), x, direction
    )
    assert (dx * direction).sum() == pytest.approx(slope, rel=1e-8, abs=1e-8)


def test_the_bits_do_not_depend_on_the_threads(rng):
    x, dy = rng.standard_normal((37, 3, 6, 5), np.float32), rng.standard_normal((37, 3, 11, 9), np.float32)
    before, found = fastcnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fastcnn.set_num_threads(threads)
            y = F.interpolate(x, (11, 9), mode="bilinear", backend="numba")
            dx = F.interpolate_backward(dy, x.shape, mode="bilinear", backend="numba")
            found.append((y.tobytes(), dx.tobytes()))
    finally:
        fastcnn.set_num_threads(before)
    assert len(set(found)) == 1


X = np.ones((1, 1, 2, 3))
FAULTS = {
    "no size": ({}, ValueError, "Exactly one of `size` and `scale_factor` must be given, but neither is."),
    "two sizes": ({"size": 2, "scale_factor": 2}, ValueError, "must be given, but both are."),
    "size 0": ({"size": (0, 1)}, ValueError, "`size` must be an int or a pair of ints, each at least 1, not (0, 1)."),
    "nothing left": ({"scale_factor": 0.4}, ValueError, "`scale_factor` is 0.4, which leaves no pixels of images"),
    "factor 0": ({"scale_factor": 0}, ValueError, "`scale_factor` is 0 but must be above 0."),
    "factor -1": ({"scale_factor": (1, -1)}, ValueError, "`scale_factor` is -1 but must be at least 0"),
    "three factors": ({"scale_factor": (1, 1, 1)}, ValueError, "`scale_factor` must be a number or a pair of numbers"),
    "too large": ({"scale_factor": 1e300}, ValueError, "`scale_factor` is"),
    "another mode": ({"size": 2, "mode": "bicubic"}, ValueError, "`mode` is 'bicubic' but must be one of 'nearest'"),
    "corners of the nearest": ({"size": 2, "align_corners": False}, ValueError, 'is an option of mode "bilinear"'),
}  # fmt: skip


@pytest.mark.parametrize(("options", "kind", "text"), FAULTS.values(), ids=FAULTS)
def test_faults_have_a_sentence(options, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        F.interpolate(X, **options)
    with pytest.raises(kind, match=re.escape(text)):
        nn.Upsample(**options)(X)


def test_a_gradient_must_be_of_the_outputs_size():
    with pytest.raises(ValueError, match=re.escape("`dy` has shape (1, 1, 2, 3) but must have (1, 1, 4, 6)")):
        F.interpolate_backward(X, X.shape, 2)
    with pytest.raises(ValueError, match=re.escape("Upsample(scale_factor=2.0, mode='nearest') needs images")):
        nn.Upsample(scale_factor=2)(np.ones((2, 3)))
