"""The built-in digits: their form and randomness; a network can be trained on them."""

import importlib
import os
import re

import numpy as np
import pytest

from fastcnn.data import digits, mean_and_std, mnist

module = importlib.import_module("fastcnn.data.digits")  # `fastcnn.data.digits` is the function


@pytest.fixture(scope="module")
def data():
    return digits(4000, 1000)


def test_the_form_is_mnists(data):
    for part, n in zip(data, (4000, 1000), strict=True):
        assert part.images.shape == (n, 1, 28, 28)
        assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.int64)
        assert part.source == "built-in digits, seed 0"
        assert part.images.flags.c_contiguous


def test_each_digit_is_equally_likely(data):
    np.testing.assert_allclose(np.bincount(data[0].labels, minlength=10), 400, atol=80)  # four standard deviations


def test_the_grey_levels_are_like_mnists(data):
    mean, std = mean_and_std(data[0].images)
    assert mean == pytest.approx(0.1307, abs=0.015)
    assert std == pytest.approx(0.3081, abs=0.02)
    assert (data[0].images.max((1, 2, 3)) > 200).all()  # even the thinnest pen leaves a visible line


def test_digits_fill_their_box_and_are_centred_by_mass(data):
    images = data[0].images[:, 0]
    columns, rows = (images > 0).any(1).sum(1), (images > 0).any(2).sum(1)  # extents (N,)
    assert np.maximum(columns, rows).max() == 20
    assert np.quantile(np.maximum(columns, rows), 0.01) >= 19
    weight = images / images.sum((1, 2), dtype=float)[:, None, None]
    for axis in (1, 2):
        centre = weight.sum(axis) @ np.arange(28)
        assert np.quantile(np.abs(centre - 14), 0.99) < 0.52  # shifts are whole pixels


def test_a_seed_gives_the_same_images_and_another_gives_others(data):
    (again, test), other = digits(700, 600), digits(700, 1, seed=1)[0]
    np.testing.assert_array_equal(again.images, data[0].images[:700])  # the first n never differ
    np.testing.assert_array_equal(again.labels, data[0].labels[:700])
    np.testing.assert_array_equal(test.images, data[1].images[:600])
    assert (other.labels != again.labels).any()
    assert other.source == "built-in digits, seed 1"


def test_no_image_comes_twice(data):
    images = np.concatenate([part.images for part in data]).reshape(5000, -1)
    assert len(np.unique(images, axis=0)) == 5000  # no test image is in the training set either


def test_seed_0_on_this_machine_is_seed_0_elsewhere(data):
    assert data[0].labels[:12].tolist() == LABELS
    ink = data[0].images.sum((1, 2, 3), dtype=int)
    assert ink[:12] == pytest.approx(INK, abs=30)
    assert np.bincount(data[0].labels, ink) == pytest.approx(INK_OF_DIGITS, rel=1e-4)


LABELS = [5, 9, 4, 7, 7, 8, 8, 1, 9, 0, 4, 6]
INK = [25097, 38131, 24894, 28899, 22844, 38200, 35102, 13448, 19443, 39051, 22947, 30486]  # sums of grey levels
INK_OF_DIGITS = [12673296, 5135428, 11384865, 10921006, 11276439, 10662106, 11814381, 9628923, 12886359, 12310986]


def nearest(train, test):
    """Classify the images of ``test`` by the nearest image of ``train``."""
    a, b = (part.images.reshape(len(part), -1).astype(np.float32) / 255 for part in (train, test))
    return train.labels[((a * a).sum(1) - 2 * b @ a.T).argmin(1)]


def test_the_labels_are_right(data):
    train, test = data
    assert (nearest(train, test) == test.labels).mean() > 0.8


@pytest.mark.skipif(not os.environ.get("FASTCNN_DATA"), reason="FASTCNN_DATA names no folder with the real MNIST")
def test_they_resemble_mnist(data):
    real = mnist()[1].limit(2000, np.random.default_rng(0))
    assert (nearest(data[0], real) == real.labels).mean() > 0.8


def test_a_vertical_stroke_is_drawn_by_distance():
    n = module.POINTS
    x, y = np.full((1, n), 9.5, np.float32), np.linspace(2, 17, n, dtype=np.float32)[None]
    ink = module._ink(x, y, np.full((1, n), 1.25, np.float32))[:, :, 0]
    # the centres of pixels 8 to 11 are 1.5, 0.5, 0.5 and 1.5 pixels from the line, whose radius is 1.25
    np.testing.assert_allclose(ink[9, 6:14], [0, 0, 0.25, 1, 1, 0.25, 0, 0], atol=0.02)
    assert ink[0].max() == 0  # 2 pixels above the end of the stroke


def test_a_thicker_part_of_the_pen_reaches_further():
    n = module.POINTS
    x, y = np.full((1, n), 9.5, np.float32), np.linspace(2, 17, n, dtype=np.float32)[None]
    ink = module._ink(x, y, np.linspace(0.8, 2.0, n, dtype=np.float32)[None])[:, :, 0]
    widths = ink.sum(1)[4:16]
    assert (np.diff(widths) > 0).all()
    assert (widths[0], widths[-1]) == pytest.approx((2 * 0.9, 2 * 1.9), abs=0.25)


def test_a_path_is_spaced_evenly_keeps_its_corners_and_lifts_the_pen():
    knots, spline = module._spline("0,0 0,6 0,6 4,6 / 9,0 9,10")
    points = spline @ knots
    assert knots.tolist() == [[0, 0], [0, 6], [4, 6], [9, 0], [9, 10]]
    lifted = np.flatnonzero(points[:, 0] == 9)[0]
    assert np.hypot(*np.diff(points[:lifted], axis=0).T) == pytest.approx(20 / 79, abs=0.15)  # total length 20
    assert np.abs(points - [0, 6]).sum(1).min() < 0.15  # passes through the corner
    assert np.isin(points[:lifted].round(9), [0, 6]).any(1).all()  # stays on the two sides
    assert not ((points[:, 0] > 4) & (points[:, 0] < 9)).any()  # draws nothing while the pen is up


def test_every_path_is_legible_to_the_parser():
    for paths in module.PEN_PATHS.values():
        for path in paths:
            knots, spline = module._spline(path)
            assert spline.shape == (module.POINTS, len(knots))
            np.testing.assert_allclose(spline.sum(1), 1)  # weights sum to 1, so moving all knots moves the path
            assert (knots >= 0).all()
            assert (knots <= 10).all()


BAD = {
    "no images": ({"n_train": 0}, ValueError, "`n_train` is 0 but must be at least 1."),
    "half an image": ({"n_test": 0.5}, TypeError, "`n_test` must be a whole number, not 0.5."),
    "a negative seed": ({"seed": -1}, ValueError, "`seed` is -1 but must be at least 0."),
}


@pytest.mark.parametrize(("arguments", "error", "sentence"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        digits(**arguments)
