"""Shape arithmetic, compared with values computed by hand, with counting, and with PyTorch."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcnn._geometry import adaptive_windows, conv_transpose_windows, conv_windows, per_axis, pool_windows


def extents(windows):
    return windows.OH, windows.OW


def pads(windows):
    return windows.top, windows.bottom, windows.left, windows.right


@pytest.mark.parametrize(
    ("image", "kernel", "options", "outputs", "sides"),
    [
        pytest.param((32, 32), (5, 5), {}, (28, 28), (0, 0, 0, 0), id="LeNet's C1"),
        pytest.param((5, 7), (3, 2), {"padding": 1}, (5, 8), (1, 1, 1, 1), id="padding on all sides"),
        pytest.param((5, 7), (3, 3), {"padding": (0, 2)}, (3, 9), (0, 0, 2, 2), id="padding of a pair"),
        pytest.param((5, 7), (3, 3), {"padding": (1, 0, 2, 3)}, (4, 10), (1, 0, 2, 3), id="four sides"),
        pytest.param((8, 9), (3, 3), {"stride": 2}, (3, 4), (0, 0, 0, 0), id="stride that does not divide"),
        pytest.param((8, 9), (3, 3), {"stride": (3, 1)}, (2, 7), (0, 0, 0, 0), id="stride of a pair"),
        pytest.param((9, 9), (3, 3), {"dilation": 2}, (5, 5), (0, 0, 0, 0), id="dilation: a window of 5"),
        pytest.param((9, 9), (3, 3), {"dilation": (4, 1)}, (1, 7), (0, 0, 0, 0), id="dilation of a pair: 9 high"),
        pytest.param((5, 6), (3, 3), {"padding": "valid"}, (3, 4), (0, 0, 0, 0), id="valid"),
        pytest.param((5, 6), (3, 3), {"padding": "same"}, (5, 6), (1, 1, 1, 1), id="same, odd kernel"),
        pytest.param((5, 6), (2, 4), {"padding": "same"}, (5, 6), (0, 1, 1, 2), id="same, the odd row at the bottom"),
        # ceil(7 / 2) = 4 rows need (4 - 1) * 2 + 2 = 8 pixels, 1 more than 7; 3 columns need 2 * 2 + 4 = 8, 2 more
        pytest.param((7, 6), (2, 4), {"padding": "same", "stride": 2}, (4, 3), (0, 1, 1, 1), id="same, stride 2"),
        pytest.param((7, 6), (1, 1), {"padding": "same", "stride": 3}, (3, 2), (0, 0, 0, 0), id="same, no need to pad"),
        pytest.param((5, 5), (3, 3), {"padding": "same", "dilation": 2}, (5, 5), (2, 2, 2, 2), id="same, dilation"),
        pytest.param((9,), 4, {}, (1, 6), (0, 0, 0, 0), id="a signal is one row"),
        pytest.param((9,), (4,), {"padding": (2,), "stride": (2,)}, (1, 5), (0, 0, 2, 2), id="a signal, both sides"),
        pytest.param((9,), 3, {"padding": (2, 1), "dilation": 2}, (1, 8), (0, 0, 2, 1), id="a signal, left and right"),
        pytest.param((9,), 4, {"padding": "same"}, (1, 9), (0, 0, 1, 2), id="a signal, same"),
    ],
)
def test_conv_windows_by_hand(image, kernel, options, outputs, sides):
    windows = conv_windows(image, kernel, **options)
    assert extents(windows) == outputs
    assert pads(windows) == sides


@pytest.mark.parametrize(
    ("image", "kernel", "options", "outputs"),
    [
        pytest.param((28, 28), 2, {}, (14, 14), id="LeNet's S2: the stride is the kernel"),
        pytest.param((7, 8), 2, {}, (3, 4), id="the last row is not read"),
        pytest.param((7,), 2, {}, (1, 3), id="a signal"),
        pytest.param((7,), 2, {"ceil_mode": True}, (1, 4), id="a signal, ceil_mode"),
        pytest.param((7, 8), 2, {"ceil_mode": True}, (4, 4), id="ceil_mode reads it"),
        pytest.param((7, 8), 3, {"stride": 2}, (3, 3), id="overlapping windows"),
        pytest.param((7, 8), 3, {"stride": 2, "ceil_mode": True}, (3, 4), id="ceil_mode, one axis"),
        pytest.param((5, 5), 2, {"padding": 1}, (3, 3), id="padding"),
        # windows start at padded rows 0, 2, 4; one at 6 would start in the bottom padding (the image ends at 5)
        pytest.param((5, 5), 2, {"padding": 1, "ceil_mode": True}, (3, 3), id="none starts in the last padding"),
        pytest.param((6, 6), 3, {"stride": 2, "padding": 1, "ceil_mode": True}, (4, 4), id="starts at the last pixel"),
        pytest.param((7, 8), 3, {"stride": 1, "dilation": 2}, (3, 4), id="dilation"),
        pytest.param((1, 1), 2, {"stride": 2, "ceil_mode": True}, (1, 1), id="ceil_mode, window larger than the image"),
    ],
)
def test_pool_windows_by_hand(image, kernel, options, outputs):
    assert extents(pool_windows(image, kernel, **options)) == outputs


axis = st.fixed_dictionaries(
    {
        "extent": st.integers(1, 12),
        "taps": st.integers(1, 5),
        "stride": st.integers(1, 5),
        "dilation": st.integers(1, 3),
        "before": st.integers(0, 4),
        "after": st.integers(0, 4),
    }
)


many = settings(max_examples=5 * settings.default.max_examples)  # each is fast


@many
@given(axis)
def test_windows_are_all_that_fit_the_padded_image(a):
    reach = (a["taps"] - 1) * a["dilation"] + 1
    padded = a["before"] + a["extent"] + a["after"]
    fitting = sum(1 for start in range(0, padded, a["stride"]) if start + reach <= padded)
    image, kernel, sides = (a["extent"], 1), (a["taps"], 1), (a["before"], a["after"], 0, 0)
    if fitting:
        windows = conv_windows(image, kernel, (a["stride"], 1), sides, (a["dilation"], 1))
        assert (fitting, 1) == (windows.OH, windows.OW)
        # the same for the width
        sides = 0, 0, a["before"], a["after"]
        turned = conv_windows(image[::-1], kernel[::-1], (1, a["stride"]), sides, (1, a["dilation"]))
        assert (1, fitting) == (turned.OH, turned.OW)
    else:
        with pytest.raises(ValueError, match="more than the padded image"):
            conv_windows(image, kernel, (a["stride"], 1), sides, (a["dilation"], 1))


@many
@given(axis)
def test_transposed_windows_are_the_same_over_an_image_of_their_height(a):
    image, kernel, pads = (a["extent"], 1), (a["taps"], 1), (a["before"], 0)
    try:
        windows = conv_windows(image, kernel, (a["stride"], 1), pads, (a["dilation"], 1))
    except ValueError:
        return
    unread = (a["extent"] + 2 * a["before"] - (a["taps"] - 1) * a["dilation"] - 1) % a["stride"]
    outputs = windows.OH, windows.OW
    assert windows == conv_transpose_windows(outputs, kernel, (a["stride"], 1), pads, (unread, 0), (a["dilation"], 1))


@many
@given(axis)
def test_same_adds_the_least_padding_that_gives_a_window_for_each_stride(a):
    windows = conv_windows((a["extent"], 1), (a["taps"], 1), (a["stride"], 1), "same", (a["dilation"], 1))
    wanted = len(range(0, a["extent"], a["stride"]))
    reach = (a["taps"] - 1) * a["dilation"] + 1
    assert wanted == windows.OH
    least = next(total for total in itertools.count() if (wanted - 1) * a["stride"] + reach <= a["extent"] + total)
    assert windows.top + windows.bottom == least
    assert windows.bottom - windows.top in (0, 1)


@many
@given(axis)
def test_ceil_mode_adds_windows_until_the_padded_image_is_read(a):
    reach = (a["taps"] - 1) * a["dilation"] + 1
    padded = a["before"] + a["extent"] + a["after"]
    starts = [0]
    while starts[-1] + reach < padded and starts[-1] + a["stride"] < a["before"] + a["extent"]:
        starts.append(starts[-1] + a["stride"])
    sides = (a["before"], a["after"], 0, 0)
    arguments = (a["extent"], 1), (a["taps"], 1), (a["stride"], 1), sides, (a["dilation"], 1), True
    try:
        windows = pool_windows(*arguments)
    except ValueError:  # too much padding, or too small an image; error messages are tested below
        return
    assert len(starts) == windows.OH


@many
@given(axis, st.booleans())
def test_no_pooling_window_is_all_padding(a, ceil_mode):
    sides = (a["before"], a["after"], 0, 0)
    arguments = (a["extent"], 1), (a["taps"], 1), (a["stride"], 1), sides, (a["dilation"], 1), ceil_mode
    try:
        windows = pool_windows(*arguments)
    except ValueError:
        return
    for oy in range(windows.OH):
        rows = [oy * windows.SH + ky * windows.DH - windows.top for ky in range(windows.KH)]
        assert any(0 <= iy < windows.H for iy in rows)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", None, True, (1,), (1, 2, 3), (1, 0), [1, 2.0]], ids=repr)
def test_pair_says_what_it_wants(value):
    sentence = f"`stride` must be an int or a pair of ints, each at least 1, not {value!r}."
    with pytest.raises(ValueError, match=re.escape(sentence)):
        per_axis("stride", value, 2)


def test_pair_takes_numpy_integers_and_lists():
    assert per_axis("stride", np.int64(3), 2) == (3, 3)
    assert per_axis("stride", [np.int32(1), 2], 2) == (1, 2)


@pytest.mark.parametrize(
    ("image", "size", "rows", "columns", "regular"),
    [
        pytest.param((4, 6), (2, 3), ((0, 2), (2, 4)), ((0, 2), (2, 4), (4, 6)), True, id="side by side"),
        # 5 pixels to 3: floor(5 / 3) = 1, ceil(5 / 3) = 2, ceil(10 / 3) = 4
        pytest.param((5, 3), (3, 1), ((0, 2), (1, 4), (3, 5)), ((0, 3),), False, id="neighbours share a row"),
        pytest.param((2, 2), (3, None), ((0, 1), (0, 2), (1, 2)), ((0, 1), (1, 2)), False, id="more rows than pixels"),
        pytest.param((1, 2), 2, ((0, 1), (0, 1)), ((0, 1), (1, 2)), False, id="one pixel read twice"),
        pytest.param((2, 1), (None, None), ((0, 1), (1, 2)), ((0, 1),), True, id="every pixel for itself"),
    ],
)
def test_adaptive_windows_by_hand(image, size, rows, columns, regular):
    windows = adaptive_windows(image, size)
    assert (windows.rows, windows.columns) == (rows, columns)
    assert (windows.regular is not None) == regular


@many
@given(st.integers(1, 12), st.integers(1, 12))
def test_regular_adaptive_windows_are_those_of_a_pooling(extent, outputs):
    windows = adaptive_windows((extent, 1), (outputs, 1))
    heights = {stop - start for start, stop in windows.rows}
    covered = [row for start, stop in windows.rows for row in range(start, stop)]
    assert set(covered) == set(range(extent))
    assert (windows.regular is not None) == (covered == list(range(extent)) and len(heights) == 1)
    if windows.regular:
        assert windows.regular == pool_windows((extent, 1), (heights.pop(), 1))
        assert outputs == windows.regular.OH


@pytest.mark.parametrize("value", [-1, 0.5, "full", None, (1,), (1, 2, 3), (0, 0, -1, 0), (1, -1), True], ids=repr)
def test_padding_lists_every_way_to_write_it(value):
    sentence = (
        '`padding` must be an int, a pair, four sides (top, bottom, left, right), "valid" or "same", '
        f"none of them negative, not {value!r}."
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        conv_windows((5, 5), (3, 3), padding=value)


@pytest.mark.parametrize(
    ("image", "kernel", "options", "sentence"),
    [
        pytest.param(
            (4, 4),
            3,
            {"padding": 2},
            "`padding` (2 before and 2 after, along the height) must be at most half of the pooling window, which "
            "spans 3 pixels.",
            id="more than half of the window",
        ),
        pytest.param(
            (4, 4),
            (4, 2),
            {"padding": (0, 0, 0, 2)},
            "`padding` (0 before and 2 after, along the width) must be at most half of the pooling window, which "
            "spans 2 pixels.",
            id="on one side only",
        ),
        pytest.param(
            (1, 9),
            2,
            {"stride": 1, "dilation": 2, "padding": 1},
            "The pooling window of output 0 along the height covers padding only: it has 2 taps, 2 apart, the first at "
            "pixel -1 of 1.",
            id="taps on both sides of the image",
        ),
    ],
)
def test_bad_pooling_padding(image, kernel, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        pool_windows(image, kernel, **options)


@pytest.mark.parametrize("ceil_mode", [False, True], ids=["floor", "ceil"])
def test_pool_windows_are_pytorchs(ceil_mode):
    torch = pytest.importorskip("torch")
    compared = 0
    for extent, taps, stride, padding, dilation in itertools.product(
        range(1, 9), range(1, 4), range(1, 4), range(2), (1, 2)
    ):
        try:
            ours = pool_windows((extent, 8), (taps, 1), (stride, 1), (padding, 0), (dilation, 1), ceil_mode)
        except ValueError:
            continue
        theirs = torch.nn.functional.max_pool2d(
            torch.zeros(1, 1, extent, 8), (taps, 1), (stride, 1), (padding, 0), (dilation, 1), ceil_mode
        )
        assert extents(ours) == tuple(theirs.shape[2:])
        compared += 1
    assert compared > 200
