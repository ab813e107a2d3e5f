"""Augmentation: compared with plain loops or known properties, for every dtype; nothing else may change."""

import math
import re

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fastcnn.data import augment
from fastcnn.data.augment.resample import resample

ALL = {
    "shift": augment.Shift(2),
    "flip": augment.HorizontalFlip(),
    "pad and crop": augment.PadAndCrop(2, (9, 7)),
    "rotation": augment.Rotation(30),
    "scale": augment.Scale(0.7, 1.4),
    "cutout": augment.Cutout(3),
    "elastic": augment.Elastic(alpha=20, sigma=2),
    "all": augment.Compose(augment.Shift(1), augment.Rotation(10), augment.Elastic(), augment.Cutout(2)),
}


@pytest.fixture(params=[np.float32, np.float64, np.uint8], ids=["float32", "float64", "uint8"])
def images(request):
    """Twenty images of 9x7 pixels and three channels, which are more than two chunks."""
    levels = np.random.default_rng(1).integers(0, 256, (20, 3, 9, 7))
    return levels.astype(request.param)


@pytest.mark.parametrize("change", ALL.values(), ids=ALL)
def test_all_keep_dtype_shape_and_input_and_follow_from_the_seed(change, images, memory_order):
    before = images.copy()
    images.flags.writeable = False
    result = change(images, np.random.default_rng(3))
    assert (result.dtype, result.shape) == (images.dtype, images.shape)
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, images)
    assert not np.array_equal(result, images)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(change(images, np.random.default_rng(3)), result)
    assert not np.array_equal(change(images, np.random.default_rng(4)), result)
    np.testing.assert_array_equal(change(memory_order(images), np.random.default_rng(3)), result)


@pytest.mark.parametrize("change", ALL.values(), ids=ALL)
def test_images_of_nothing_but_fill_stay_as_they_are(change, images):
    images[:] = 0
    np.testing.assert_array_equal(change(images, np.random.default_rng(0)), images)


FILLED = {
    "shift": lambda fill: augment.Shift(20, fill),
    "pad and crop": lambda fill: augment.PadAndCrop(20, 9, fill),
    "rotation": lambda fill: augment.Rotation(180, fill),
    "scale": lambda fill: augment.Scale(0.1, 0.2, fill),
    "cutout": lambda fill: augment.Cutout(9, fill),
    "elastic": lambda fill: augment.Elastic(500, 2, fill),
}


@pytest.mark.parametrize("make", FILLED.values(), ids=FILLED)
def test_fill_is_one_number_or_one_for_each_channel(make, images):
    images[:] = 50
    result = make((10, 20, 30))(images, np.random.default_rng(0))
    assert result.min((0, 2, 3)).tolist() == [10, 20, 30]
    assert result.max() == 50
    result = make(7)(images, np.random.default_rng(0))
    assert result.min((0, 2, 3)).tolist() == [7, 7, 7]


def test_shift_moves_whole_images_and_all_moves_are_equally_likely():
    image = np.arange(1, 21, dtype=np.uint8).reshape(1, 1, 4, 5)
    padded = np.pad(image[0, 0], 1)
    moved = {
        padded[y : y + 4, x : x + 5].tobytes(): (y, x)  # by hand
        for y in range(3)
        for x in range(3)
    }
    result = augment.Shift(1)(np.repeat(image, 9000, axis=0), np.random.default_rng(0))
    places = [moved[one.tobytes()] for one in result]
    counts = np.unique(places, axis=0, return_counts=True)[1]
    np.testing.assert_allclose(counts, [1000] * 9, atol=120)  # four standard deviations


def test_channels_move_together():
    images = np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8), dtype=np.uint8).repeat(3, axis=1)
    for name, change in ALL.items():
        result = change(images, np.random.default_rng(0)) if name != "pad and crop" else images
        np.testing.assert_array_equal(result[:, 0], result[:, 2])


def test_flip_mirrors_about_half_of_the_images():
    images = np.random.default_rng(0).integers(0, 256, (10_000, 1, 2, 3), dtype=np.uint8)
    result = augment.HorizontalFlip()(images, np.random.default_rng(0))
    flipped = (result == images[..., ::-1]).all((1, 2, 3))
    assert (flipped | (result == images).all((1, 2, 3))).all()
    assert flipped.mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(augment.HorizontalFlip(0)(images, np.random.default_rng(0)), images)


def test_pad_and_crop_gives_the_window_its_size():
    images = np.ones((4, 2, 5, 6), np.float32)
    assert augment.PadAndCrop(1, (7, 3))(images, np.random.default_rng(0)).shape == (4, 2, 7, 3)
    assert augment.PadAndCrop(0, 5)(images, np.random.default_rng(0)).tolist() == np.ones((4, 2, 5, 5)).tolist()


def test_cutout_is_a_square_whose_centre_is_anywhere():
    result = augment.Cutout(2)(np.ones((5000, 1, 4, 5), np.float32), np.random.default_rng(0))
    holes = {one.tobytes() for one in result}
    expected = set()
    for cy in range(4):
        for cx in range(5):
            image = np.ones((1, 4, 5), np.float32)
            image[:, max(cy - 1, 0) : cy + 1, max(cx - 1, 0) : cx + 1] = 0
            expected.add(image.tobytes())
    assert holes == expected


def test_resample_against_plain_loops():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(11, 2, 5, 4))
    y, x = (rng.uniform(-3, extent + 2, (11, 5, 4)).astype(np.float32) for extent in (5, 4))
    y[0, :2], x[0, :, :2] = np.array([[-1], [5]]), [-1, 4]  # just outside the image

    def at(n, c, iy, ix):
        return images[n, c, iy, ix] if 0 <= iy < 5 and 0 <= ix < 4 else 0.5

    expected = np.zeros_like(images)
    for n, c, oy, ox in np.ndindex(images.shape):
        top, left = math.floor(y[n, oy, ox]), math.floor(x[n, oy, ox])
        for iy, ix in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            weight = (1 - abs(y[n, oy, ox] - iy)) * (1 - abs(x[n, oy, ox] - ix))
            expected[n, c, oy, ox] += weight * at(n, c, iy, ix)
    np.testing.assert_allclose(resample(images, y, x, 0.5), expected, atol=1e-6)  # coordinates are rounded to float32
    np.testing.assert_allclose(resample(images.astype(np.float32), y, x, 0.5), expected, atol=3e-6)


def test_resample_at_the_pixels_is_exact_and_bytes_are_rounded():
    levels = np.random.default_rng(0).integers(0, 256, (3, 1, 4, 5), dtype=np.uint8)
    y, x = (np.broadcast_to(place, (3, 4, 5)).astype(np.float32) for place in np.mgrid[:4, :5])
    for dtype in (np.uint8, np.float32, np.float64):
        np.testing.assert_array_equal(resample(levels.astype(dtype), y, x, 0), levels.astype(dtype), strict=True)
    halves = resample(levels, y, x + np.float32(0.5), 0)[..., :-1]
    np.testing.assert_array_equal(halves, np.rint((levels[..., :-1].astype(float) + levels[..., 1:]) / 2))


class Fixed:
    """A generator that always draws the same angle or factor."""

    def __init__(self, value):
        self.value = value

    def uniform(self, low, high, size):
        return np.full(size, self.value)


def test_a_quarter_turn_is_numpys():
    image = np.random.default_rng(0).normal(size=(1, 2, 5, 5)).astype(np.float32)
    result = augment.Rotation(90)._apply(image, Fixed(90.0))
    np.testing.assert_allclose(result, np.rot90(image, -1, axes=(2, 3)), atol=1e-5)  # clockwise, because y points down
    np.testing.assert_array_equal(augment.Rotation(0)(image, np.random.default_rng(0)), image)


def test_twice_as_large_is_the_middle_drawn_out():
    image = np.arange(25, dtype=np.float64).reshape(1, 1, 5, 5)
    result = augment.Scale(2, 2)(image, np.random.default_rng(0))[0, 0]
    assert result[2].tolist() == [11, 11.5, 12, 12.5, 13]
    assert result[:, 2].tolist() == [7, 9.5, 12, 14.5, 17]
    small = augment.Scale(0.5, 0.5)(image, np.random.default_rng(0))[0, 0]
    assert small[2].tolist() == [0, 10, 12, 14, 0]


def test_elastic_moves_pixels_smoothly_by_as_much_as_its_docstring_says():
    H = W = 41
    y = np.broadcast_to(np.arange(H, dtype=np.float64)[:, None], (300, 1, H, W))
    moved = augment.Elastic(alpha=34, sigma=4)(y, np.random.default_rng(0)) - y  # pixels are their own positions
    middle = moved[:, 0, 15:26, 15:26]
    assert middle.std() == pytest.approx(0.16 * 34 / 4, rel=0.1)
    assert middle.mean() == pytest.approx(0, abs=0.2)
    steps = np.diff(middle, axis=1).std()
    assert steps == pytest.approx(middle.std() / (4 * 2**0.5), rel=0.1)  # for a field smoothed with a Gaussian


def test_elastic_does_not_depend_on_blas_threads():
    images = np.random.default_rng(0).normal(size=(32, 1, 64, 64)).astype(np.float32)
    results = []
    for n in (1, 2, 4):
        with threadpool_limits(n):
            results.append(augment.Elastic()(images, np.random.default_rng(0)).tobytes())
    assert results[0] == results[1] == results[2]


def test_compose_does_one_after_another_with_any_function():
    change = augment.Compose(lambda images, rng: images + 1, lambda images, rng: images * 2)
    assert change(np.ones(3), None).tolist() == [4, 4, 4]


def test_they_show_their_settings():
    change = augment.Compose(augment.Shift(2), augment.Elastic(fill=(1, 2, 3)), augment.HorizontalFlip())
    assert repr(change) == (
        "Compose(Shift(pixels=2, fill=0.0), Elastic(alpha=34.0, sigma=4.0, fill=(1, 2, 3)), HorizontalFlip(p=0.5))"
    )


BAD_SETTINGS = {
    "half a pixel": (lambda: augment.Shift(0.5), TypeError, "`pixels` must be a whole number, not 0.5."),
    "a negative shift": (lambda: augment.Shift(-1), ValueError, "`pixels` is -1 but must be at least 0."),
    "a window without pixels": (lambda: augment.PadAndCrop(4, 0), ValueError, "`size` is 0 but must be at least 1."),
    "more than always": (
        lambda: augment.HorizontalFlip(2),
        ValueError,
        "`p` is 2 but must be at least 0 and at most 1",
    ),
    "more than half a turn": (lambda: augment.Rotation(200), ValueError, "`degrees` is 200 but must be at least 0 and"),
    "sizes the wrong way round": (lambda: augment.Scale(2, 1), ValueError, "`low` is 2 but must be at least 0.1 and"),
    "an empty square": (lambda: augment.Cutout(0), ValueError, "`size` is 0 but must be at least 1."),
    "no smoothness": (lambda: augment.Elastic(sigma=0), ValueError, "`sigma` is 0 but must be at least 0.5 and at"),
    "a word for a number": (lambda: augment.Elastic("strong"), TypeError, "`alpha` must be a number, not str."),
    "fill not a number": (
        lambda: augment.Shift(1, np.nan),
        ValueError,
        "`fill` is nan but must be a finite number, or",
    ),
    "no fill": (lambda: augment.Shift(1, None), ValueError, "`fill` is None but must be a finite number, or one for"),
    "no function": (lambda: augment.Compose(3), TypeError, "`augments` must be callable, augment(images, rng), not 3."),
}


@pytest.mark.parametrize(("make", "error", "sentence"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_bad_settings(make, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        make()


RNG, BATCH = np.random.default_rng(0), np.zeros((2, 3, 4, 4), np.float32)
BAD_CALLS = {
    "a seed": (augment.Shift(1), BATCH, 3, TypeError, "`rng` must be a numpy.random.Generator, not int."),
    "half precision": (augment.Shift(1), BATCH.astype(np.float16), RNG, TypeError, "must be float32 or float64"),
    "one image": (augment.Cutout(1), BATCH[0], RNG, ValueError, "`images` must have 4 dimensions, (N, C, H, W), but"),
    "one image of bytes": (augment.Cutout(1), BATCH[0].astype(np.uint8), RNG, ValueError, "must have 4 dimensions"),
    "a channel without fill": (augment.Rotation(1, (1, 2)), BATCH, RNG, ValueError, "`fill` has 2 numbers but"),
    "half a grey level": (augment.Shift(1, 0.5), BATCH.astype(np.uint8), RNG, ValueError, "must be integers"),
    "too large a window": (
        augment.PadAndCrop(1, 7),
        BATCH,
        RNG,
        ValueError,
        "`size` is (7, 7) but must be at most (6, 6), the size of the padded `images`.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "images", "rng", "error", "sentence"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_calls(change, images, rng, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        change(images, rng)
