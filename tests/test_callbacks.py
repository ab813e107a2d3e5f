"""Early stopping, best weights, averaged weights, and the times at which callbacks are called."""

import contextlib
import dataclasses
import math

import numpy as np
import pytest

from fastcnn import data, nn, optim, training
from fastcnn.testing import optimizers
from fastcnn.training import Callback

X = np.random.default_rng(0).standard_normal((12, 2))
LABELS = (X[:, 0] > X[:, 1]).astype(np.int64)


@pytest.fixture(autouse=True)
def _numpy(monkeypatch):
    monkeypatch.setenv("FASTCNN_BACKEND", "numpy")


def make_trainer(*callbacks, schedule=None, lr: float = 0.1) -> training.Trainer:
    model = nn.Linear(2, 2, rng=np.random.default_rng(1), dtype=np.float64)
    optimizer = optim.SGD(model.parameters(), lr)
    return training.Trainer(model, optimizer, nn.CrossEntropyLoss(), schedule and schedule(optimizer), callbacks)


def fit(trainer: training.Trainer, epochs: int) -> training.History:
    return trainer.fit(data.DataLoader(X, LABELS, 4), (X, LABELS), epochs)


class Results(Callback):
    """A callback that replaces the results of the epochs by those of a list."""

    def __init__(self, **results):
        self.results = results

    def on_evaluation_end(self, trainer):
        record = trainer.history.epochs[-1]
        changed = {name: values[record.epoch - 1] for name, values in self.results.items()}
        trainer.history.epochs[-1] = dataclasses.replace(record, metrics={**record.metrics, **changed})


class Diary(Callback):
    """A callback that records its calls."""

    def __init__(self, name: str, entries: list):
        self.name, self.entries = name, entries

    def note(self, what: str, trainer) -> None:
        batches = trainer.progress and trainer.progress.batches
        self.entries.append((self.name, what, batches, len(trainer.history.epochs)))

    def on_fit_start(self, trainer):
        self.note("fit start", trainer)

    def on_batch_end(self, trainer):
        self.note("batch end", trainer)

    @contextlib.contextmanager
    def evaluating(self, trainer):
        self.note("evaluating", trainer)
        yield
        self.note("evaluated", trainer)

    def on_evaluation_end(self, trainer):
        self.note("evaluation end", trainer)

    def on_epoch_end(self, trainer):
        self.note("epoch end", trainer)

    def on_fit_end(self, trainer):
        self.note("fit end", trainer)

    def on_exit(self, trainer):
        self.note("exit", trainer)


def test_the_order_of_a_run():
    entries = []
    fit(make_trainer(Diary("a", entries)), epochs=1)
    assert [(what, batches, epochs) for _, what, batches, epochs in entries] == [
        ("fit start", None, 0),
        ("batch end", 1, 0), ("batch end", 2, 0), ("batch end", 3, 0),
        ("evaluating", 3, 0), ("evaluation end", 3, 1), ("evaluated", 3, 1),
        ("epoch end", None, 1), ("fit end", None, 1), ("exit", None, 1),
    ]  # fmt: skip


def test_those_that_run_last_are_called_after_the_others():
    entries = []
    last = Diary("last", entries)
    last.runs_last = True
    fit(make_trainer(last, Diary("a", entries), Diary("b", entries)), epochs=1)
    assert [name for name, what, *_ in entries if what == "epoch end"] == ["a", "b", "last"]


def test_exit_comes_after_an_error_too_and_fit_end_does_not():
    entries = []

    class Failing(Callback):
        def on_epoch_end(self, trainer):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fit(make_trainer(Diary("a", entries), Failing()), epochs=1)
    assert [what for _, what, *_ in entries[-2:]] == ["epoch end", "exit"]


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="`callbacks` must hold only Callbacks, not function"):
        make_trainer(fit)


@pytest.mark.parametrize(
    ("options", "results", "epochs"),
    [
        pytest.param({"patience": 2}, {"validation_loss": [3, 2, 2, 2.5, 1]}, 4, id="twice no better"),
        pytest.param({"patience": 2}, {"validation_loss": [3, 4, 2, 3, 1]}, 5, id="better in between"),
        pytest.param(
            {"patience": 1, "min_delta": 0.5}, {"validation_loss": [3, 2, 1.6, 1, 0]}, 3, id="too little better"
        ),
        pytest.param(
            {"patience": 1, "monitor": "validation_accuracy"}, {"validation_accuracy": [0.1, 0.2, 0.2]}, 3, id="upwards"
        ),
        pytest.param({"patience": 2}, {"validation_loss": [np.nan, 3, np.nan, np.nan, 1]}, 4, id="NaN is no better"),
    ],
)
def test_early_stopping(options, results, epochs, capsys):
    stopping = training.EarlyStopping(**options)
    trainer = make_trainer(Results(**results), stopping)
    fit(trainer, len(next(iter(results.values()))))
    assert len(trainer.history.epochs) == epochs
    stopped = capsys.readouterr().out.splitlines()[-1].startswith("Stopped: ")
    assert stopped == (stopping.waited >= stopping.patience)
    if stopped:
        fit(trainer, 1)
        assert len(trainer.history.epochs) == epochs  # patience has run out


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patience": 0}, ValueError, "`patience` is 0"),
        ({"patience": 1, "monitor": "loss"}, ValueError, "`monitor` is 'loss' but must begin with 'train_'"),
        ({"patience": 1, "min_delta": -1}, ValueError, "`min_delta` is -1"),
    ],
    ids=["no patience", "a metric that is not recorded", "a negative delta"],
)
def test_early_stopping_refuses(options, error, message):
    with pytest.raises(error, match=message):
        training.EarlyStopping(**options)


def test_a_stop_within_an_epoch_ends_it_without_a_record(capsys):
    class Enough(Callback):
        def on_batch_end(self, trainer):
            if len(trainer.history.step_losses) == 5:
                trainer.stop("five are enough")

    trainer = make_trainer(Enough())
    fit(trainer, 9)
    assert (len(trainer.history.epochs), len(trainer.history.step_losses)) == (1, 5)
    assert trainer.stopped == "five are enough"
    assert capsys.readouterr().out.splitlines()[-1] == "Stopped: five are enough."


def test_a_stop_with_the_last_batch_of_an_epoch_evaluates_it():
    class Enough(Callback):
        def on_batch_end(self, trainer):
            if len(trainer.history.step_losses) == 3:
                trainer.stop("three are enough")

    assert len(fit(make_trainer(Enough()), 9).epochs) == 1


def test_best_weights_come_back_and_lie_in_the_file(tmp_path):
    class Weights(Callback):
        seen = ()

        def on_epoch_end(self, trainer):
            self.seen += (trainer.model.state_dict(),)

    weights, path = Weights(), tmp_path / "best.safetensors"
    best = training.BestWeights("validation_accuracy", path)
    trainer = make_trainer(best, Results(validation_accuracy=[0.1, 0.5, 0.5, 0.3]), weights)
    trainer.callbacks.insert(0, trainer.callbacks.pop(1))  # let `Results` run first
    fit(trainer, 4)
    assert best.best == 0.5
    twin = make_trainer().model
    training.load_weights(twin, path)
    for state in (trainer.model.state_dict(), twin.state_dict(), best.weights):
        np.testing.assert_array_equal(state["weight"], weights.seen[1]["weight"])  # the first one in case of a tie
    assert (weights.seen[1]["weight"] != weights.seen[3]["weight"]).any()


@pytest.mark.parametrize("optimizer", optimizers.ONE_OF_EACH)
def test_another_fit_goes_on_from_the_best_epoch_with_the_optimizer_of_that_epoch(optimizer):
    def make(*callbacks):
        model = nn.Linear(2, 2, rng=np.random.default_rng(1), dtype=np.float64)
        steps = optimizers.make(optimizer, model.parameters())
        return training.Trainer(model, steps, nn.CrossEntropyLoss(), callbacks=callbacks)

    trainer, expected = make(Results(validation_loss=[3, 1, 2, 2, 2]), training.BestWeights()), make()
    fit(trainer, 4), fit(expected, 2)
    trainer.optimizer.lr = expected.optimizer.lr = 0.05  # a setting, which must be kept
    fit(trainer, 1), fit(expected, 1)
    assert trainer.history.step_losses[-3:] == expected.history.step_losses[-3:]


@pytest.mark.parametrize("optimizer", optimizers.ONE_OF_EACH)
def test_parameters_may_be_added_after_the_best_epoch(optimizer):
    class AddBias(Callback):
        def on_epoch_end(self, trainer):
            if len(trainer.history.epochs) == 1:
                trainer.optimizer.add_param_group({"params": trainer.model.bias})

    model, best = nn.Linear(2, 2, rng=np.random.default_rng(1), dtype=np.float64), training.BestWeights()
    trained = optimizers.make(optimizer, [model.weight])
    callbacks = [Results(validation_loss=[1, 2, 3]), AddBias(), best]
    fit(training.Trainer(model, trained, nn.CrossEntropyLoss(), callbacks=callbacks), 3)
    np.testing.assert_array_equal(model.weight.data, best.weights["weight"])
    for name, (weights, biases) in trained.buffers().items():
        np.testing.assert_array_equal(weights, best.buffers[name][0])
        assert not np.any(biases)


def test_best_weights_do_not_turn_a_schedule_back():
    best = training.BestWeights()
    trainer = make_trainer(Results(validation_loss=[1, 2, 3]), best, schedule=lambda o: optim.StepLR(o, 1, 0.5))
    fit(trainer, 3)
    assert trainer.optimizer.lr == 0.1 / 8
    best.load_state_dict(best.state_dict(), trainer)
    with pytest.raises(ValueError, match=r"`BestWeights\.buffers` is missing"):
        best.load_state_dict({"best": 1.0, "weights": best.weights}, trainer)


def test_without_a_best_epoch_the_last_weights_stay():
    trainer = make_trainer(Results(validation_loss=[math.nan, math.nan]), best := training.BestWeights())
    twin = make_trainer()
    fit(trainer, 2), fit(twin, 2)
    assert (best.best, best.weights) == (None, {})
    np.testing.assert_array_equal(trainer.model.weight.data, twin.model.weight.data)


class Half:
    """An average for `WeightAverage`: half of the new weights plus half of the old ones."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.averages = [parameter.data.copy() for parameter in self.parameters]

    def update(self):
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            average[...] = (average + parameter.data) / 2

    @contextlib.contextmanager
    def applied(self):
        own = [parameter.data.copy() for parameter in self.parameters]
        self._set(self.averages)
        yield
        self._set(own)

    def _set(self, arrays):
        for parameter, array in zip(self.parameters, arrays, strict=True):
            parameter.data[...] = array

    def state_dict(self):
        return {"averages": [average.copy() for average in self.averages]}


def test_averaged_weights_are_evaluated_and_kept_as_the_best():
    trainer = make_trainer(best := training.BestWeights())
    average = Half(trainer.model.parameters())
    trainer.callbacks.append(training.WeightAverage(average))
    plain = make_trainer()
    fit(trainer, 1), fit(plain, 1)
    assert trainer.history.step_losses == plain.history.step_losses
    assert trainer.history.epochs[0].validation_loss != plain.history.epochs[0].validation_loss
    np.testing.assert_array_equal(best.weights["weight"], average.averages[0])
    np.testing.assert_array_equal(trainer.model.weight.data, average.averages[0])  # restored by BestWeights
    assert training.evaluate(trainer.model, X, LABELS).loss == trainer.history.epochs[0].validation_loss


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda trainer: training.EarlyStopping(2), id="EarlyStopping"),
        pytest.param(lambda trainer: training.BestWeights(), id="BestWeights"),
        pytest.param(lambda t: training.WeightAverage(optim.ExponentialMovingAverage(t.model)), id="WeightAverage"),
        pytest.param(lambda trainer: Callback(), id="one without a state"),
    ],
)
def test_a_state_with_an_entry_that_is_unknown_is_refused(make):
    trainer = make_trainer()
    callback = make(trainer)
    state = callback.state_dict()
    callback.load_state_dict(state, trainer)
    with pytest.raises(ValueError, match=rf"`{type(callback).__name__}\.more` is unexpected"):
        callback.load_state_dict({**state, "more": 1}, trainer)


def test_a_schedule_that_needs_a_number_gets_the_validation_loss():
    class Watching(optim.Schedule):
        every, needs_metric = "epoch", True

        def __init__(self, optimizer):
            self.optimizer, self.seen = optimizer, []

        def step(self, loss):
            self.seen.append(loss)

    trainer = make_trainer(schedule=Watching)
    fit(trainer, 3)
    assert trainer.scheduler.seen == [epoch.validation_loss for epoch in trainer.history.epochs]


def test_gradients_can_be_changed_before_the_step():
    class Frozen(Callback):
        def on_backward_end(self, trainer):
            trainer.model.bias.grad[...] = 0

    trainer, before = make_trainer(Frozen()), make_trainer().model
    fit(trainer, 1)
    np.testing.assert_array_equal(trainer.model.bias.data, before.bias.data)
    assert (trainer.model.weight.data != before.weight.data).any()


def test_clipped_gradients_make_small_steps():
    trainer, before = make_trainer(training.ClipGradients(1e-3)), make_trainer().model
    fit(trainer, 1)
    moved = sum(np.square(trainer.model.state_dict()[name] - old).sum() for name, old in before.state_dict().items())
    assert 0 < np.sqrt(moved) <= 3 * 0.1 * 1e-3  # three steps
    with pytest.raises(ValueError, match="`max_norm` is -1"):
        training.ClipGradients(-1)


def test_no_epochs_are_none():
    entries = []
    trainer = make_trainer(Diary("a", entries))
    assert fit(trainer, 0).epochs == []
    assert [what for _, what, *_ in entries] == ["fit start", "fit end", "exit"]
    with pytest.raises(ValueError, match="`epochs` is -1 but must be at least 0"):
        fit(trainer, -1)
