"""Tasks: metrics compared with numbers computed by hand, and each task from data to checkpoint."""

import functools

import numpy as np
import pytest

import fastcnn
from fastcnn import data, functional, nn, optim, plotting, training
from fastcnn.training import Metric
from fastcnn.training.batch_result import BatchResult
from tests.runs import exact, outcome


@pytest.fixture(autouse=True)
def _chosen(request):
    """Use the backend that the test requests."""
    asked = next((name for name in ("backend", "fast_backend") if name in request.fixturenames), None)
    with fastcnn.use_backend(request.getfixturevalue(asked) if asked else "numpy"):
        yield


# Metrics by hand


def measured(task, output, target, loss=None, batch_size: int = 1000) -> dict[str, float]:
    """Return the metrics, accumulated over batches of some size."""
    parts = [slice(i, i + batch_size) for i in range(0, len(target), batch_size)]
    return task.measure(functools.reduce(task.added, [task.count(output[p], target[p], loss) for p in parts], {}))


@pytest.mark.parametrize(
    ("said", "true", "expected"),
    [  # the examples of scikit-learn's mean_absolute_error and r2_score
        pytest.param([[2.5], [0.0], [2.0], [8.0]], [[3.0], [-0.5], [2.0], [7.0]],
                     (0.5, 0.375**0.5, 0.9486081370449679), id="one number"),
        pytest.param([[0.0, 2], [-1, 2], [8, -5]], [[0.5, 1], [-1, 1], [7, -6]],
                     (0.75, (4.25 / 6) ** 0.5, 0.9368005266622779), id="two numbers"),
        pytest.param([[2.0], [2.0], [2.0]], [[1.0], [2.0], [3.0]], (2 / 3, (2 / 3) ** 0.5, 0.0), id="the mean"),
        pytest.param([[3.0], [2.0], [1.0]], [[1.0], [2.0], [3.0]], (4 / 3, (8 / 3) ** 0.5, -3.0), id="reversed"),
        pytest.param([[-2.0], [-2.0]], [[-2.0], [-2.0]], (0, 0, 1.0), id="constant target, right"),
        pytest.param([[-2.0], [-1.0]], [[-2.0], [-2.0]], (0.5, 0.5**0.5, 0.0), id="constant target, wrong"),
        pytest.param([[1.0]], [[2.0]], (1, 1, np.nan), id="one image"),
    ],
)  # fmt: skip
def test_regression_by_hand(said, true, expected):
    for batch_size in (1000, 2, 1):
        found = measured(training.Regression(), np.array(said), np.array(true), batch_size=batch_size)
        assert list(found) == ["mae", "rmse", "r2"]
        np.testing.assert_allclose(list(found.values()), expected, rtol=1e-14, atol=1e-15)


def test_r2_of_targets_far_from_zero():
    rng = np.random.default_rng(0)
    noise, true = rng.normal(size=(2, 1000, 3))
    for batch_size in (1000, 7):
        found = measured(training.Regression(), 1e9 + true + noise / 4, 1e9 + true, batch_size=batch_size)
        expected = measured(training.Regression(), true + noise / 4, true)
        assert found["r2"] == pytest.approx(expected["r2"], rel=1e-6)


def test_multi_label_by_hand():
    said = np.array([[1.0, -1, 2], [-1, 3, 0.5], [-2, -2, -2], [0, 1, -1]])  # a logit of 0 is not below the threshold
    true = np.array([[1.0, 0, 1], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
    for batch_size in (1000, 3, 1):
        assert measured(training.MultiLabel(), said, true, batch_size=batch_size) == {
            "exact_match": 2 / 4, "label_accuracy": 9 / 12, "precision": 3 / 5, "recall": 3 / 4, "f1": 6 / 9,
        }  # fmt: skip
    scores = training.evaluate(nn.Sequential(), said, true, loss=functional.mse_loss, task=training.MultiLabel())
    assert scores.accuracies.tolist() == [3 / 4, 3 / 4, 3 / 4]
    assert scores.precisions.tolist() == [1, 1 / 2, 1 / 2]
    assert scores.recalls.tolist() == [1 / 2, 1, 1]
    assert scores.f1s.tolist() == [2 / 3, 2 / 3, 2 / 3]
    assert (scores.images, scores.f1, scores.metrics["f1"]) == (4, 6 / 9, 6 / 9)
    assert str(scores).splitlines()[1:3] == [
        "label  images  accuracy  precision   recall      F1",
        "0           2    75.00%    100.00%   50.00%  66.67%",
    ]
    with pytest.raises(ValueError, match="`label_names` has 1 names but must have one for each of 3 labels"):
        scores.table(["cat"])
    higher = measured(training.MultiLabel(threshold=0.75), said, true)
    assert higher["precision"] == 3 / 4
    nothing = measured(training.MultiLabel(), -np.ones((2, 3)), np.zeros((2, 3)))
    assert nothing["exact_match"] == 1
    assert np.isnan([nothing["precision"], nothing["recall"], nothing["f1"]]).all()


def one_hot(labels, classes: int) -> np.ndarray:
    """Make logits that are largest for the label."""
    return np.moveaxis(np.eye(classes)[labels], -1, 1)


def test_segmentation_by_hand():
    said = one_hot(np.array([[[0, 0], [1, 1]], [[2, 0], [0, 1]]]), 4)
    true = np.array([[[0, 1], [1, 1]], [[2, 0], [-100, -100]]])
    for batch_size in (1000, 1):
        found = measured(training.Segmentation(), said, true, batch_size=batch_size)
        assert found["pixel_accuracy"] == 5 / 6
        assert found["mean_iou"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)  # class 3 does not occur
    ignoring = nn.CrossEntropyLoss(ignore_index=2)
    assert measured(training.Segmentation(), said, np.abs(true) % 4, ignoring)["pixel_accuracy"] == pytest.approx(5 / 7)
    task, loss = training.Segmentation(), Pixels()
    scores = training.evaluate(nn.Sequential(), said, true, loss=loss, task=task)
    assert scores.confusion.tolist() == [[2, 0, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(scores.iou, [2 / 3, 2 / 3, 1, np.nan])
    np.testing.assert_allclose(scores.accuracies, [1, 2 / 3, 1, np.nan])
    assert str(scores).splitlines()[2:] == ["0           2   100.00%   66.67%", "1           3    66.67%   66.67%",
                                            "2           1   100.00%  100.00%",
                                            "3           0         -        -"]  # fmt: skip
    with pytest.raises(ValueError, match="`class_names` has 1 names but must have one for each of 4 classes"):
        scores.table(["sky"])
    assert task.count(said, np.full_like(true, -100), loss) == {}


def test_one_number_an_image_needs_no_axis():
    said, true = np.array([2.5, 0.0, 2.0, 8.0]), np.array([3.0, -0.5, 2.0, 7.0])
    expected = measured(training.Regression(), said[:, None], true[:, None])
    assert measured(training.Regression(), said, true) == expected


# Each task, from its data to a checkpoint


class Pixels:
    """Cross-entropy of pixels as a custom loss."""

    ignore_index = -100

    def __call__(self, logits, labels):
        self._shape = logits.shape
        self._rows = np.moveaxis(logits, 1, -1).reshape(-1, logits.shape[1]).copy()
        self._labels = labels.ravel()
        self.mean_over = np.count_nonzero(self._labels != -100)
        return functional.cross_entropy(self._rows, self._labels)

    def backward(self):
        N, K, *size = self._shape
        rows = functional.cross_entropy_backward(self._rows, self._labels)
        return np.ascontiguousarray(np.moveaxis(rows.reshape(N, *size, K), -1, 1))


class Logistic:
    """Binary cross-entropy of logits as a custom loss."""

    def __call__(self, logits, target):
        self._logits, self._target, self.mean_over = logits, target, logits.size
        return np.mean(np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits))))

    def backward(self):
        return ((1 / (1 + np.exp(-self._logits)) - self._target) / self._logits.size).astype(self._logits.dtype)


class Median(training.Task):
    """A custom task whose metric is the median distance."""

    metrics = (Metric("near", percent=True), Metric("farthest", "lower"))

    def __init__(self, distance: float, best: str = "near"):
        super().__init__(best)
        self.distance = distance

    def count(self, output, target, loss):
        away = np.abs(output - target)
        return {"near": int((away < self.distance).sum()), "numbers": away.size, "farthest": float(away.max())}

    def merge(self, one, other):
        return super().merge(one, other) | {"farthest": max(one["farthest"], other["farthest"])}

    def measure(self, sums):
        return {"near": sums["near"] / sums["numbers"], "farthest": sums["farthest"]}


N = 24
X = np.random.default_rng(0).standard_normal((N, 1, 4, 4)).astype(np.float32)
MEANS = X.mean(axis=(2, 3))
WRONG = np.where(np.arange(16).reshape(4, 4) == 5, -100, 0)  # an ignored pixel
TASKS = {
    "classification": (training.Classification, nn.CrossEntropyLoss, (MEANS[:, 0] > 0).astype(np.int64), 2),
    "regression": (training.Regression, nn.MSELoss, np.concatenate([MEANS, 2 * MEANS - 1], axis=1), 2),
    "multi label": (training.MultiLabel, Logistic, np.concatenate([MEANS > 0, MEANS < 0.1, MEANS > -0.2], axis=1)
                    .astype(np.float32), 3),
    "segmentation": (training.Segmentation, Pixels, np.where(WRONG < 0, -100, X[:, 0] > 0.3), None),
    "own": (lambda **options: Median(0.5, **options), nn.MSELoss, MEANS, 1),
}  # fmt: skip


def make(name: str, *callbacks, schedule=None, **options):
    """Make a trainer and its loader."""
    task, loss, target, outputs = TASKS[name]
    rng = np.random.default_rng(1)
    if outputs is None:
        model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, rng=rng), nn.ReLU(), nn.Conv2d(4, 2, 1, rng=rng))
    else:
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, rng=rng),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1, rng=rng),
            nn.Linear(16, outputs, rng=rng),
        )
    optimizer = optim.Adam(model.parameters(), 0.02)
    loader = data.DataLoader(X, target, 10, shuffle=True, rng=np.random.default_rng(2))
    schedule = schedule and schedule(optimizer)
    trainer = training.Trainer(model, optimizer, loss(), schedule, callbacks, task=task(**options))
    return trainer, loader, (X[:15], target[:15])


@pytest.mark.parametrize("name", TASKS)
def test_a_run_from_data_to_files(name, backend, tmp_path, capsys):
    epochs = 2 if backend == "naive" else 12
    best = training.BestWeights()
    trainer, loader, validation = make(name, best, training.EarlyStopping(50))
    history = trainer.fit(loader, validation, epochs)
    assert history.step_losses[-1] < history.step_losses[0]
    names = ["loss", *(metric.name for metric in trainer.task.metrics)]
    record = history.epochs[-1]
    assert list(record.metrics) == [f"{part}_{name}" for part in ("train", "validation") for name in names]
    measured = training.evaluate(trainer.model, *validation, loss=trainer.loss, task=trainer.task)
    kind = next(kind for kind in trainer.task.kinds if kind.name == trainer.task.best)
    chosen = max(history.epochs, key=lambda e: e.metrics[trainer.monitored] * (1 if kind.better == "higher" else -1))
    for number in names:  # the model now has its best weights
        assert getattr(measured, number) == chosen.metrics[f"validation_{number}"], number
    assert best.best == chosen.metrics[trainer.monitored]
    history.to_json(tmp_path / "history.json")
    assert training.History.from_json(tmp_path / "history.json") == history
    assert [str(e) for e in training.History.from_json(tmp_path / "history.json").epochs] == [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")
    ]
    history.to_csv(tmp_path / "history.csv")
    head = (tmp_path / "history.csv").read_text().splitlines()[0]
    assert head == f"epoch,batches,seconds,{','.join(record.metrics)},lr,images_per_second"


PANELS = {
    "classification": ["Loss", "Accuracy (%)"],
    "regression": ["Loss", "MAE", "RMSE", "R2"],
    "multi label": ["Loss", "Exact match (%)", "Label accuracy (%)", "Precision (%)", "Recall (%)", "F1 (%)"],
    "segmentation": ["Loss", "Pixel accuracy (%)", "Mean IoU (%)"],
    "own": ["Loss", "Near (%)", "Farthest"],
}


@pytest.mark.parametrize("name", TASKS)
def test_a_run_is_drawn(name, tmp_path):
    pytest.importorskip("matplotlib")
    trainer, loader, validation = make(name)
    history = trainer.fit(loader, validation, 2)
    figure = plotting.plot_history(history)
    figure.savefig(tmp_path / "curves.png")
    assert [axes.get_title(loc="left") for axes in figure.axes] == PANELS[name]
    for axes, kind in zip(figure.axes, trainer.task.kinds, strict=True):
        drawn = axes.get_lines()[-1].get_ydata()
        values = [epoch.metrics[f"validation_{kind.name}"] for epoch in history.epochs]
        np.testing.assert_allclose(drawn, np.array(values) * (100 if kind.percent else 1))
    figure = plotting.compare_histories({"one": history, "other": history})
    first = PANELS[name][1] if PANELS[name][1] == "MAE" else PANELS[name][1].lower()
    assert figure.axes[1].get_title(loc="left") == f"Validation {first}"
    other, loader, _ = make("classification" if name == "own" else "own")
    other.fit(loader, epochs=1)
    with pytest.raises(ValueError, match=r"same metrics, but the run 'other' has loss, .*, and the first has loss, "):
        plotting.compare_histories({"one": history, "other": other.history})


@pytest.mark.parametrize("name", TASKS)
def test_the_numbers_of_an_epoch_are_those_of_all_its_images(name):
    """For a model that does not learn, the means over any batches equal its evaluation."""
    trainer, loader, _ = make(name)
    trainer.optimizer.lr = 0.0
    for module in trainer.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    record = trainer.fit(loader, (loader.dataset.images, loader.labels), 1).epochs[0]
    for kind in trainer.task.kinds:
        train, held_out = (record.metrics[f"{part}_{kind.name}"] for part in ("train", "validation"))
        assert train == pytest.approx(held_out, rel=1e-5), kind.name


@pytest.mark.parametrize("name", TASKS)
def test_a_loader_says_what_arrays_say_bit_for_bit(name, backend):
    trainer, loader, (images, target) = make(name)
    options = {"loss": trainer.loss, "task": trainer.task}
    for batch_size in (4, 15, 100):
        arrays = training.evaluate(trainer.model, images, target, batch_size, **options)
        batches = data.DataLoader(images, target, batch_size)
        for held_out in (batches, list(batches), iter(batches)):
            found = training.evaluate(trainer.model, held_out, **options)
            assert trainer.task.numbers(found) == trainer.task.numbers(arrays)
    runs = []
    for held_out in ((images, target), data.DataLoader(images, target, 20), [(images, target)]):
        trainer, loader, _ = make(name, training.BestWeights())
        trainer.fit(loader, held_out, 2)
        runs.append(exact(outcome(trainer, loader)))
    assert runs[0] == runs[1] == runs[2]


class Stop(Exception):
    pass


class StopAfter(training.Callback):
    """Save a checkpoint and raise an error, as if the process had been killed."""

    runs_last = True

    def __init__(self, batches: int, path):
        self.batches, self.path = batches, path

    def on_batch_end(self, trainer):
        if len(trainer.history.step_losses) == self.batches:
            training.save_checkpoint(self.path, trainer, trainer.loader)
            raise Stop


@pytest.mark.parametrize("held_out", [True, False], ids=["validation", "no validation"])
@pytest.mark.parametrize("name", TASKS)
def test_a_run_goes_on_bit_for_bit(name, held_out, tmp_path, fast_backend):
    def run(*callbacks):
        trainer, loader, validation = make(
            name, training.BestWeights(), training.EarlyStopping(9), *callbacks,
            schedule=lambda o: optim.ReduceLROnPlateau(o, "max" if name == "own" else "min", patience=0),
        )  # fmt: skip
        return trainer, loader, validation if held_out else None

    trainer, loader, validation = run()
    trainer.fit(loader, validation, 3)
    expected = exact(outcome(trainer, loader))
    for batches in (2, 4, 6):  # during the first epoch, during the second, and at the end of the second
        trainer, loader, validation = run(StopAfter(batches, tmp_path / "a"))
        with pytest.raises(Stop):
            trainer.fit(loader, validation, 3)
        trainer, loader, validation = run()
        training.load_checkpoint(tmp_path / "a").restore(trainer, loader)
        trainer.fit(loader, validation, 3 - len(trainer.history.epochs))
        assert exact(outcome(trainer, loader)) == expected, f"after {batches} batches"


def test_a_checkpoint_is_of_one_task(tmp_path):
    trainer, loader, _ = make("regression")
    training.save_checkpoint(tmp_path / "a", trainer, loader)
    saved = training.load_checkpoint(tmp_path / "a")
    trainer, loader, _ = make("regression", best="r2")
    with pytest.raises(
        training.CheckpointError, match=r"`task` is 'Regression\(\)' but here it is \"Regression\(best='r2'"
    ):
        saved.restore(trainer, loader)
    trainer.task = training.MultiLabel(threshold=0.5)
    with pytest.raises(training.CheckpointError, match=r"here it is 'MultiLabel\(threshold=0\.5\)'"):
        saved.restore(trainer, loader)


def as_it_was(state: dict) -> dict:
    """Convert a state to the format of versions that trained only classifiers and called validation test."""
    del state["task"], state["history"]["metrics"]
    if state["progress"]:
        state["progress"] |= state["progress"].pop("sums")
    for epoch in state["history"]["epochs"]:
        for number in ("loss", "accuracy"):
            epoch[f"test_{number}"] = epoch.pop(f"validation_{number}")
    return state


def test_a_checkpoint_from_before_there_were_tasks_goes_on(tmp_path, monkeypatch):
    trainer, loader, validation = make("classification")
    trainer.fit(loader, validation, 3)
    expected = exact(outcome(trainer, loader))
    trainer, loader, validation = make("classification", StopAfter(5, tmp_path / "a"))
    capture = training.state.capture
    monkeypatch.setattr(training.state, "capture", lambda *run: as_it_was(capture(*run)))
    with pytest.raises(Stop):
        trainer.fit(loader, validation, 3)
    monkeypatch.undo()
    trainer, loader, validation = make("classification")
    with fastcnn.use_backend("numpy"):
        training.load_checkpoint(tmp_path / "a").restore(trainer, loader)
        trainer.fit(loader, validation, 2)
    assert exact(outcome(trainer, loader)) == expected


@pytest.mark.parametrize(
    ("name", "loss", "own"),
    [("multi label", nn.BCEWithLogitsLoss, Logistic), ("segmentation", nn.CrossEntropyLoss, Pixels)],
)
def test_losses_of_fastcnn_teach_what_those_of_ones_own_do(name, loss, own, fast_backend):
    losses = []
    for criterion in (loss(), own()):
        trainer, loader, validation = make(name)
        trainer.loss = criterion
        losses.append(trainer.fit(loader, validation, 3).step_losses)
        expected = training.evaluate(trainer.model, *validation, loss=criterion, task=trainer.task)
        assert training.evaluate(trainer.model, *validation, task=trainer.task).loss == pytest.approx(expected.loss)
        whole = type(criterion) is loss and fast_backend == "numba"
        assert len(trainer._train_step.programs if trainer._train_step else ()) == (2 if whole else 0)
    np.testing.assert_allclose(*losses, rtol=1e-4)


# Whole steps


class Watching(training.Callback):
    """A callback between the parts of a training step."""

    def on_backward_end(self, trainer):
        pass


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_steps_are_taken_as_a_whole_with_every_loss_of_fastcnn(name, fast_backend):
    whole, loader, validation = make(name)
    losses = whole.fit(loader, validation, 3).step_losses
    assert len(whole._train_step.programs) == (2 if fast_backend == "numba" else 0)
    parts, loader, validation = make(name, Watching())
    assert parts.fit(loader, validation, 3).step_losses == losses
    assert parts._train_step is None


# What is best


def test_what_is_best_is_the_tasks():
    class Results(training.Callback):
        def on_evaluation_end(self, trainer):
            epochs = trainer.history.epochs
            epochs[-1].metrics.update(
                validation_near=[0.5, 0.9, 0.9, 0.6][len(epochs) - 1], validation_loss=-len(epochs)
            )

    best, stopping = training.BestWeights(), training.EarlyStopping(2)
    loss = training.BestWeights("validation_loss")
    trainer, loader, validation = make("own", Results(), best, stopping, loss)
    trainer.fit(loader, validation, 4)
    assert (best.best, stopping.best, stopping.waited, loss.best) == (0.9, 0.9, 2, -4)
    assert trainer.stopped == "validation_near has not improved for 2 epochs"


def test_a_schedule_gets_what_the_task_calls_best():
    class Seeing(optim.ReduceLROnPlateau):
        seen = ()

        def step(self, metric):
            self.seen += (metric,)

    trainer, loader, validation = make("own", schedule=lambda o: Seeing(o, "max"))
    trainer.fit(loader, validation, 2)
    assert trainer.scheduler.seen == tuple(epoch.validation_near for epoch in trainer.history.epochs)
    trainer, loader, _ = make("regression", schedule=Seeing)
    trainer.fit(loader, epochs=2)
    assert trainer.scheduler.seen == tuple(epoch.train_loss for epoch in trainer.history.epochs)
    near = r"`scheduler` has mode='min', but a higher near is better .* Median\(.*\): give .* mode='max'"
    with pytest.raises(ValueError, match=near):
        make("own", schedule=Seeing)
    with pytest.raises(ValueError, match=r"but a lower loss is better for the task .*: give the schedule mode='min'"):
        make("classification", schedule=lambda o: Seeing(o, "max"))


# Errors


def regression(**options) -> training.Trainer:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    return training.Trainer(model, optim.SGD(model.parameters(), 0.1), **{"loss": nn.MSELoss(), **options})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        pytest.param(regression, ValueError, r"`loss` is MSELoss, .*: pass task=training\.Regression\(\)", id="loss"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), MEANS, MEANS, loss=functional.mse_loss), ValueError,
                     r"`loss` is mse_loss, .*: pass task=training\.Regression\(\)", id="function"),
        pytest.param(lambda: regression(task="regression"), TypeError, r"`task` must be a Task, such as", id="a name"),
        pytest.param(lambda: regression(task=training.Regression), TypeError,
                     r"`task` must be a Task, such", id="class"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), MEANS, MEANS), TypeError,
                     r"not float32; for numbers pass task=training\.Regression\(\), for several", id="floats"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), X, X[:, 0] > 0, task=training.Segmentation()),
                     TypeError, "must be a numpy array of integers, a label for each pixel, not bool", id="no pixels"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), X, (X[:, 0] > 0) + 0), ValueError,
                     r"its shape is \(24, 4, 4\); for a label of each pixel pass task=training.Segm", id="pixels"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), MEANS, MEANS.tolist(), task=training.Task(),
                                               loss=functional.mse_loss), TypeError,
                     "`target` must be a numpy array, not list", id="targets in a list"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), X, np.arange(N), task=training.Segmentation()),
                     ValueError, r"its shape is \(24,\); for one label for each image pass task=train", id="images"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), MEANS, np.where(MEANS[5] == MEANS, *np.float32([3, 1])),
                                               task=training.MultiLabel(), loss=functional.mse_loss), ValueError,
                     "`target` holds 3.0, but must be 1 for each label that an image has, else 0", id="no labels"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), MEANS), TypeError,
                     r"`images`, without `labels`, must be a pair \(images, labels\) or an iterable", id="targets"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), [(MEANS, MEANS)], batch_size=3), ValueError,
                     "`batch_size` must be None for a loader, which has batches of its own", id="batch size"),
        pytest.param(lambda: training.evaluate(nn.Sequential(), iter([])), ValueError,
                     "There is no batch to evaluate", id="no batch"),
        pytest.param(lambda: training.Regression(best="accuracy"), ValueError,
                     "`best` is 'accuracy' but must be one of 'loss', 'mae', 'rmse', 'r2'", id="best"),
        pytest.param(lambda: Metric("top-3"), ValueError, "`name` is 'top-3' but must be an identifier", id="name"),
        pytest.param(lambda: Metric("a", "up"), ValueError,
                     "`better` is 'up' but must be one of 'higher'", id="better"),
        pytest.param(lambda: Metric("a", label=3), TypeError, "`label` must be a str, not int", id="label"),
    ],
)  # fmt: skip
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_loss_is_asked_for_where_a_task_has_none():
    class Own(training.Task):
        pass

    with pytest.raises(ValueError, match="`loss` must be given, as Own has no default loss"):
        training.evaluate(nn.Sequential(), MEANS, MEANS, task=Own())
    scores = training.evaluate(nn.Sequential(), MEANS, MEANS, loss=functional.mse_loss, task=Own())
    assert repr(scores) == "Scores(images=24, loss=0.0000)"
    with pytest.raises(AttributeError, match="Scores has no accuracy"):
        _ = scores.accuracy


def test_nothing_counts():
    target = np.full((N, 4, 4), -100)
    with pytest.raises(ValueError, match="`loss` ignores all of the 24 targets"):
        training.evaluate(nn.Sequential(), np.repeat(X, 2, axis=1), target, loss=Pixels(), task=training.Segmentation())
    assert training.Task().together([]) == BatchResult()


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        pytest.param("regression", lambda y: y[:, 0], ValueError, r"shape \(24,\) but must have \(N, 2\)", id="column"),
        pytest.param("regression", np.float64, TypeError, "float64 but the model returns float32", id="float64"),
        pytest.param("regression", np.int64, TypeError,
                     "`target` must be float32 or float64, not int64", id="integers"),
        pytest.param("multi label", lambda y: y[:, 1:], ValueError,
                     r"shape \(24, 2\) but must have \(N, 3\)", id="labels"),
        pytest.param("multi label", lambda y: y / 2, ValueError, "`target` holds 0.5, but must be 1 for", id="halves"),
        pytest.param("segmentation", lambda y: y + 2, ValueError,
                     "holds .*, but its values must be from 0 to 1", id="class"),
        pytest.param("segmentation", lambda y: y[:, 1:], ValueError,
                     r"shape \(24, 3, 4\) but the model returns log", id="size"),
        pytest.param("segmentation", lambda y: y * 0 - 100, ValueError, "holds nothing but -100", id="ignored"),
        pytest.param("classification", lambda y: y + 0.5, TypeError, "for several labels training.Multi", id="floats"),
        pytest.param("own", lambda y: y[:, :, None], ValueError, "`target` has shape .* the shape of `x`", id="own"),
    ],
)  # fmt: skip
def test_data_that_do_not_fit_are_refused_before_the_first_batch(name, change, error, message):
    trainer, loader, (images, target) = make(name)
    before = exact(outcome(trainer, loader))
    target = TASKS[name][2]
    with pytest.raises(error, match=f"`validation` cannot be evaluated: .*{message}"):
        trainer.fit(loader, (X, change(target)), 1)
    loader.labels = change(target)
    with pytest.raises(error, match=f"`train` cannot be trained on: .*{message}"):
        trainer.fit(loader, epochs=1)
    assert exact(outcome(trainer, loader)) == before
