"""Winograd's convolution: when it is used, its accuracy, and the switch."""

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn, training
from fastcnn.testing import assert_close

pytest.importorskip("numba")
LAYERS = {  # images, channels, height, width; filters, padding, groups
    "one tile": ((1, 16, 4, 4), 16, 1, 1),
    "a block and one image": ((17, 16, 8, 8), 16, 1, 1),
    "tiles that overlap at the ends": ((3, 16, 7, 9), 16, 1, 1),
    "no padding": ((3, 17, 10, 6), 19, 0, 1),
    "more padding than taps": ((2, 16, 6, 6), 16, 3, 1),
    "padding on one side": ((2, 16, 8, 8), 20, (0, 2, 1, 0), 1),
    "groups": ((5, 32, 8, 8), 48, 1, 2),
    "many panels, and chunks of filters and channels": ((33, 50, 12, 9), 70, 1, 1),
    "more channels than filters": ((4, 80, 4, 6), 16, 1, 1),
}
# In units of `rounding`. The absolute values of the three matrices amplify a pixel of 1 and a tap of 1 to at most 157.
# Times the number of successive roundings, this is the possible error. Roundings are random, and 1.0 is measured.
BOUND = 3


def arrays(shape, filters, groups, dtype=np.float32):
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal(shape), 0).astype(dtype)
    weight = rng.standard_normal((filters, shape[1] // groups, 3, 3)) / np.sqrt(9 * shape[1] // groups)
    return x, weight.astype(dtype), rng.standard_normal(filters).astype(dtype)


def rounding(x, weight, bias, groups, shift, extent):
    """Estimate the rounding error of a convolution whose output (oy, ox) uses pixels around (oy, ox) + shift of ``x``.

    For each channel, it is that of the largest pixel that the tile of the output may use, wherever the tile starts,
    times the sum of the absolute values of the filter.
    """
    reach = 6
    wide = np.abs(np.pad(x.astype(np.float64), ((0, 0), (0, 0), (20, 20), (20, 20))))
    largest = np.lib.stride_tricks.sliding_window_view(wide, (2 * reach + 1,) * 2, (2, 3)).max((-1, -2))
    start = [20 + first - reach for first in shift]
    largest = largest[:, :, start[0] : start[0] + extent[0], start[1] : start[1] + extent[1]]
    sizes = np.abs(weight.astype(np.float64)).sum((2, 3), keepdims=True)
    total = F.conv2d(largest, sizes, np.abs(bias.astype(np.float64)), groups=groups, backend="numpy")
    return np.finfo(np.float32).eps * total


def exactly(function, *given, **options):
    """Compute the same in float64, on the numpy backend."""
    return function(*(array.astype(np.float64) for array in given), backend="numpy", **options)


def taken(compute):
    """Return the names of the kernels that a computation uses."""
    from fastcnn.backends.numba_direct.runtime.recorder import Recorder, recording

    recorder = Recorder()
    with recording(recorder):
        result = compute()
    return {step.kernel.name for step in recorder.parts}, result


@pytest.mark.parametrize(("shape", "filters", "padding", "groups"), LAYERS.values(), ids=LAYERS)
def test_it_computes_what_is_defined(shape, filters, padding, groups):
    x, weight, bias = arrays(shape, filters, groups)
    options = {"padding": padding, "groups": groups}
    top, left = (padding[0], padding[2]) if isinstance(padding, tuple) else (padding, padding)
    names, y = taken(lambda: F.conv2d(x, weight, bias, **options))
    assert "_winograd" in names
    assert y.dtype == np.float32
    unit = rounding(x, weight, bias, groups, (1 - top, 1 - left), y.shape[2:])
    assert (np.abs(y - exactly(F.conv2d, x, weight, bias, **options)) / unit).max() < BOUND

    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    names, (dx, dweight, dbias) = taken(lambda: F.conv2d_backward(dy, x, weight, **options))
    assert {"_winograd", "_winograd_gradient"} <= names
    exact, *others = exactly(F.conv2d_backward, dy, x, weight, **options)
    back = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(shape[1], -1, 3, 3)
    unit = rounding(dy, back, 0 * x[0, :, 0, 0], groups, (top - 1, left - 1), x.shape[2:])
    assert (np.abs(dx - exact) / np.maximum(unit, 1e-30)).max() < BOUND
    images, width = np.abs(x).max((0, 2, 3)), np.abs(dy).astype(np.float64)
    terms = np.sqrt(width[0, 0].size * len(x))  # roundings are random
    unit = np.finfo(np.float32).eps * terms * images.max() * width.max()
    assert np.abs(dweight - others[0]).max() < BOUND * unit
    assert np.abs(dbias - others[1]).max() < BOUND * unit


def test_a_fault_of_a_few_bounds_is_noticed():
    """A tap that is wrong in its fourth digit exceeds the bound."""
    x, weight, bias = arrays((3, 16, 8, 8), 16, 1)
    exact, unit = exactly(F.conv2d, x, weight, bias, padding=1), rounding(x, weight, bias, 1, (0, 0), (8, 8))
    assert (np.abs(F.conv2d(x, weight, bias, padding=1) - exact) / unit).max() < BOUND / 2
    weight[3, 2, 1, 1] *= 1 + 3e-4
    assert (np.abs(F.conv2d(x, weight, bias, padding=1) - exact) / unit).max() > BOUND


def test_a_fault_of_a_gradient_is_noticed():
    """A pixel that is wrong in its fourth digit exceeds the bound."""
    x, weight, _ = arrays((3, 16, 8, 8), 16, 1)
    dy = np.random.default_rng(1).standard_normal((3, 16, 8, 8)).astype(np.float32)
    _, exact, _ = exactly(F.conv2d_backward, dy, x, weight, padding=1)
    unit = np.finfo(np.float32).eps * np.sqrt(3 * 64) * x.max() * np.abs(dy).max()
    assert np.abs(F.conv2d_backward(dy, x, weight, padding=1)[1] - exact).max() < BOUND / 2 * unit
    place = np.unravel_index(x.argmax(), x.shape)
    x[place] *= 1 + 3e-4
    assert np.abs(F.conv2d_backward(dy, x, weight, padding=1)[1] - exact).max() > BOUND * unit


@pytest.mark.parametrize(
    ("shape", "filters", "options", "dtype"),
    [
        ((2, 16, 8, 8), 16, {"padding": 1}, np.float64),
        ((2, 15, 8, 8), 16, {"padding": 1}, np.float32),
        ((2, 16, 8, 8), 15, {"padding": 1}, np.float32),
        ((2, 16, 8, 8), 16, {"padding": 1, "stride": 2}, np.float32),
        ((2, 16, 8, 8), 16, {"padding": 1, "stride": (2, 1)}, np.float32),
        ((2, 16, 8, 8), 16, {"padding": 1, "stride": (1, 2)}, np.float32),
        ((2, 16, 8, 8), 16, {"padding": 1, "dilation": 2}, np.float32),
        ((2, 16, 8, 8), 16, {"padding": 1, "dilation": (2, 1)}, np.float32),
        ((2, 16, 8, 8), 16, {"padding": 1, "dilation": (1, 2)}, np.float32),
        ((2, 16, 3, 9), 16, {"padding": 1}, np.float32),
        ((2, 16, 5, 5), 16, {"padding": 1}, np.float32),
    ],
    ids=[
        "float64", "few channels", "few filters", "stride", "stride of rows", "stride of columns", "dilation",
        "dilation of rows", "dilation of columns", "low", "small",
    ],
)  # fmt: skip
def test_all_else_is_direct(shape, filters, options, dtype):
    x, weight, bias = arrays(shape, filters, 1, dtype)
    names, y = taken(lambda: F.conv2d(x, weight, bias, **options))
    assert not any("winograd" in name for name in names)
    names, _ = taken(lambda: F.conv2d_backward(y, x, weight, **options))
    assert not any("winograd" in name for name in names)


@pytest.mark.parametrize("kernel", [(3, 1), (1, 3), (5, 3), (3, 5), (5, 5)])
def test_other_filters_are_direct(kernel):
    x, weight = np.ones((2, 16, 8, 8), np.float32), np.ones((16, 16, *kernel), np.float32)
    names, y = taken(lambda: F.conv2d(x, weight, padding=1))
    others, _ = taken(lambda: F.conv2d_backward(y, x, weight, padding=1))
    assert not any("winograd" in name for name in names | others)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("where", ["image", "filter"])
def test_what_is_not_finite_is_where_the_definition_has_it(value, where):
    """3e38 overflows in a transform, but not in a sum."""
    x, weight, bias = arrays((2, 16, 9, 9), 16, 1)
    if where == "image":
        x[1, 3, 4, 5] = value
        weight[:, 3] *= 1e-3
    else:
        weight[5, 3, 1, 0] = value
        x[:, 3] *= 1e-3
    names, y = taken(lambda: F.conv2d(x, weight, bias, padding=1))
    assert "_winograd" in names
    defined = F.conv2d(x, weight, bias, padding=1, backend="naive")
    finite = np.isfinite(defined)
    np.testing.assert_array_equal(np.isfinite(y), finite)
    np.testing.assert_array_equal(y[~finite], defined[~finite])
    far = np.ones(y.shape, bool)
    if where == "image":
        far[1, :, 0:9, 1:9] = False  # outputs of tiles that contain it
    else:
        far[:, 5] = False
    np.testing.assert_allclose(y[far], defined[far], rtol=1e-4, atol=1e-4)


def test_what_is_not_finite_in_one_group_of_two():
    x, weight, bias = arrays((2, 32, 9, 9), 32, 2)
    x[1, 20, 4, 5] = np.inf
    y = F.conv2d(x, weight, bias, padding=1, groups=2)
    defined = F.conv2d(x, weight, bias, padding=1, groups=2, backend="naive")
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(defined))
    np.testing.assert_allclose(y, defined, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("where", ["image", "gradient"])
def test_gradients_are_not_finite_where_the_definition_has_it(value, where):
    x, weight, _ = arrays((2, 17, 6, 6), 18, 1)
    dy = 1e-3 * np.random.default_rng(1).standard_normal((2, 18, 6, 6)).astype(np.float32)
    if where == "image":
        x[1, 3, 0, 5] = value  # there are no outputs above it, so the upper taps never read it
    else:
        x *= 1e-3
        dy[1, 4, 5, 0] = value
    _, dweight, dbias = F.conv2d_backward(dy, x, weight, padding=1)
    with np.errstate(over="ignore"):
        _, *defined = F.conv2d_backward(dy, x, weight, padding=1, backend="naive")
    for found, expected in zip((dweight, dbias), defined, strict=True):
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(found), finite)
        np.testing.assert_array_equal(found[~finite], expected[~finite])
        one = np.ones(finite.shape, bool)
        if value == 3e38:  # where it does not overflow, it brings its own rounding errors
            one[(slice(None), 3) if where == "image" and finite.ndim > 1 else 4] = False
        np.testing.assert_allclose(found[one & finite], expected[one & finite], rtol=1e-3, atol=1e-6)


def test_lanes_without_an_image_count_for_nothing():
    """Their content, left by an earlier layer, must not matter."""
    from fastcnn import backends
    from fastcnn._geometry import conv_windows

    loaded = backends.load("numba")
    x, weight, _ = arrays((3, 16, 8, 8), 16, 1)
    dy = np.random.default_rng(1).standard_normal((3, 16, 8, 8)).astype(np.float32)
    given = []
    for array in (dy, x):
        native = loaded.pack(array)
        native.blocks[..., 3:] = np.nan
        given.append(native)
    _, *found = loaded.conv2d_backward(*given, weight, conv_windows((8, 8), (3, 3), padding=1), 1, False, True)
    _, *expected = F.conv2d_backward(dy, x, weight, padding=1)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_images_do_not_feel_it():
    x, weight, bias = arrays((16, 16, 8, 8), 16, 1)
    before = F.conv2d(x, weight, bias, padding=1)
    x[3] = np.nan
    after = F.conv2d(x, weight, bias, padding=1)
    others = np.arange(16) != 3
    np.testing.assert_array_equal(before[others], after[others])


def test_threads_and_batches_change_no_bit():
    x, weight, bias = arrays((40, 20, 9, 12), 30, 1)
    before, found, gradients = fastcnn.get_num_threads(), [], []
    for threads in (1, 2, 5):
        fastcnn.set_num_threads(threads)
        found.append(F.conv2d(x, weight, bias, padding=1))
        gradients.append(F.conv2d_backward(found[0], x, weight, padding=1))
    fastcnn.set_num_threads(before)
    for other in gradients[1:]:
        for a, b in zip(gradients[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    found.append(np.concatenate([F.conv2d(x[i : i + 7], weight, bias, padding=1) for i in range(0, 40, 7)]))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_an_output_does_not_depend_on_how_far_the_image_goes():
    """The last tiles overlap their neighbours, but round these outputs in another way, so they store only their own."""
    x, weight, bias = arrays((16, 16, 11, 13), 16, 1)
    kernels, whole = taken(lambda: F.conv2d(x, weight, bias))
    assert "_winograd" in kernels
    np.testing.assert_array_equal(whole[:, :, :8], F.conv2d(x[:, :, :10], weight, bias))
    np.testing.assert_array_equal(whole[:, :, :, :8], F.conv2d(x[:, :, :, :10], weight, bias))


def test_the_switch(monkeypatch):
    monkeypatch.delenv("FASTCNN_CONVOLUTION", raising=False)
    x, weight, bias = arrays((2, 16, 8, 8), 16, 1)

    def is_winograds():
        return "_winograd" in taken(lambda: F.conv2d(x, weight, bias, padding=1))[0]

    assert fastcnn.get_convolution() == "auto"
    assert is_winograds()
    with fastcnn.use_convolution("direct"):
        assert fastcnn.get_convolution() == "direct"
        assert not is_winograds()
        with fastcnn.use_convolution("auto"):
            assert is_winograds()
    monkeypatch.setenv("FASTCNN_CONVOLUTION", "direct")
    assert not is_winograds()
    assert training.environment()["convolution"] == "direct"
    fastcnn.set_convolution("auto")
    try:
        assert is_winograds()
    finally:
        monkeypatch.setattr("fastcnn._convolution._process_wide", None)
    monkeypatch.setenv("FASTCNN_CONVOLUTION", "winograd")
    with pytest.raises(ValueError, match=r"FASTCNN_CONVOLUTION` is 'winograd' but must be one of 'auto', 'direct'"):
        F.conv2d(x, weight, bias, padding=1)
    for choose in (fastcnn.set_convolution, lambda name: fastcnn.use_convolution(name).__enter__()):
        with pytest.raises(ValueError, match="`name` is 'fast' but must be one of 'auto', 'direct'"):
            choose("fast")


def test_models_follow_the_switch():
    x, weight, bias = arrays((4, 16, 8, 8), 16, 1)
    model = nn.Conv2d(16, 16, 3, padding=1)
    model.weight.data[...], model.bias.data[...] = weight, bias
    infer = model.compile_inference()
    by_winograd = model(x)
    with fastcnn.use_convolution("direct"):
        direct = F.conv2d(x, weight, bias, padding=1)
        assert not np.array_equal(by_winograd, direct)
        for compute in (model, infer):
            np.testing.assert_array_equal(compute(x), direct)
            np.testing.assert_array_equal(compute(x), direct)
    np.testing.assert_array_equal(model(x), by_winograd)
    many = np.concatenate([x] * 5)
    np.testing.assert_array_equal(infer(many), model(many))
    assert_close(infer(x[:1]), by_winograd[:1], 400, np.full((1, 16, 8, 8), 4.0))  # direct for a single image
