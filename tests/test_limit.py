"""Drawing a part of a data set at random."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcnn.data import ArrayDataset


def test_limit_draws_of_each_class_its_share():
    labels = np.repeat(np.arange(4), (300, 100, 0, 1))  # sorted by class, as in folders
    images = np.arange(401, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2), np.uint8)
    data = ArrayDataset(images, labels, "pictures", tuple("abcd"), tuple(map(str, range(401))))
    for n, counts in {401: [300, 100, 0, 1], 201: [150, 50, 0, 1], 41: [30, 10, 0, 1], 3: [1, 1, 0, 1]}.items():
        few = data.limit(n, np.random.default_rng(0))
        assert np.bincount(few.labels).tolist() == counts
        assert few.files == tuple(sorted(few.files, key=int))
        for image, label, file in zip(few.images, few.labels, few.files, strict=True):
            assert (image[0, 0, 0], label) == (images[int(file), 0, 0, 0], labels[int(file)])
    few = data.limit(40, np.random.default_rng(0))
    assert (few.classes, few.source) == (data.classes, "pictures, 40 of 401 images")
    assert few.files == data.limit(40, np.random.default_rng(0)).files != data.limit(40, np.random.default_rng(1)).files
    assert set(few.files) < set(data.limit(100, np.random.default_rng(0)).files)
    assert few.files != tuple(map(str, range(40)))
    assert data.limit(401, np.random.default_rng(0)) is data
    with pytest.raises(ValueError, match=re.escape("`n` is 0 but must be at least 1.")):
        data.limit(0, np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"`rng` must be a numpy.random.Generator, not int."):
        data.limit(1, 0)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 60), st.integers(0, 99))
def test_limit_is_fair(labels, n, seed):
    data = ArrayDataset(np.zeros((len(labels), 1, 1, 1), np.uint8), np.array(labels), "pictures")
    counts, few = np.bincount(labels), np.bincount(data.limit(n, np.random.default_rng(seed)).labels, minlength=6)
    assert few.sum() == min(n, len(labels))
    assert (few[: len(counts)] <= counts).all()
    if n >= (counts > 0).sum():
        assert ((few[: len(counts)] > 0) == (counts > 0)).all()
    share = counts * min(n / len(labels), 1)
    assert np.abs(few[: len(counts)] - share).max() <= (counts > 0).sum()
