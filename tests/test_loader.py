"""Batches: every image once, with its own label."""

import re

import numpy as np
import pytest

from fastcnn.data import DataLoader


def arrays(n):
    """Images that say their number, and it as their label."""
    return np.arange(n, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 3), np.float32), np.arange(n)


SIZES = {
    "batches divide the images": (12, 4, False, [4, 4, 4]),
    "the last batch is not full": (10, 4, False, [4, 4, 2]),
    "the last batch is left out": (10, 4, True, [4, 4]),
    "nothing to leave out": (12, 4, True, [4, 4, 4]),
    "batches of one": (3, 1, False, [1, 1, 1]),
    "fewer images than a batch": (3, 4, False, [3]),
    "fewer images than a batch, left out": (3, 4, True, []),
    "no images": (0, 4, False, []),
}


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
@pytest.mark.parametrize(("n", "batch_size", "drop_last", "sizes"), SIZES.values(), ids=SIZES)
def test_sizes(n, batch_size, drop_last, sizes, shuffle):
    loader = DataLoader(*arrays(n), batch_size, shuffle=shuffle, rng=np.random.default_rng(0), drop_last=drop_last)
    batches = list(loader)
    assert len(loader) == len(sizes)
    assert [len(x) for x, _ in batches] == sizes
    seen = [int(label) for _, labels in batches for label in labels]
    assert len(set(seen)) == sum(sizes)  # each at most once
    for x, labels in batches:
        np.testing.assert_array_equal(x, np.broadcast_to(labels[:, None, None, None], x.shape))
        assert (x.dtype, labels.dtype) == (np.float32, np.int64)
        assert x.flags.c_contiguous
        assert labels.flags.c_contiguous


def test_in_order_batches_are_views():
    images, labels = arrays(10)
    batches = list(DataLoader(images, labels, 4))
    assert all(np.shares_memory(x, images) and np.shares_memory(y, labels) for x, y in batches)
    assert [y.tolist() for _, y in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_batches_of_strided_images_are_contiguous(shuffle):
    images, labels = arrays(10)
    loader = DataLoader(np.asfortranarray(images), labels[::-1], 4, shuffle=shuffle, rng=np.random.default_rng(0))
    for x, y in loader:
        assert x.flags.c_contiguous
        assert y.flags.c_contiguous
        np.testing.assert_array_equal(x[:, 0, 0, 0], 9 - y)


def test_each_epoch_is_one_permutation_of_the_generator():
    rng = np.random.default_rng(7)
    expected = [rng.permutation(10).tolist() for _ in range(3)]
    loader = DataLoader(*arrays(10), 3, shuffle=True, rng=np.random.default_rng(7))
    epochs = [np.concatenate([labels for _, labels in loader]).tolist() for _ in range(3)]
    assert epochs == expected
    assert epochs[0] != epochs[1]


def test_no_order_is_drawn_without_shuffle():
    rng = np.random.default_rng(7)
    list(DataLoader(*arrays(10), 3, rng=rng))
    assert rng.random() == np.random.default_rng(7).random()


X, Y = arrays(5)
BAD = {
    "a label too few": (
        (X, Y[:4], 2),
        {},
        ValueError,
        "`images` has length 5 (shape (5, 1, 2, 3)) but `labels` has 4 (shape (4,)); there must be one label",
    ),
    "empty batches": ((X, Y, 0), {}, ValueError, "`batch_size` is 0 but must be at least 1."),
    "half an image": ((X, Y, 2.5), {}, TypeError, "`batch_size` must be a whole number, not 2.5."),
    "True is no number": ((X, Y, True), {}, TypeError, "`batch_size` must be a whole number, not True."),
    "shuffle without a generator": (
        (X, Y, 2),
        {"shuffle": True},
        TypeError,
        "`rng` is None but `shuffle=True` needs a numpy.random.Generator, such as numpy.random.default_rng(0).",
    ),
    "a seed for a generator": ((X, Y, 2), {"shuffle": True, "rng": 3}, TypeError, "`rng` is 3 but `shuffle=True`"),
    "images in a list": (([1, 2], Y[:2], 2), {}, TypeError, "`images` must be a numpy array of at least 1 dimension"),
    "a label for all": ((X, np.array(3), 2), {}, TypeError, "`labels` must be a numpy array of at least 1 dimension"),
}


@pytest.mark.parametrize(("arguments", "options", "error", "sentence"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, options, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        DataLoader(*arguments, **options)
