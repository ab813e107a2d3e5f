"""Batches for a net with several inputs, from arrays or a dataset, in training and evaluation."""

import re

import numpy as np
import pytest

import fastcnn
from fastcnn import nn, optim, training
from fastcnn.data import DataLoader

PLACES = 2


def arrays(n=40):
    """Make images, positions, and labels that depend on both: a bright image at the right."""
    rng = np.random.default_rng(0)
    images, places = rng.standard_normal((n, 1, 6, 6)).astype(np.float32), rng.uniform(-1, 1, (n, PLACES))
    labels = (images.mean(axis=(1, 2, 3)) > 0) & (places[:, 0] > 0)
    return images, places.astype(np.float32), labels.astype(np.int64)


class Pairs:
    """The same data as a dataset."""

    def __init__(self, n=40):
        self.all = arrays(n)

    def __len__(self):
        return len(self.all[0])

    def __getitem__(self, i):
        image, place, label = (array[i] for array in self.all)
        return (image, place), label


def net(rng):
    look = nn.Sequential(nn.Conv2d(1, 4, 3, rng=rng), nn.ReLU(), nn.GlobalAvgPool2d())
    head = nn.Linear(4 + PLACES, 8, rng=rng), nn.ReLU(), nn.Linear(8, 2, rng=rng)
    return nn.Sequential(nn.Parallel(look, nn.Identity()), *head)


def both(**options):
    """Make a loader of arrays and one of a dataset, which give the same batches."""
    images, places, labels = arrays()
    for given in ((images, places), labels), (Pairs(),):
        yield DataLoader(*given, batch_size=16, **{"rng": np.random.default_rng(1), "shuffle": True, **options})


def equal(some, others):
    for ((a, b), labels), ((c, d), more) in zip(some, others, strict=True):
        for one, other in zip((a, b, labels), (c, d, more), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_have_a_tuple_of_inputs(num_workers):
    images, places, labels = arrays()
    order = np.random.default_rng(1).permutation(40)
    expected = [((images[w], places[w]), labels[w]) for w in (order[:16], order[16:32], order[32:])]
    for loader in both(num_workers=num_workers):
        equal(list(loader), expected)
        assert [len(batch) for batch, _ in loader] == [2, 2, 2]


def test_in_order_batches_of_arrays_are_views():
    images, places, labels = arrays()
    for (a, b), _ in DataLoader((images, places), labels, 16):
        assert np.shares_memory(a, images)
        assert np.shares_memory(b, places)


def test_parts_and_samples():
    for loader in both(shuffle=False):
        images, places, labels = arrays()
        equal([loader.sample(3)], [((images[:3], places[:3]), labels[:3])])
        *_, last = loader.parts(2, 3)
        equal([last], [((images[37:], places[37:]), labels[37:])])
        (a, b), none = [*loader.parts(0, 9)][2]  # a batch of eight images
        assert (a.shape, b.shape, none.shape) == ((0, 1, 6, 6), (0, PLACES), (0,))


def test_augmentation_takes_and_gives_all_inputs():
    def moved(inputs, rng):
        image, place = inputs
        place += rng.normal(size=2).astype(np.float32)
        return image[..., ::-1], place

    one, other = (list(loader) for loader in both(augment=moved, shuffle=False))
    equal(one, other)
    images, places, _ = arrays()
    (image, place), _ = one[0]
    np.testing.assert_array_equal(image, images[:16, :, :, ::-1])
    shift = place - places[:16]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], (16, 2)), atol=1e-6)
    assert abs(shift).min() > 0
    for loader in both(augment=moved, shuffle=False):
        list(loader)
        for found, expected in zip(getattr(loader.dataset, "images", Pairs().all[:2]), (images, places), strict=True):
            np.testing.assert_array_equal(found, expected)  # the data are unchanged


@pytest.mark.parametrize(
    ("augment", "found"),
    [
        (lambda inputs, rng: inputs[0], "(16, 1, 6, 6)"),
        (lambda inputs, rng: (inputs[0], inputs[1][:3]), "((16, 1, 6, 6), (3, 2))"),
        (lambda inputs, rng: (inputs[0], None), "((16, 1, 6, 6), 'NoneType')"),
    ],
    ids=["one of two", "too few rows", "none"],
)
def test_augmentation_must_return_as_many_arrays(augment, found):
    said = f"must return a tuple of 2 arrays of 16 images, like its argument, not {found}."
    for loader in both(augment=augment):
        with pytest.raises(ValueError, match=re.escape(said)):
            next(iter(loader))


@pytest.mark.parametrize(
    ("dataset", "error", "sentence"),
    [
        ((np.zeros(3), np.zeros(2)), ValueError, "`dataset[1]` has 2 images (shape (2,)) but `labels` has length 3"),
        ((np.zeros(3), [1, 2, 3]), TypeError, "`dataset[1]` must be a numpy array of images to go with `labels`"),
        ((), ValueError, "`dataset` is an empty tuple"),
        (
            [np.zeros(3), np.zeros(3)],
            TypeError,
            "of at least 1 dimension, or a tuple of such arrays, one for each input, not [",
        ),
    ],
    ids=["lengths", "a list", "nothing", "a list of arrays"],
)
def test_bad_arrays(dataset, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        DataLoader(dataset, np.zeros(3, int), 2)


def test_bad_items():
    both, other, alone = (np.zeros(2), np.zeros(3)), (np.zeros(2), np.zeros(4)), np.zeros(2)
    for second, said in ((other, "((2,), (4,))"), (alone, "(2,)")):
        sentence = f"dataset[1] has {said} and dataset[0] has ((2,), (3,))"
        with pytest.raises(ValueError, match=re.escape(sentence)):
            next(iter(DataLoader([(both, 0), (second, 1)], 2)))
    with pytest.raises(TypeError, match=re.escape("dataset[0] must be a pair (image, label)")):
        next(iter(DataLoader([((), 0)], 1)))


class Looks(training.Callback):
    """A callback between the parts of a training step."""

    def on_backward_end(self, trainer):
        pass


@pytest.mark.parametrize("callbacks", [[], [Looks()]], ids=["whole steps", "parts of steps"])
@pytest.mark.parametrize("held_out", ["arrays", "loader"])
def test_a_trainer_trains_and_evaluates(fast_backend, callbacks, held_out, tmp_path):
    images, places, labels = arrays()
    validation = ((images, places), labels) if held_out == "arrays" else DataLoader((images, places), labels, 16)
    with fastcnn.use_backend(fast_backend):
        runs = []
        for loader in both():
            model = net(np.random.default_rng(2))
            optimizer = optim.Adam(model.parameters(), lr=0.03)
            trainer = training.Trainer(model, optimizer, nn.CrossEntropyLoss(), callbacks=callbacks)
            runs.append((trainer.fit(loader, validation, 25), model))
        (history, model), (other, _) = runs
        assert history.step_losses == other.step_losses
        assert history.epochs[-1].validation_accuracy > 0.95
        found = training.evaluate(model, (images, places), labels)
        assert found.accuracy == pytest.approx(history.epochs[-1].validation_accuracy)
        np.testing.assert_array_equal(found.logits, model.eval()(images, places))


def test_steps_are_those_of_the_loop(fast_backend):
    with fastcnn.use_backend(fast_backend):
        one, other = (net(np.random.default_rng(2)) for _ in range(2))
        loss, sgd = nn.CrossEntropyLoss(), optim.SGD(other.parameters(), lr=0.1)
        step = training.TrainStep(one, optim.SGD(one.parameters(), lr=0.1), nn.CrossEntropyLoss())
        for x, labels in next(both()):
            value = loss(other(*x), labels)
            sgd.zero_grad()
            other.backward(loss.backward(), input_grad=False)
            sgd.step()
            assert step(x, labels) == value
        for name, array in one.state_dict().items():
            np.testing.assert_array_equal(array, other.state_dict()[name])


def test_what_does_not_fit_is_said_before_the_first_batch():
    images, places, labels = arrays()
    model = net(np.random.default_rng(2))
    trainer = training.Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match=r"`train` cannot be trained on: .*2 branches and needs one input for each"):
        trainer.fit(DataLoader(images, labels, 16))
    with pytest.raises(ValueError, match=r"`validation` cannot be evaluated: .*one label for each of 39 images"):
        trainer.fit(next(both()), ((images, places[1:]), labels))
