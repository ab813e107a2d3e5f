"""The parts of examples/cifar10.py, on small pictures of noise and with a small network."""

import json
import re
import sys
from itertools import pairwise

import numpy as np
import pytest

import fastcnn
from examples import cifar10
from fastcnn import data, training

SMALL = cifar10.Recipe(widths=(4, 5, 6), epochs=5.5, batch_size=8, whitening_bias_epochs=1)


@pytest.fixture(autouse=True)
def numpy_backend():
    """Use the numpy backend, so that nothing is compiled; the other backends agree with it."""
    with fastcnn.use_backend("numpy"):
        yield


@pytest.fixture
def pictures(rng):
    """Two classes: red and blue pictures."""
    labels = np.arange(32) % 2
    images = rng.integers(0, 100, (32, 3, 32, 32))
    images[labels == 0, 0] += 150
    images[labels == 1, 2] += 150
    return images.astype(np.uint8), labels


def test_the_first_layer_whitens(pictures):
    x = cifar10.Standardized(pictures[0])(pictures[0])
    first = cifar10.build(SMALL, cifar10.whitening_filters(x), np.random.default_rng(0))[0]
    y = first(x).transpose(1, 0, 2, 3).reshape(24, -1)
    np.testing.assert_allclose(y[:12] @ y[:12].T / y.shape[1], np.eye(12), atol=0.05)
    np.testing.assert_allclose(y[12:], -y[:12], atol=1e-4)


def test_pictures_are_standardized(pictures):
    expected = data.standardize(pictures[0], *data.mean_and_std(pictures[0][::10]))
    np.testing.assert_allclose(cifar10.Standardized(pictures[0])(pictures[0]), expected, atol=1e-5)


def test_each_picture_is_flipped_in_every_other_epoch(rng):
    images = np.zeros((8, 1, 32, 32), np.uint8)
    images[..., :16] = 200  # bright on the left
    recipe, labels = cifar10.Recipe(widths=(4, 4, 4), epochs=3, batch_size=4), np.arange(8)
    left = np.empty((3, 8), bool)
    for step, (x, t) in enumerate(cifar10.batches(recipe, images, labels, rng)):
        left[step // 2, t] = x[:, 0, 16, 0] > 0
    assert (left[0] != left[1]).all()
    assert (left[0] == left[2]).all()
    assert 0 < left[0].sum() < 8


def test_steps_of_a_part_of_an_epoch(pictures, rng):
    found = list(cifar10.batches(SMALL, *pictures, rng))
    assert len(found) == SMALL.steps(32) == 22
    assert {(x.shape, len(t)) for x, t in found} == {((8, 3, 32, 32), 8)}


def test_it_learns(pictures):
    seen = []
    model, standardize = cifar10.train(SMALL, *pictures, seed=0, watch=lambda *step: seen.append(step))
    assert [step for step, *_ in seen] == [*range(1, 23)]
    assert {watched for *_, watched in seen} == {model}
    single, averaged = cifar10.logits(model, standardize, pictures[0])
    assert (averaged.argmax(1) == pictures[1]).mean() > 0.9
    plain = training.evaluate(model, standardize(pictures[0]), pictures[1])
    assert plain.accuracy == (single.argmax(1) == pictures[1]).mean()
    again, _ = cifar10.train(SMALL, *pictures, seed=0)
    for name, array in again.state_dict().items():
        np.testing.assert_array_equal(array, model.state_dict()[name])


def test_six_views(pictures):
    model, standardize = cifar10.train(SMALL, *pictures, seed=0)
    images = pictures[0][:3]
    moved = np.pad(images, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="reflect")
    views = [(2, images), (1, moved[:, :, :-2, :-2]), (1, moved[:, :, 2:, 2:])]
    model.eval()
    expected = sum(w * (model(standardize(x)) + model(standardize(x[..., ::-1]))) for w, x in views) / 8
    np.testing.assert_allclose(cifar10.logits(model, standardize, images)[1], expected, atol=1e-4)


def test_parameters_are_divided_among_the_optimizers():
    model = cifar10.build(SMALL, np.zeros((24, 3, 2, 2)), np.random.default_rng(0))
    optimizers = cifar10.optimizers(model, SMALL)
    assert [type(optimizer).__name__ for optimizer in optimizers] == ["Muon", "SGD", "SGD", "SGD"]
    forms = [[(len(parameter.data), parameter.data.ndim) for parameter in optimizer.params] for optimizer in optimizers]
    widths = 4, 4, 5, 5, 6, 6
    assert forms == [[(width, 4) for width in widths], [(24, 1)], [(width, 1) for width in widths], [(10, 2)]]
    assert [optimizer.lr for optimizer in optimizers] == [0.17, 53, 53, 0.01]


def test_rates_fall_to_zero_and_the_first_bias_is_frozen_then(pictures, monkeypatch):
    rates, first, made = [], [], cifar10.optimizers

    def optimizers(model, recipe):
        for optimizer in (found := made(model, recipe)):
            optimizer.rates, take_step = [], optimizer.step
            rates.append(optimizer.rates)
            monkeypatch.setattr(optimizer, "step", lambda one=optimizer, go=take_step: (one.rates.append(one.lr), go()))
        return found

    monkeypatch.setattr(cifar10, "optimizers", optimizers)
    cifar10.train(SMALL, *pictures, seed=0, watch=lambda step, loss, model: first.append(model[0].bias.data.copy()))
    fall = np.arange(22, 0, -1) / 22
    np.testing.assert_allclose(rates, [0.17 * fall, 53 * np.maximum(0, 1 - np.arange(22) / 4), 53 * fall, 0.01 * fall])
    moved = [not np.array_equal(a, b) for a, b in pairwise(first)]
    assert moved == [True] * 3 + [False] * 18


def test_filters_are_normalized(rng):
    filters = [fastcnn.nn.Parameter(rng.standard_normal((5, 3, 3, 3)).astype(np.float32)) for _ in range(2)]
    before = filters[1].data / filters[1].data[0, 0, 0, 0]
    cifar10.normalize(filters)
    for parameter in filters:
        assert np.square(parameter.data).sum() == pytest.approx(5)
    np.testing.assert_allclose(filters[1].data / filters[1].data[0, 0, 0, 0], before, rtol=1e-5)


@pytest.fixture
def small_file(pictures, tmp_path, monkeypatch):
    """A file of pictures, for which the program has a small recipe."""
    images, labels = pictures
    np.savez(tmp_path / "small.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    monkeypatch.setitem(cifar10.RECIPES, "small", SMALL)
    return tmp_path / "small.npz"


def call(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["cifar10.py", *map(str, options)])
    return cifar10.main()


def test_the_record(small_file, tmp_path, monkeypatch, capsys):
    options = ("--data", small_file, "--seeds", 2, "--first-seed", 3, "--json", tmp_path / "a.json")
    assert call(monkeypatch, *options) == 0
    record = json.loads((tmp_path / "a.json").read_text())
    assert [run["seed"] for run in record["runs"]] == [3, 4]
    assert record["accuracy"] == np.mean([run["accuracy"] for run in record["runs"]])
    assert [len(run["losses"]) for run in record["runs"]] == [22, 22]
    said = capsys.readouterr()
    assert "of 2 seeds" in said.out
    epochs = re.findall(r"^epoch (\d+) of 5.5: loss [\d.]+, [\d.]+ minutes$", said.err, re.MULTILINE)
    assert epochs == ["1", "2", "3", "4", "5"] * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seeds", 0], "--seeds is 0 but must be at least 1"),
        (["--first-seed", -1], "--first-seed is -1 but must be at least 0"),
        (["--data", "nowhere"], "nowhere"),
        (["--threads", 0], "`n` "),
        (["--data", "digits"], "--data has pictures (1, 28, 28) but needs (3, 32, 32)"),
        (["--json", "nowhere/a.json"], "nowhere"),
    ],
    ids=lambda value: None if isinstance(value, str) else value[0],
)
def test_wrong_options_are_one_line(options, said, small_file, monkeypatch, capsys):
    with pytest.raises(SystemExit) as raised:
        call(monkeypatch, "--data", small_file, *options)
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("count", "classes", "said"),
    [
        (7, 2, "--data has 7 pictures to train with but needs 8"),
        (32, 11, "--data has 11 classes but must have at most 10"),
    ],
)
def test_pictures_that_do_not_fit_are_one_line(count, classes, said, small_file, monkeypatch, capsys):
    images, labels = np.zeros((count, 3, 32, 32), np.uint8), np.arange(count) % classes
    np.savez(small_file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(SystemExit) as raised:
        call(monkeypatch, "--data", small_file)
    assert raised.value.code == 2
    assert capsys.readouterr().err == f"cifar10.py: {said}\n"
