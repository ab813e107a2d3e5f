"""Conversion of uint8 images to floats, compared with plain NumPy."""

import re
import tracemalloc

import numpy as np
import pytest

from fastcnn.data import mean_and_std, pad_images, standardize


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (600, 2, 7, 5), dtype=np.uint8)  # more than two chunks


def strided(images):
    """Return the same images, not contiguous."""
    wide = np.repeat(images, 2, axis=3)
    return wide[..., ::2]


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, strided])
def test_mean_and_std(images, layout):
    images[:, 1] //= 2  # makes the channels differ
    mean, std = mean_and_std(layout(images))
    np.testing.assert_allclose(mean, (images / 255).mean((0, 2, 3)), rtol=1e-13, strict=True)
    np.testing.assert_allclose(std, (images / 255).std((0, 2, 3)), rtol=1e-13, strict=True)


def test_mean_and_std_of_one_grey_level_are_exact():
    mean, std = mean_and_std(np.full((3, 1, 100, 100), 51, np.uint8))
    assert (mean.tolist(), std.tolist()) == ([0.2], [0.0])


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, strided])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardize(images, dtype, layout):
    result = standardize(layout(images), 0.1307, 0.3081, dtype)
    np.testing.assert_array_equal(result, ((images / 255 - 0.1307) / 0.3081).astype(dtype), strict=True)
    assert result.flags.c_contiguous


def test_standardized_images_have_mean_0_and_std_1(images):
    images[:, 1] //= 2
    result = standardize(images, *mean_and_std(images), dtype=np.float64)
    np.testing.assert_allclose(result.mean((0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(result.std((0, 2, 3)), 1, atol=1e-12)


def test_standardize_takes_a_number_for_each_channel(images):
    result = standardize(images, (0.25, 0.5), [0.1, 0.2], np.float64)
    np.testing.assert_allclose(result[:, 0], (images[:, 0] / 255 - 0.25) / 0.1, atol=1e-13)
    np.testing.assert_allclose(result[:, 1], (images[:, 1] / 255 - 0.5) / 0.2, atol=1e-13)


def test_no_large_temporaries():
    images = np.zeros((20_000, 1, 28, 28), np.uint8)
    tracemalloc.start()
    try:
        mean_and_std(images)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
        tracemalloc.reset_peak()
        standardize(images, 0.5, 0.5)
        assert tracemalloc.get_traced_memory()[1] < 4 * images.size + 4_000_000
    finally:
        tracemalloc.stop()


def test_pad_images(images):
    result = pad_images(images, 2)
    np.testing.assert_array_equal(result, np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2))), strict=True)
    assert result.flags.c_contiguous
    unpadded = pad_images(images, 0)
    np.testing.assert_array_equal(unpadded, images)
    assert not np.shares_memory(unpadded, images)


TRANSFORMS = [mean_and_std, lambda images: standardize(images, 0.5, 0.5), lambda images: pad_images(images, 2)]
BAD_IMAGES = {
    "floats": (np.zeros((1, 1, 2, 2)), TypeError, "`images` must be uint8 (grey levels from 0 to 255), not float64."),
    "no channels": (
        np.zeros((5, 28, 28), np.uint8),
        ValueError,
        "`images` must have 4 dimensions, (N, C, H, W), but its shape is (5, 28, 28).",
    ),
    "empty": (np.zeros((0, 1, 28, 28), np.uint8), ValueError, "`images` is empty: its shape is (0, 1, 28, 28)."),
    "a number": (0, TypeError, "`images` must be a numpy array, not int."),
}


@pytest.mark.parametrize("transform", TRANSFORMS, ids=["mean_and_std", "standardize", "pad_images"])
@pytest.mark.parametrize(("bad", "error", "sentence"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images(bad, error, sentence, transform):
    with pytest.raises(error, match=re.escape(sentence)):
        transform(bad)


BAD_SCALES = {
    "one grey level": (
        0.5,
        0.0,
        np.float32,
        ValueError,
        "`std` is 0.0 but must be finite and positive; images of a",
    ),
    "one channel of one level": (0.5, [1.0, 0.0], np.float32, ValueError, "`std` is [1.0, 0.0] but must be finite and"),
    "means of three channels": (
        [0.1] * 3,
        1,
        np.float32,
        ValueError,
        "`mean` has shape (3,) but must be a number",
    ),
    "negative std": (0.5, -1.0, np.float32, ValueError, "`std` is -1.0 but must be finite and positive"),
    "std not a number": (0.5, np.nan, np.float32, ValueError, "`std` is nan but must be finite and positive"),
    "infinite mean": (np.inf, 1.0, np.float32, ValueError, "`mean` is inf but must be finite."),
    "half precision": (0.5, 1.0, np.float16, TypeError, "`dtype` must be float32 or float64, not float16."),
}


@pytest.mark.parametrize(("mean", "std", "dtype", "error", "sentence"), BAD_SCALES.values(), ids=BAD_SCALES)
def test_bad_scales(images, mean, std, dtype, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        standardize(images, mean, std, dtype)


@pytest.mark.parametrize(
    ("padding", "error", "sentence"),
    [
        (-1, ValueError, "`padding` is -1 but must be at least 0."),
        ((2, 2), TypeError, "`padding` must be a whole number, not (2, 2)."),
    ],
    ids=["negative", "a pair"],
)
def test_bad_padding(images, padding, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        pad_images(images, padding)
