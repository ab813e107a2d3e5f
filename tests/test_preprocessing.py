"""The preprocessing of images can be saved and applied again with the same result."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from fastcnn import data
from fastcnn.data.preprocessing import Preprocessing, fit_square


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (6, 3, 28, 28)).astype(np.uint8)


def test_it_is_what_the_example_does(images):
    expected = data.standardize(data.pad_images(images, 2), *data.mean_and_std(images))
    np.testing.assert_array_equal(Preprocessing.of(images, 32)(images), expected)


def test_through_json_it_is_the_same(images):
    prepare = Preprocessing.of(images, 30)
    again = Preprocessing(**json.loads(json.dumps(asdict(prepare))))
    assert again == prepare
    np.testing.assert_array_equal(again(images), prepare(images))


def test_black_is_what_the_padding_becomes(images):
    prepare = Preprocessing.of(images, 32)
    np.testing.assert_allclose(prepare(images)[0, :, 0, 0], prepare.black, rtol=1e-6)


def test_an_odd_row_goes_to_the_end():
    fitted = fit_square(np.ones((1, 1, 2, 3), np.uint8), 5)[0, 0]
    np.testing.assert_array_equal(fitted.any(axis=1), [False, True, True, False, False])
    np.testing.assert_array_equal(fitted.any(axis=0), [False, True, True, True, False])


def test_large_images_shrink_with_their_proportions():
    pytest.importorskip("PIL")
    fitted = fit_square(np.full((2, 3, 40, 20), 9, np.uint8), 20)
    assert fitted.shape == (2, 3, 20, 20)
    np.testing.assert_array_equal(fitted[0, 0].any(axis=0).nonzero()[0], np.arange(5, 15))
    assert set(fitted.ravel().tolist()) == {0, 9}


def test_images_that_fit_are_not_copied(images):
    assert fit_square(images, 28) is images


def test_wrong_arguments(images):
    with pytest.raises(ValueError, match="`size` is 0 but must be at least 1"):
        fit_square(images, 0)
    with pytest.raises(TypeError, match="`images` must be uint8"):
        fit_square(images.astype(float), 28)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5,), (0.0,), "`std` is 0.0 but must be finite and positive"),
        ((0.5, 0.5), (0.2, -0.2), r"`std` is \[0.2, -0.2\] but must be finite and positive"),
        ((np.nan,), (0.2,), "`mean` is nan but must be finite"),
        ((0.5,), (0.2, 0.3), "`mean` and `std` must have a number for each channel, but have 1 and 2"),
    ],
)
def test_statistics_that_nothing_can_be_divided_by(mean, std, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(28, mean, std)
