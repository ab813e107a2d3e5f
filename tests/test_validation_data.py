"""Validation data of a run: arrays, a loader, any iterable of batches, or none."""

import gc
import weakref

import numpy as np
import pytest

from fastcnn import data, nn, optim, plotting, training

X = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


@pytest.fixture(autouse=True)
def _numpy(monkeypatch):
    monkeypatch.setenv("FASTCNN_BACKEND", "numpy")


def make(*callbacks) -> tuple[training.Trainer, data.DataLoader]:
    model = nn.Linear(3, 2, rng=np.random.default_rng(1))
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.5), nn.CrossEntropyLoss(), callbacks=callbacks)
    return trainer, data.DataLoader(X, Y, 16, shuffle=True, rng=np.random.default_rng(2))


def test_nothing_is_held_out(tmp_path, capsys):
    best, stopping = training.BestWeights(), training.EarlyStopping(50)
    trainer, loader = make(best, stopping)
    history = trainer.fit(loader, epochs=3)
    assert trainer.evaluation is None
    assert [list(epoch.metrics) for epoch in history.epochs] == [["train_loss", "train_accuracy"]] * 3
    assert best.best == stopping.best == min(epoch.train_loss for epoch in history.epochs)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == str(history.epochs[-1])
    assert "validation" not in line
    with pytest.raises(AttributeError, match="has no validation_loss; its metrics are train_loss, train_accuracy"):
        _ = history.epochs[0].validation_loss
    history.to_json(tmp_path / "history.json")
    assert training.History.from_json(tmp_path / "history.json") == history
    assert repr(history) == (
        f"History(epochs=3, batches=9, train_loss={history.epochs[-1].train_loss:.4f}, "
        f"train_accuracy={history.epochs[-1].train_accuracy:.4f})"
    )


def test_an_epoch_is_one_unless_it_is_said():
    trainer, loader = make()
    assert len(trainer.fit(loader).epochs) == 1


def test_what_is_not_measured_cannot_be_monitored():
    for callback in (training.BestWeights("validation_accuracy"), training.EarlyStopping(3, "validation_accuracy")):
        trainer, loader = make(callback)
        with pytest.raises(
            ValueError, match=r"`monitor` of \w+\(.*\) needs validation data, .* monitor 'train_accuracy'"
        ):
            trainer.fit(loader, epochs=1)
        assert not trainer.history.step_losses
        callback.monitor = "validation_mae"
        with pytest.raises(
            ValueError, match=r"must be one of 'validation_loss', 'validation_accuracy'.*: the task is Clas"
        ):
            trainer.fit(loader, (X, Y), epochs=1)
    for monitor in ("test_loss", "accuracy", 3):
        with pytest.raises(ValueError, match=f"`monitor` is {monitor!r} but must begin with 'train_' or 'validation_'"):
            training.BestWeights(monitor)


def test_sometimes_something_is_held_out(tmp_path):
    trainer, loader = make()
    trainer.fit(loader, epochs=1)
    trainer.fit(loader, (X, Y), epochs=1)
    history = trainer.fit(loader, epochs=1)
    history.to_csv(tmp_path / "history.csv")
    head, *rows = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()]
    place = head.index("validation_loss")
    assert [bool(row[place]) for row in rows] == [False, True, False]
    history.to_json(tmp_path / "history.json")
    assert training.History.from_json(tmp_path / "history.json") == history
    assert [line.split()[4] == "-" for line in str(history).splitlines()[1:]] == [True, False, True]
    pytest.importorskip("matplotlib")
    loss, _ = plotting.plot_history(history).axes
    assert [len(line.get_xdata()) for line in loss.get_lines()] == [9, 3, 1]


def test_a_loader_that_varies_its_images_measures_nothing():
    trainer, loader = make()
    with pytest.raises(ValueError, match="`validation` cannot be evaluated: its loader has `shuffle=True`, but every"):
        trainer.fit(loader, loader, 1)
    varied = data.DataLoader(X, Y, 8, augment=lambda images, rng: images, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="`validation` cannot be evaluated: its loader has `augment`, but every"):
        trainer.fit(loader, varied, 1)
    with pytest.raises(ValueError, match="`validation` cannot be evaluated: it gives no batch: `drop_last` drops the"):
        trainer.fit(loader, data.DataLoader(X, Y, 80, drop_last=True), 1)
    with pytest.raises(ValueError, match="`validation` cannot be evaluated: `labels` holds 7, but its values must be"):
        trainer.fit(loader, data.DataLoader(X, Y * 7, 8), 1)


def test_a_generator_is_used_up():
    trainer, loader = make()
    with pytest.raises(ValueError, match="There is no batch to evaluate; a generator can be used only once"):
        trainer.fit(loader, (batch for batch in [(X, Y)]), 2)
    assert len(trainer.history.epochs) == 1


def test_batches_of_images_come_and_go():
    alive = []

    class Streaming:
        def __iter__(self):
            for i in range(0, len(X), 8):
                gc.collect()
                assert sum(reference() is not None for reference in alive) <= 1
                images = X[i : i + 8].copy()
                alive.append(weakref.ref(images))
                yield images, Y[i : i + 8]
                del images

    trainer, loader = make()
    record = trainer.fit(loader, Streaming(), 1).epochs[0]
    assert len(alive) == 5
    assert record.validation_loss == training.evaluate(trainer.model, X, Y, batch_size=8).loss


def test_a_history_shows_a_table():
    trainer, loader = make()
    history = trainer.fit(loader, (X, Y), 2)
    first, last = history.epochs
    assert str(history).splitlines() == [
        "epoch  seconds    loss  accuracy  validation loss  validation accuracy   lr",
        *(f"    {e.epoch}  {e.seconds:>7.2f}  {e.train_loss:.4f}  {e.train_accuracy:>8.2%}  "
          f"{e.validation_loss:>15.4f}  {e.validation_accuracy:>19.2%}  0.5" for e in (first, last)),
    ]  # fmt: skip
    html = history._repr_html_()
    assert html.startswith("<table><tr><th>epoch</th><th>seconds</th><th>loss</th>")
    assert html.count("<tr>") == 3
    assert f"<td>{last.validation_accuracy:.2%}</td>" in html
    assert repr(history).startswith("History(epochs=2, batches=6, validation_loss=")
    assert repr(training.History()) == "History(epochs=0, batches=0)"
    assert str(training.History()).split() == ["epoch", "seconds", "lr"]


def test_a_model_of_two_inputs_is_trained_and_measured():
    def make():
        rng = np.random.default_rng(1)
        branches = nn.Parallel(nn.Linear(3, 4, rng=rng), nn.Linear(2, 4, rng=rng))
        model = nn.Sequential(branches, nn.ReLU(), nn.Linear(8, 2, rng=rng))
        return training.Trainer(model, optim.SGD(model.parameters(), 0.5), nn.CrossEntropyLoss())

    pair, labels = (X, X[:, :2] ** 2), Y
    batches = [(tuple(array[i : i + 8] for array in pair), labels[i : i + 8]) for i in range(0, 40, 8)]
    one, other = make(), make()
    history = one.fit(batches, (pair, labels), 5)
    assert history.epochs[-1].validation_accuracy > 0.8
    last = [epoch.validation_loss for epoch in history.epochs]
    assert [epoch.validation_loss for epoch in other.fit(batches, batches, 5).epochs] == pytest.approx(last)
    found = training.evaluate(one.model, pair, labels)
    assert (found.loss, found.accuracy) == (last[-1], history.epochs[-1].validation_accuracy)
    with pytest.raises(ValueError, match="`labels` has length 40 but must have one label for each of 39 images"):
        training.evaluate(one.model, (X, X[1:, :2]), labels)
    batches[2][0][1][3] = np.nan
    with pytest.raises(FloatingPointError, match="The images hold values that are not finite, first in image 3"):
        one.fit(batches, epochs=1)
