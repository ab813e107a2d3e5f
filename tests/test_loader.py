"""The data loader: every image occurs once, with its label."""

import json
import re

import numpy as np
import pytest

from fastcnn.data import DataLoader


def arrays(n):
    """Make images that contain their number, and labels that are this number."""
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
    assert len(set(seen)) == sum(sizes)  # no image twice
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
        "`dataset` has 5 images (shape (5, 1, 2, 3)) but `labels` has length 4 (shape (4,)); there must be one label",
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
    "augmentation without a generator": (
        (X, Y, 2),
        {"augment": lambda images, rng: images},
        TypeError,
        "`rng` is None but `augment` needs a numpy.random.Generator",
    ),
    "augmentation that is no function": (
        (X, Y, 2),
        {"augment": "flip", "rng": np.random.default_rng(0)},
        TypeError,
        "`augment` must be callable, augment(images, rng), not 'flip'.",
    ),
    "images in a list": (
        ([1, 2], Y[:2], 2),
        {},
        TypeError,
        "`dataset` must be a numpy array of images to go with `labels`",
    ),
    "a label for all": ((X, np.array(3), 2), {}, TypeError, "`labels` must be a numpy array of labels, one for each"),
    "no labels": ((X,), {}, TypeError, "`labels` must be a numpy array of labels, one for each image, of at least 1"),
    "no labels but a number": ((X, 32), {}, TypeError, "`labels` must be a numpy array of labels, one for each image"),
    "a generator": ((iter("ab"),), {}, TypeError, "`dataset` must have a length and items (image, label), or be a"),
    "a dictionary": (({0: X},), {}, TypeError, "`dataset` must have a length and items (image, label), or be a numpy"),
    "a dataset and labels": (([(X[0], 1)], Y, 2), {}, TypeError, "`dataset` must be a numpy array of images to go"),
    "a number for shuffle": (([(X[0], 1)], 2, 5), {}, TypeError, "`shuffle` must be True or False, not 5."),
    "half a thread": (
        ([(X[0], 1)],),
        {"num_workers": 0.5},
        TypeError,
        "`num_workers` must be a whole number, not 0.5.",
    ),
    "fewer threads than none": ((X, Y), {"num_workers": -1}, ValueError, "`num_workers` is -1 but must be at least 0."),
}


@pytest.mark.parametrize(("arguments", "options", "error", "sentence"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, options, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        DataLoader(*arguments, **options)


# ---- augmentation ----


def noise(images, rng):
    """A random augmentation that changes images in place."""
    images += rng.random(images.shape, np.float32)
    return images


def loader(n=10, batch_size=3, *, seed=0, bits=np.random.PCG64, **options):
    rng = np.random.Generator(bits(seed))
    return DataLoader(*arrays(n), batch_size, **{"shuffle": True, "rng": rng, "augment": noise, **options})


def equal(batches, expected):
    """Assert that two lists of batches are bit-identical."""
    assert len(batches) == len(expected)
    for ours, theirs in zip(batches, expected, strict=True):
        for array, wanted in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(array, wanted, strict=True)


def test_augmentation_leaves_the_order_alone():
    labels = [[y.tolist() for _, y in loader(augment=augment)] for augment in (None, noise)]
    assert labels[0] == labels[1]


def test_augmentation_is_another_in_each_epoch_and_batch():
    one = loader(6, 3, shuffle=False)
    first, second = ([x - np.floor(x) for x, _ in one] for _ in range(2))
    assert not np.allclose(first[0], first[1], atol=1e-5)  # equal noise would differ only by rounding
    assert not np.allclose(first[0], second[0], atol=1e-5)


PARTS = {"even": 2, "uneven": 3, "some are empty": 5}


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_parts_make_up_the_batches(parts, shuffle):
    whole, *loaders = (
        DataLoader(*arrays(10), 4, shuffle=shuffle, rng=np.random.default_rng(0)) for _ in range(parts + 1)
    )
    for _ in range(2):  # epochs
        pieces = [list(loader.parts(part, parts)) for part, loader in enumerate(loaders)]
        for i, (x, labels) in enumerate(whole):
            np.testing.assert_array_equal(np.concatenate([piece[i][0] for piece in pieces]), x)
            np.testing.assert_array_equal(np.concatenate([piece[i][1] for piece in pieces]), labels)
            sizes = [len(piece[i][1]) for piece in pieces]
            assert max(sizes) - min(sizes) <= 1
    assert all(loader.state_dict() == whole.state_dict() for loader in loaders)


def test_parts_are_augmented_each_by_itself_the_first_as_a_whole_batch():
    drawn = []
    options = {"augment": lambda x, rng: drawn.append(rng.random()) or x}
    for part, parts in ((0, 1), (0, 2), (1, 2), (4, 5)):
        loader = DataLoader(*arrays(4), 4, rng=np.random.default_rng(0), **options)
        assert sum(len(labels) for _, labels in loader.parts(part, parts)) == 4 // parts + (part == 4)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[1:])) == 3


def test_a_part_without_images_is_not_augmented():
    options = {"rng": np.random.default_rng(0), "augment": lambda x, rng: 1 / 0}
    [(x, labels)] = DataLoader(*arrays(1), 4, **options).parts(0, 2)
    assert (x.shape, labels.shape) == ((0, 1, 2, 3), (0,))


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_augmentation_that_writes_to_its_batch_does_not_change_the_data(shuffle):
    one = loader(shuffle=shuffle)
    list(one)
    np.testing.assert_array_equal(one.dataset.images, arrays(10)[0])


def test_augmentation_must_return_as_many_images():
    bad = loader(augment=lambda images, rng: images[:1])
    with pytest.raises(
        ValueError, match=re.escape("must return an array of 3 images, like its argument, not (1, 1, 2, 3)")
    ):
        next(iter(bad))


# ---- resuming from the state of another loader ----

BITS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]


@pytest.mark.parametrize("bits", BITS, ids=lambda bits: bits.__name__)
def test_a_run_that_was_stopped_at_any_batch_goes_on_with_the_next(bits):
    uninterrupted = loader(bits=bits)
    expected = [batch for _ in range(3) for batch in uninterrupted]
    for stop in range(len(expected) + 1):
        one = loader(bits=bits)
        seen, state = [], one.state_dict()
        while len(seen) < stop:
            for batch in one:
                seen.append(batch)
                state = json.loads(json.dumps(one.state_dict()))
                if len(seen) == stop:
                    break
        other = loader(seed=5, bits=bits)
        other.load_state_dict(state)
        while len(seen) < len(expected):
            seen.extend(other)
        equal(seen, expected)


def test_the_state_after_an_epoch_is_that_of_a_new_one():
    one = loader()
    list(one)
    state = one.state_dict()
    assert state["batches"] == 0
    assert state["rng"] == one.rng.bit_generator.state
    other = loader(seed=5)
    other.load_state_dict(state)
    equal(list(other), list(one))


def test_the_state_within_the_last_batch_leaves_nothing_of_the_epoch():
    one = loader()
    for _ in one:
        state = one.state_dict()
    assert state["batches"] == len(one)
    other = loader(seed=5)
    other.load_state_dict(state)
    assert list(other) == []
    equal(list(other), list(one))


def test_a_loaded_state_is_the_state():
    one = loader()
    next(iter(one))
    other = loader(seed=5)
    other.load_state_dict(one.state_dict())
    assert other.state_dict() == one.state_dict()
    equal(list(other)[:1], list(loader())[1:2])


def test_going_on_computes_no_batch_twice():
    calls = []

    def count(images, rng):
        calls.append(len(images))
        return images

    one = loader()
    batches = iter(one)
    next(batches), next(batches), next(batches)
    other = loader(augment=count)
    other.load_state_dict(one.state_dict())
    list(other)
    assert calls == [1]


def test_without_randomness_the_state_is_a_place():
    one, other = (loader(shuffle=False, augment=None, rng=None) for _ in range(2))
    next(iter(one))
    assert one.state_dict() == {"rng": None, "batches": 1, "images": 10, "batch_size": 3}
    other.load_state_dict(one.state_dict())
    assert [y.tolist() for _, y in other] == [[3, 4, 5], [6, 7, 8], [9]]
    assert len(list(other)) == 4


def test_a_new_iteration_after_an_early_end_is_a_new_epoch():
    one, expected = loader(), loader()
    list(expected)
    next(iter(one))
    equal(list(one), list(expected))
    assert one.state_dict()["batches"] == 0


STATE = loader().state_dict()
BAD_STATES = {
    "no dictionary": (None, "`state` must be a dictionary with rng, batches, images, batch_size, not None."),
    "a part of it": ({"batches": 1}, "`state` must be a dictionary with rng, batches, images, batch_size, not {'b"),
    "other data": ({**STATE, "images": 11}, "`state` has images 11 but this loader has 10."),
    "other batches": ({**STATE, "batch_size": 4}, "`state` has batch_size 4 but this loader has 3."),
    "more batches than there are": ({**STATE, "batches": 5}, "`state` has returned 5 batches but an epoch has 4."),
    "fewer than none": ({**STATE, "batches": -1}, "`state['batches']` is -1 but must be at least 0."),
    "no generator": ({**STATE, "rng": None}, "`state` is from a loader without a generator, but this loader has"),
    "another generator": (
        loader(bits=np.random.MT19937).state_dict(),
        "`state['rng']` is not the state of a PCG64, this loader's generator.",
    ),
    "a number for a state": ({**STATE, "rng": 3}, "`state['rng']` is not the state of a PCG64"),
    "a state without numbers": ({**STATE, "rng": {"bit_generator": "PCG64"}}, "`state['rng']` is not the state of a"),
}


@pytest.mark.parametrize(("state", "sentence"), BAD_STATES.values(), ids=BAD_STATES)
def test_a_bad_state_changes_nothing(state, sentence):
    one = loader()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        one.load_state_dict(state)
    assert one.state_dict() == STATE
    equal(list(one), list(loader()))


def test_a_state_with_a_generator_for_a_loader_without_one():
    one = DataLoader(np.zeros((10, 1, 2, 2), np.float32), np.arange(10), batch_size=3)
    with pytest.raises(ValueError, match="`state` is from a loader with a generator, but this loader has none"):
        one.load_state_dict(STATE)


def test_inputs_that_are_none_are_refused():
    with pytest.raises(ValueError, match="`dataset` is an empty tuple but must hold an array of images for each input"):
        DataLoader((), np.arange(10), batch_size=3)


def test_arrays_are_a_dataset_with_items():
    images, labels = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2), np.arange(3)
    image, label = DataLoader(images, labels, batch_size=2).dataset[1]
    assert (image.tolist(), label) == (images[1].tolist(), 1)


def test_labels_of_a_batch_have_one_shape():
    image = np.zeros((1, 2, 2), np.float32)
    with pytest.raises(ValueError, match=r"The labels of a batch must have one shape, but dataset\[1\] has \(2,\) and"):
        next(iter(DataLoader([(image, [1]), (image, [1, 2])], 2)))


def test_an_older_iteration_does_not_end_the_newer_one(rng):
    loader = DataLoader(np.zeros((4, 2)), np.arange(4), 2)
    older, newer = iter(loader), iter(loader)
    next(older), next(newer)
    assert len(list(older)) == 1
    assert loader.state_dict()["batches"] == 1  # of the newer one
    assert len(list(newer)) == 1
