"""The generated pictures of shapes, with a class for each pixel."""

import numpy as np
import pytest

from fastcnn.data import shapes
from fastcnn.data.shapes import CLASSES


def test_pictures_and_labels():
    images, labels = shapes(50, 32, rng=np.random.default_rng(0))
    assert (images.shape, images.dtype) == ((50, 1, 32, 32), np.uint8)
    assert (labels.shape, labels.dtype) == ((50, 32, 32), np.int64)
    assert set(np.unique(labels)) == set(range(len(CLASSES)))
    assert all(label.any() for label in labels)
    again = shapes(50, 32, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(images, again[0])
    np.testing.assert_array_equal(labels, again[1])
    assert (shapes(50, 32, rng=np.random.default_rng(1))[1] != labels).any()


def test_a_shape_differs_from_what_is_around_it_in_both_ways():
    images, labels = shapes(400, 32, rng=np.random.default_rng(0))
    differences = [
        picture[0][label > 0].mean() - picture[0][label == 0].mean()
        for picture, label in zip(images.astype(float), labels, strict=True)
    ]
    assert np.mean(np.array(differences) > 10) > 0.25
    assert np.mean(np.array(differences) < -10) > 0.25


def test_areas_are_those_of_the_shapes():
    """A disc fills its circumscribed circle, a square 2 / pi of it, a triangle 3 sqrt(3) / (4 pi)."""
    _, labels = shapes(3000, 32, rng=np.random.default_rng(0))
    disc, square, triangle = ((labels == kind).sum() for kind in (1, 2, 3))
    assert square / disc == pytest.approx(2 / np.pi, rel=0.1)
    assert triangle / disc == pytest.approx(3**1.5 / (4 * np.pi), rel=0.1)


def test_faults_have_a_sentence():
    with pytest.raises(ValueError, match="`n` is 0 but must be at least 1"):
        shapes(0, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="`size` is 8 but must be at least 16"):
        shapes(1, 8, rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"`rng` must be a numpy\.random\.Generator, not int"):
        shapes(1, rng=0)
