"""`digit_image` centres and scales digits like MNIST's, for any picture."""

import numpy as np
import pytest

from fastcnn import data
from fastcnn.data import DataError, digit_image


def bar(H=200, W=300, top=30, left=40, height=120, width=30, ink=20, paper=230):
    picture = np.full((1, H, W), paper, np.uint8)
    picture[0, top : top + height, left : left + width] = ink
    return picture


def extent(image):
    rows, columns = np.flatnonzero(image[0].max(axis=1) > 60), np.flatnonzero(image[0].max(axis=0) > 60)
    return rows[0], rows[-1], columns[0], columns[-1]


def centre(image):
    mass = image[0] / image.sum()
    return mass.sum(axis=1) @ np.arange(28), mass.sum(axis=0) @ np.arange(28)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(bar(), id="dark on light"),
        pytest.param(bar(ink=230, paper=20), id="light on dark"),
        pytest.param(bar(ink=150, paper=200), id="pale"),
        pytest.param(bar(top=70, left=260), id="elsewhere"),
        pytest.param(bar(H=2003, W=1502, top=300, left=400, height=1200, width=300), id="a large picture"),
        pytest.param(bar(H=150, W=60, top=10, left=15), id="little paper"),
        pytest.param(bar(H=40, W=40, top=5, left=5, height=20, width=5), id="small"),
    ],
)
def test_a_bar_fills_the_box_and_is_centred(picture):
    image = digit_image(picture)
    assert (image.shape, image.dtype, image.max()) == ((1, 28, 28), np.uint8, 255)
    top, bottom, left, right = extent(image)
    assert bottom - top + 1 == 20
    assert right - left + 1 in (5, 6)
    assert centre(image) == pytest.approx((14, 14), abs=0.51)


def test_the_centre_of_mass_is_where_mnists_is():
    train, _ = data.digits(200, 1)
    images = np.stack([digit_image(picture) for picture in train.images])
    for part in (train.images, images):
        assert np.mean([centre(picture) for picture in part], axis=0) == pytest.approx((14, 14), abs=0.1)
    assert np.abs(images.astype(int) - train.images).mean() < 8  # of 255


def test_uneven_light_specks_and_noise_do_not_matter():
    rng = np.random.default_rng(0)
    plain = digit_image(bar())
    light = np.linspace(-40, 40, 300) + np.linspace(-20, 20, 200)[:, None]
    picture = bar(paper=180).astype(float) + light + 6 * rng.standard_normal((200, 300))
    picture[:, rng.integers(0, 200, 10), rng.integers(0, 300, 10)] = 0
    image = digit_image(np.clip(picture, 0, 255).astype(np.uint8))
    assert np.abs(image.astype(int) - plain).mean() < 6


def test_thin_strokes_become_as_thick_as_mnists():
    for width in range(1, 16, 2):
        image = digit_image(bar(width=width, height=160))
        assert image[0, 14].sum() / 255 == pytest.approx(2, abs=0.15)  # pixels


def test_the_picture_is_not_changed():
    picture = bar()
    before = picture.copy()
    picture.flags.writeable = False
    digit_image(picture)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_paper_is_an_error(level):
    with pytest.raises(DataError, match="shows no digit: ink and background differ by 0 of 255 grey levels"):
        digit_image(np.full((1, 50, 50), level, np.uint8))


def test_noise_is_no_digit():
    noise = np.random.default_rng(0).normal(128, 3, (1, 100, 100)).astype(np.uint8)
    with pytest.raises(DataError, match="shows no digit"):
        digit_image(noise)


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        (np.zeros((3, 9, 9), np.uint8), ValueError, r"must be an array \(1, H, W\), not \(3, 9, 9\)"),
        (np.zeros((9, 9), np.uint8), ValueError, r"must be an array \(1, H, W\), not \(9, 9\)"),
        ([1, 2], ValueError, r"must be an array \(1, H, W\), not \[1, 2\]"),
        (np.zeros((1, 9, 9)), TypeError, "must be uint8"),
        (np.zeros((1, 0, 9), np.uint8), ValueError, "is empty"),
    ],
)
def test_wrong_arguments(picture, error, message):
    with pytest.raises(error, match=message):
        digit_image(picture)


@pytest.mark.parametrize("shape", [(1, 5), (2, 2), (3, 400), (28, 28)])
def test_tiny_and_narrow_pictures(shape):
    picture = np.zeros((1, *shape), np.uint8)
    picture[0, 0, 0] = 255
    assert digit_image(picture).max() == 255
