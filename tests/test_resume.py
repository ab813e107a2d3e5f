"""A run that is stopped and resumed from a checkpoint equals an uninterrupted run, bit for bit."""

import numpy as np
import pytest

import fastcnn
from fastcnn import data, nn, optim, training
from tests.runs import BATCHES, EPOCHS, exact, make_run, outcome, remaining


class Stop(Exception):
    pass


class StopAfter(training.Callback):
    """Save a checkpoint and raise an error, as if the process had been killed."""

    runs_last = True

    def __init__(self, batches: int, path, *, epoch_end: bool = False):
        self.batches, self.path, self.epoch_end = batches, path, epoch_end

    def on_batch_end(self, trainer):
        if not self.epoch_end:
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer):
        if len(trainer.history.step_losses) == self.batches:
            training.save_checkpoint(self.path, trainer, trainer.loader)
            raise Stop


def whole(**options) -> dict:
    trainer, loader, validation = make_run(**options)
    trainer.fit(loader, validation, EPOCHS)
    return exact(outcome(trainer, loader))


def stopped_and_resumed(path, batches: int, *, epoch_end: bool = False, **options) -> dict:
    trainer, loader, validation = make_run(StopAfter(batches, path, epoch_end=epoch_end), **options)
    with pytest.raises(Stop):
        trainer.fit(loader, validation, EPOCHS)
    trainer, loader, validation = make_run(**options)
    training.load_checkpoint(path).restore(trainer, loader)
    trainer.fit(loader, validation, remaining(trainer))
    return exact(outcome(trainer, loader))


OPTIONS = [
    pytest.param({}, id="Adam and one cycle"),
    pytest.param({"optimizer": "SGD", "schedule": "StepLR"}, id="momentum and steps"),
    pytest.param({"schedule": None}, id="no schedule"),
    pytest.param({"shared": True}, id="one generator for the loader and the layers"),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_after_any_batch(tmp_path, options):
    with fastcnn.use_backend("numpy"):
        expected = whole(**options)
        for batches in (1, 4, BATCHES, BATCHES + 1, 2 * BATCHES, EPOCHS * BATCHES):
            assert stopped_and_resumed(tmp_path / "a", batches, **options) == expected, f"after {batches} batches"


@pytest.mark.parametrize("options", OPTIONS)
def test_after_any_epoch(tmp_path, options):
    with fastcnn.use_backend("numpy"):
        expected = whole(**options)
        for epoch in range(1, EPOCHS + 1):
            assert stopped_and_resumed(tmp_path / "a", epoch * BATCHES, epoch_end=True, **options) == expected


def test_on_another_number_of_threads(tmp_path):
    before = fastcnn.get_num_threads()
    with fastcnn.use_backend("numba"):
        try:
            fastcnn.set_num_threads(2)
            expected = whole()
            fastcnn.set_num_threads(1)
            assert stopped_and_resumed(tmp_path / "a", BATCHES + 3) == expected
        finally:
            fastcnn.set_num_threads(before)


def test_before_the_first_batch(tmp_path):
    with fastcnn.use_backend("numpy"):
        trainer, loader, _ = make_run()
        training.save_checkpoint(tmp_path / "a", trainer, loader)
        trainer, loader, validation = make_run()
        np.random.default_rng(3).permutation(9)
        training.load_checkpoint(tmp_path / "a").restore(trainer, loader)
        trainer.fit(loader, validation, EPOCHS)
        assert exact(outcome(trainer, loader)) == whole()


def test_a_restored_trainer_can_be_saved_again_before_it_trains(tmp_path):
    with fastcnn.use_backend("numpy"):
        trainer, loader, validation = make_run(StopAfter(10, tmp_path / "a"), shared=True)
        with pytest.raises(Stop):
            trainer.fit(loader, validation, EPOCHS)
        trainer, loader, validation = make_run(shared=True)
        training.load_checkpoint(tmp_path / "a").restore(trainer, loader)
        training.save_checkpoint(tmp_path / "b", trainer, loader)
        trainer, loader, validation = make_run(shared=True)
        training.load_checkpoint(tmp_path / "b").restore(trainer, loader)
        trainer.fit(loader, validation, remaining(trainer))
        assert exact(outcome(trainer, loader)) == whole(shared=True)


def test_callbacks_go_on_too(tmp_path):
    def callbacks():
        return training.EarlyStopping(2, "train_accuracy"), training.BestWeights()

    def state(callback):
        return exact(callback.state_dict())

    with fastcnn.use_backend("numpy"):
        expected = callbacks()
        trainer, loader, validation = make_run(*expected)
        trainer.fit(loader, validation, EPOCHS)
        trainer, loader, validation = make_run(*callbacks(), StopAfter(2 * BATCHES, tmp_path / "a", epoch_end=True))
        with pytest.raises(Stop):
            trainer.fit(loader, validation, EPOCHS)
        trainer, loader, validation = make_run(*(resumed := callbacks()))
        training.load_checkpoint(tmp_path / "a").restore(trainer, loader)
        trainer.fit(loader, validation, remaining(trainer))
        assert [state(callback) for callback in resumed] == [state(callback) for callback in expected]


PARTS = [
    pytest.param(lambda p: optim.AdamW(p, 0.01), lambda o: optim.ReduceLROnPlateau(o, patience=0), id="AdamW, plateau"),
    pytest.param(
        lambda p: optim.RMSprop(p, 0.01),
        lambda o: optim.SequentialLR(o, [optim.LinearLR(o, every="batch"), optim.StepLR(o, 2, every="batch")], [4]),
        id="RMSprop, warm-up",
    ),
]


@pytest.mark.parametrize(("optimizer", "schedule"), PARTS)
def test_all_optimizers_and_averaged_weights(tmp_path, fast_backend, optimizer, schedule):
    def make(*callbacks):
        trainer, loader, validation = make_run()
        steps, average = optimizer(trainer.model.parameters()), optim.ExponentialMovingAverage(trainer.model, 0.9)
        callbacks = training.ClipGradients(0.5), training.WeightAverage(average), training.BestWeights(), *callbacks
        loss = nn.CrossEntropyLoss()
        return training.Trainer(trainer.model, steps, loss, schedule(steps), callbacks), loader, validation

    with fastcnn.use_backend(fast_backend):
        trainer, loader, validation = make()
        trainer.fit(loader, validation, EPOCHS)
        expected = exact(outcome(trainer, loader))
        trainer, loader, validation = make(StopAfter(BATCHES + 3, tmp_path / "a"))
        with pytest.raises(Stop):
            trainer.fit(loader, validation, EPOCHS)
        trainer, loader, validation = make()
        trainer.fit(loader, validation, 1)  # changes its state
        training.load_checkpoint(tmp_path / "a").restore(trainer, loader)
        trainer.fit(loader, validation, remaining(trainer))
        assert exact(outcome(trainer, loader)) == expected


def test_a_loader_that_augments(tmp_path):
    images, labels = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32), np.arange(50) % 3

    def noise(batch, rng):
        return batch + rng.standard_normal(batch.shape, np.float32)

    def make(*callbacks):
        model, rng = nn.Linear(3, 3, rng=np.random.default_rng(1)), np.random.default_rng(2)
        loader = data.DataLoader(images, labels, 8, shuffle=True, rng=rng, augment=noise)
        optimizer = optim.SGD(model.parameters(), 0.1)
        return training.Trainer(model, optimizer, nn.CrossEntropyLoss(), callbacks=callbacks), loader

    with fastcnn.use_backend("numpy"):
        trainer, loader = make()
        expected = trainer.fit(loader, (images, labels), 2).step_losses
        trainer, loader = make(StopAfter(3, tmp_path / "a"))
        with pytest.raises(Stop):
            trainer.fit(loader, (images, labels), 2)
        trainer, loader = make()
        training.load_checkpoint(tmp_path / "a").restore(trainer, loader)
        assert trainer.fit(loader, (images, labels), 2).step_losses == expected


def test_the_bar_begins_where_the_epoch_was(tmp_path, monkeypatch, capsys):
    with fastcnn.use_backend("numpy"):
        trainer, loader, validation = make_run(StopAfter(5, tmp_path / "a"))
        with pytest.raises(Stop):
            trainer.fit(loader, validation, 1)
        trainer, loader, validation = make_run()
        training.load_checkpoint(tmp_path / "a").restore(trainer, loader)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        trainer.fit(loader, validation, 1)
        assert f"5/{BATCHES} batches" in capsys.readouterr().err
