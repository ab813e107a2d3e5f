"""The training loop, evaluation, and the record of the environment."""

import json
import sys
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest

import fastcnn
from fastcnn import data, functional, nn, optim, training
from fastcnn.training import trainer as trainer_module


@pytest.fixture
def fast_backend(fast_backend):
    """Run the test in the backend; the value is its name."""
    with fastcnn.use_backend(fast_backend):
        yield fast_backend


def problem(n: int = 70):
    """Make images (n, 1, 6, 6) whose class is the brighter half."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((n, 1, 6, 6)).astype(np.float32)
    labels = (images[:, 0, :3].sum(axis=(1, 2)) > images[:, 0, 3:].sum(axis=(1, 2))).astype(np.int64)
    return images, labels


def make_trainer(make_schedule=lambda optimizer: None, **options) -> training.Trainer:
    rng = np.random.default_rng(1)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1, rng=rng),
                          nn.Linear(64, 2, rng=rng))  # fmt: skip
    optimizer = optim.SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9, **options})
    return training.Trainer(model, optimizer, nn.CrossEntropyLoss(), make_schedule(optimizer))


def test_it_learns_and_records(fast_backend, capsys):
    images, labels = problem()
    trainer = make_trainer()
    loader = data.DataLoader(images, labels, 16, shuffle=True, rng=np.random.default_rng(2))
    history = trainer.fit(loader, (images, labels), epochs=10)
    assert history is trainer.history
    assert history.epochs[-1].validation_accuracy > 0.9
    assert [epoch.epoch for epoch in history.epochs] == list(range(1, 11))
    assert len(history.step_losses) == 10 * 5
    for epoch in history.epochs:
        assert epoch.batches == 5
        assert epoch.images_per_second == pytest.approx(70 / epoch.seconds)
        sizes, losses = np.array([16, 16, 16, 16, 6]), history.step_losses[5 * epoch.epoch - 5 : 5 * epoch.epoch]
        assert epoch.train_loss == pytest.approx((sizes * losses).sum() / 70)
    last = training.evaluate(trainer.model, images, labels)
    assert trainer.evaluation.loss == last.loss
    assert (history.epochs[-1].validation_loss, history.epochs[-1].validation_accuracy) == (last.loss, last.accuracy)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [str(epoch) for epoch in history.epochs]
    assert "batches" not in captured.err  # no bar without a terminal


def test_a_second_fit_goes_on():
    images, labels = problem(32)
    trainer = make_trainer()
    loader = data.DataLoader(images, labels, 16)
    trainer.fit(loader, (images, labels), epochs=1)
    trainer.fit(loader, (images, labels), epochs=2)
    assert [epoch.epoch for epoch in trainer.history.epochs] == [1, 2, 3]
    assert len(trainer.history.step_losses) == 6


@pytest.mark.parametrize(
    ("make_schedule", "steps", "rates"),
    [
        pytest.param(lambda o: optim.StepLR(o, 1, 0.5), 3, [0.1, 0.05, 0.025], id="once an epoch"),
        pytest.param(
            lambda o: optim.OneCycleLR(o, 0.1, 6, pct_start=0.5, anneal_strategy="linear", div_factor=2),
            6, [0.05, 0.1, 0.1 / 3], id="once a batch",
        ),
        pytest.param(lambda o: None, None, [0.1, 0.1, 0.1], id="never"),
    ],
)  # fmt: skip
def test_schedules_are_stepped_as_they_say(make_schedule, steps, rates):
    images, labels = problem(32)
    trainer = make_trainer(make_schedule)
    trainer.fit(data.DataLoader(images, labels, 16), (images, labels), epochs=3)
    assert [epoch.lr for epoch in trainer.history.epochs] == pytest.approx(rates, rel=1e-3)
    assert trainer.scheduler is None or trainer.scheduler.steps == steps


def test_the_same_seed_gives_the_same_run(fast_backend):
    images, labels = problem()
    losses = []
    for _ in range(2):
        trainer = make_trainer()
        loader = data.DataLoader(images, labels, 16, shuffle=True, rng=np.random.default_rng(3))
        losses.append(trainer.fit(loader, (images, labels), epochs=2).step_losses)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_a_loss_that_is_not_finite_stops_before_it_spreads(bad):
    images, labels = problem(48)
    images[40] = bad
    trainer = make_trainer()
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(FloatingPointError, match="The loss of batch 3 is nan; the learning"),
    ):
        trainer.fit(data.DataLoader(images, labels, 16), (images, labels), epochs=1)
    assert all(np.isfinite(array).all() for array in trainer.model.state_dict().values())
    assert len(trainer.history.step_losses) == 2


def test_interrupt_keeps_what_was_recorded(monkeypatch):
    images, labels = problem(32)

    def interrupted():
        yield images[:16], labels[:16]
        raise KeyboardInterrupt

    trainer = make_trainer()
    trainer.fit([(images, labels)], (images, labels), epochs=1)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(interrupted(), (images, labels), epochs=1)
    assert len(trainer.history.epochs) == 1
    assert len(trainer.history.step_losses) == 2


def test_a_loss_that_is_no_mean_is_refused():
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"`loss` is CrossEntropyLoss\(reduction='sum'\) but must be a mean"):
        training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss(reduction="sum"))


def test_a_loss_of_ones_own_may_be_a_number_of_numpy_and_change_the_logits(tmp_path):
    class Squares:
        def __call__(self, logits, labels):
            self._difference = logits
            logits -= np.eye(2, dtype=np.float32)[labels]
            return np.square(logits).sum(axis=1).mean()

        def backward(self):
            return 2 * self._difference / len(self._difference)

    images, labels = problem(32)
    trainer = make_trainer()
    trainer.loss = Squares()
    history = trainer.fit(data.DataLoader(images, labels, 8), (images, labels), 4)
    assert history.epochs[-1].validation_loss < 0.6 < history.epochs[0].train_loss
    history.to_json(tmp_path / "history.json")
    assert training.History.from_json(tmp_path / "history.json") == history


def test_a_generator_is_used_up():
    images, labels = problem(16)
    trainer = make_trainer()
    with pytest.raises(ValueError, match="`train` gave no batch in epoch 2"):
        trainer.fit(((images, labels) for _ in range(1)), (images, labels), epochs=2)


def test_a_quiet_one_says_nothing(monkeypatch, capfd):
    monkeypatch.setattr(trainer_module, "somebody_looks", lambda: True)
    said = []
    for verbose in (True, False):
        trainer = make_trainer()
        trainer = training.Trainer(
            trainer.model, trainer.optimizer, trainer.loss, callbacks=[training.EarlyStopping(1)], verbose=verbose
        )
        with fastcnn.use_backend("numpy"):
            trainer.optimizer.lr = 0.0  # the first epoch stays the best, so the run stops
            trainer.fit(data.DataLoader(*problem(), 16), problem(), epochs=3)
        assert trainer.stopped
        said.append([bool(text) for text in capfd.readouterr()])
    assert said == [[True, True], [False, False]]


def test_bar_shows_speed_loss_and_accuracy(monkeypatch, capsys):
    monkeypatch.setattr(trainer_module.sys.stderr, "isatty", lambda: True, raising=False)
    images, labels = problem(64)
    make_trainer().fit(data.DataLoader(images, labels, 8), (images, labels), epochs=1)
    bar = capsys.readouterr().err
    assert "epoch 1" in bar
    assert "/8 batches" in bar


def test_evaluate_weights_the_last_batch_by_its_size(fast_backend):
    images, labels = problem()
    model = make_trainer().model
    model.eval()
    logits = model(images)
    expected = functional.cross_entropy(logits, labels), (logits.argmax(1) == labels).mean()
    model.train()
    for batch_size in (1000, 70, 32, 1):
        evaluation = training.evaluate(model, images, labels, batch_size)
        assert (evaluation.loss, evaluation.accuracy) == pytest.approx(expected, rel=1e-5)
    assert all(module.training for module in model.modules())
    model.eval()
    training.evaluate(model, images, labels)
    assert not model.training


LOSSES = [
    pytest.param(nn.CrossEntropyLoss(np.array([1, 10, 5], np.float32)), id="weights"),
    pytest.param(nn.CrossEntropyLoss(ignore_index=0), id="ignored rows"),
    pytest.param(nn.CrossEntropyLoss(np.array([1, 0, 5], np.float32), label_smoothing=0.1), id="weights and smoothing"),
    pytest.param(functional.cross_entropy, id="a function"),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_of_an_evaluation_does_not_depend_on_the_batch_size(fast_backend, loss):
    logits = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 1, 2, 2])  # some batches of two have only ignored labels
    with fastcnn.use_backend(fast_backend):
        expected = loss(logits, labels)
        for batch_size in (1, 2, 5, 10):
            assert training.evaluate(nn.Sequential(), logits, labels, batch_size, loss).loss == expected


def test_an_evaluation_leaves_the_loss_its_last_batch():
    logits, labels = np.eye(2), np.array([0, 1])
    loss = nn.CrossEntropyLoss()
    loss(logits, labels)
    gradient = loss.backward()
    training.evaluate(nn.Sequential(), -logits, labels, loss=loss)
    np.testing.assert_array_equal(loss.backward(), gradient)


def identity(loss, lr: float = 0.0) -> training.Trainer:
    """Make a model that returns the two numbers of an image as logits, and does not learn."""
    model = nn.Linear(2, 2, dtype=np.float64)
    model.weight.data[...], model.bias.data[...] = np.eye(2), 0
    return training.Trainer(model, optim.SGD(model.parameters(), lr), loss)


def test_images_that_are_ignored_do_not_count_in_an_epoch():
    images, labels = np.array([[9.0, 0], [0, 9], [9, 0], [0, 9], [9, 0]]), np.array([0, 1, 1, -100, -100])
    trainer = identity(nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match=r"No image of batch 2 counts: .* Leave out such a batch"):
        trainer.fit(data.DataLoader(images, labels, 3), (images, labels), 1)
    assert trainer.history.step_losses == pytest.approx([functional.cross_entropy(images[:3], labels[:3])])
    trainer = identity(nn.CrossEntropyLoss())
    order = [0, 3, 1, 4, 2]  # batches of three and two
    epoch = trainer.fit(data.DataLoader(images[order], labels[order], 3), (images, labels), 1).epochs[0]
    assert (epoch.train_accuracy, epoch.validation_accuracy) == (2 / 3, 2 / 3)
    assert (
        epoch.train_loss
        == pytest.approx(epoch.validation_loss)
        == pytest.approx(functional.cross_entropy(images, labels))
    )


def test_the_training_loss_of_an_epoch_is_weighted_as_the_loss_is():
    images = np.random.default_rng(0).normal(size=(10, 2))
    labels, loss = np.array([0, 0, 1, 0, 0, 0, 0, 0, 1, 1]), nn.CrossEntropyLoss(np.array([1.0, 10.0]))
    epoch = identity(loss).fit(data.DataLoader(images, labels, 3), (images, labels), 1).epochs[0]
    assert epoch.train_loss == pytest.approx(functional.cross_entropy(images, labels, loss.weight))
    assert epoch.train_loss == pytest.approx(epoch.validation_loss)


def normalized() -> nn.Sequential:
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Linear(2, 2, rng=rng), nn.BatchNorm1d(2), nn.Dropout(0.5, rng=rng), nn.Linear(2, 2, rng=rng)
    )


NUMBERS = np.random.default_rng(1).normal(3, 2, (64, 2)).astype(np.float32), np.arange(64) % 2


def fit_normalized(model, *callbacks) -> training.History:
    optimizer = optim.SGD(model.parameters(), 0.1)
    trainer = training.Trainer(model, optimizer, nn.CrossEntropyLoss(), callbacks=callbacks)
    return trainer.fit(data.DataLoader(*NUMBERS, 16), NUMBERS, 2)


def losses_of_a_loop(model) -> list[float]:
    """Train in a plain loop without a trainer; return the losses."""
    optimizer, loss, found = optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss(), []
    for _ in range(2):
        for images, labels in data.DataLoader(*NUMBERS, 16):
            found.append(loss(model(images), labels))
            optimizer.zero_grad()
            model.backward(loss.backward(), input_grad=False)
            optimizer.step()
    return found


def frozen(model: nn.Sequential) -> nn.Sequential:
    model[1].eval()
    return model


def of_the_head_alone(model: nn.Sequential) -> nn.Sequential:
    model.eval()
    model[3].train()
    return model


@pytest.mark.parametrize("freeze", [frozen, of_the_head_alone])
def test_what_is_in_evaluation_mode_when_fit_begins_stays_in_it(fast_backend, freeze):
    model, twin = freeze(normalized()), freeze(normalized())
    modes = [module.training for module in model.modules()]
    training.evaluate(model, *NUMBERS)
    assert [module.training for module in model.modules()] == modes
    assert fit_normalized(model).step_losses == losses_of_a_loop(twin)
    assert [module.training for module in model.modules()] == modes
    assert model[1].running_mean.data.tolist() == [0, 0]


def test_a_model_that_is_wholly_in_evaluation_mode_trains_as_a_whole(fast_backend):
    model = normalized().eval()
    assert fit_normalized(model).step_losses == losses_of_a_loop(normalized())
    assert all(module.training for module in model.modules())


def test_a_callback_that_looks_at_the_model_in_evaluation_mode_changes_no_epoch():
    class Looking(training.Callback):
        def on_fit_start(self, trainer):
            trainer.model.eval()

        on_epoch_end = on_fit_start

    assert fit_normalized(normalized(), Looking()).step_losses == losses_of_a_loop(normalized())


def test_evaluate_restores_the_mode_after_an_error():
    images, labels = problem(16)
    model = make_trainer().model
    model[3].eval()
    modes = [module.training for module in model.modules()]
    with pytest.raises(ValueError, match="needs 1 input channels"):
        training.evaluate(model, np.repeat(images, 2, axis=1), labels)
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ValueError, match="`target` holds 9, but its values must be from 0 to 1"):
        training.evaluate(model, images, labels * 0 + 9)
    with pytest.raises(TypeError, match="`labels` must be a numpy array of integers, not float64"):
        training.evaluate(model, images, labels + 0.0)
    with pytest.raises(ValueError, match=r"`labels` must have 1 dimension.* its shape is \(16, 1\)"):
        training.evaluate(model, images, labels[:, None])
    with pytest.raises(ValueError, match="`labels` has length 15 but must have one label for each of 16 images"):
        training.evaluate(model, images, labels[1:])


def test_environment_is_json(fast_backend):
    record = json.loads(json.dumps(training.environment()))
    assert record["backend"] == fast_backend
    assert (record["numpy"], record["numba"]) == (np.__version__, version("numba"))
    assert record["threads"] >= 1
    assert record["processor"]


def test_a_package_that_is_not_installed_has_no_version_in_the_environment(monkeypatch):
    def without_numba(package):
        if package == "numba":
            raise PackageNotFoundError(package)
        return "1.2.3"

    monkeypatch.setattr(sys.modules["fastcnn.training.environment"], "version", without_numba)
    assert (training.environment()["numba"], training.environment()["numpy"]) == (None, "1.2.3")
