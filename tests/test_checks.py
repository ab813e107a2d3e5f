"""Errors in the data of a run are reported before the first batch."""

import numpy as np
import pytest

import fastcnn
from fastcnn import data, nn, optim, training
from fastcnn.training import checks

X, Y = np.random.default_rng(0).standard_normal((16, 6)).astype(np.float32), np.arange(16) % 3


@pytest.fixture(autouse=True)
def _numpy(monkeypatch):
    monkeypatch.setenv("FASTCNN_BACKEND", "numpy")


class Diary(training.Callback):
    """A callback that records whether it was called."""

    called = False

    def on_fit_start(self, trainer):
        self.called = True


def make(
    *, model=None, loss=None, x=X, y=Y, batch_size: int = 8, **options
) -> tuple[training.Trainer, data.DataLoader]:
    rng = np.random.default_rng(1)
    model = model or nn.Sequential(nn.Linear(6, 4, rng=rng), nn.Dropout(0.5, rng=rng), nn.Linear(4, 3, rng=rng))
    loader = data.DataLoader(x, y, batch_size, shuffle=True, rng=np.random.default_rng(2), **options)
    steps = optim.SGD(model.parameters(), 0.1)
    return training.Trainer(model, steps, loss or nn.CrossEntropyLoss(), callbacks=[Diary()]), loader


def refused(trainer: training.Trainer, loader, validation, error, message: str) -> None:
    """Check that an error is raised before anything has changed."""
    model = trainer.model
    before = model.state_dict(), loader.state_dict() if hasattr(loader, "state_dict") else None
    modes = [module.training for module in model.modules()]
    with pytest.raises(error, match=message):
        trainer.fit(loader, validation, 1)
    assert not trainer.history.step_losses
    assert not trainer.callbacks[0].called
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[0][name])
    assert before[1] is None or loader.state_dict() == before[1]
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize(
    ("validation", "error", "message"),
    [
        pytest.param((X.astype(np.float64), Y), TypeError, "has float32 parameters but its input is float64", id="f8"),
        pytest.param((X.astype(np.float16), Y), TypeError, "`images` must be float32 or float64, not float16", id="f2"),
        pytest.param((X.astype(np.uint8), Y), TypeError, "`images` must be float32 or float64, not uint8", id="bytes"),
        pytest.param((X[:, :5], Y), ValueError, "needs 6 input features but its input has shape", id="features"),
        pytest.param((X[:0], Y[:0]), ValueError, r"`images` is empty: its shape is \(0, 6\)", id="empty"),
        pytest.param((X.tolist(), Y), TypeError, "`images` must be a numpy array, not list", id="a list"),
        pytest.param((X, Y + 1), ValueError, "`labels` holds 3, but its values must be from 0 to 2", id="too high"),
        pytest.param((X, Y - 1), ValueError, "`labels` holds -1, but its values must be from 0 to 2", id="below 0"),
        pytest.param((X, Y[:-1]), ValueError, "`labels` has length 15 but must have one label for each", id="too few"),
        pytest.param((X, Y + 0.0), TypeError, "`labels` must be a numpy array of integers, not float64", id="floats"),
        pytest.param((X, Y.tolist()), TypeError, "`labels` must be a numpy array of integers, not list", id="labels"),
        pytest.param((X, Y[:, None]), ValueError, r"`labels` must have 1 dimension.* shape is \(16, 1\)", id="column"),
        pytest.param((X, Y * 0 - 100), ValueError, "`labels` holds nothing but -100, the label of im", id="ignored"),
        pytest.param(
            X, TypeError, r"it must be a pair \(images, labels\) or .* not ndarray of length 16", id="images alone"
        ),
        pytest.param((X, Y, Y), TypeError, r"batch 1 must be a pair \(images, labels\), not ndarray of", id="three"),
        pytest.param(3, TypeError, "it must be a pair .*, not 3", id="epochs in its place"),
        pytest.param([(X, Y), (X, Y[1:])], ValueError, "`labels` has length 15 but must have one", id="batches"),
        pytest.param([], ValueError, "it has no batch", id="no batch"),
    ],
)
def test_validation_that_does_not_fit(validation, error, message):
    refused(*make(), validation, error, f"`validation` cannot be evaluated: .*({message})")


def test_a_loss_that_does_not_fit_the_model():
    loss = nn.CrossEntropyLoss(np.ones(4, np.float32))
    refused(*make(loss=loss), (X, Y), ValueError, r"`validation` .*: `weight` has shape \(4,\) but must have \(3,\)")
    refused(*make(loss=nn.CrossEntropyLoss(np.eye(3, dtype=np.float32)[0]), y=Y * 0), (X, Y * 0 + 1), ValueError,
            "`validation` .*: The mean of no rows is not a number: every `target` has weight 0")  # fmt: skip


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(
            nn.Conv2d(1, 3, 1), r"\(3, 2, 3\) .* class; for classes of pixels pass task=training\.Segm", id="2-D"
        ),
        pytest.param(
            nn.Conv1d(2, 3, 1), r"\(3, 3\) numbers for each image, but must return one for each class\.", id="1-D"
        ),
    ],
)
def test_a_model_that_does_not_return_a_number_for_each_class(model, message):
    x = X.reshape(16, 1, 2, 3) if isinstance(model, nn.Conv2d) else X.reshape(16, 2, 3)
    message = f"`validation` cannot be evaluated: the model returns {message}"
    refused(*make(model=nn.Sequential(model), x=x), (x, Y), ValueError, message)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        pytest.param(
            np.append(Y[:-1], 3), ValueError, "`labels` holds 3, but its values must be from 0 to 2", id="high"
        ),
        pytest.param(Y + 0.0, TypeError, "`labels` must be a numpy array of integers, not float64", id="floats"),
        pytest.param(Y[:, None], ValueError, r"`labels` must have 1 dimension.* shape is \(16, 1\)", id="a column"),
        pytest.param(Y * 0 - 100, ValueError, "`labels` holds nothing but -100", id="none counts"),
    ],
)
def test_training_labels_that_do_not_fit(labels, error, message):
    refused(*make(y=labels), (X, Y), error, f"`train` cannot be trained on: {message}")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        pytest.param(make(batch_size=20, drop_last=True)[1], "`drop_last` drops the only one, as it has 16 images, "
                     "fewer than 20", id="fewer than a batch"),
        pytest.param(make(x=X[:0], y=Y[:0])[1], "it has no images", id="no images"),
        pytest.param([], "its length is 0", id="a list"),
    ],
)  # fmt: skip
def test_no_batch_at_all(train, message):
    refused(make()[0], train, (X, Y), ValueError, f"`train` gives no batch: {message}")


def with_batch_norm(**options) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.5, rng=np.random.default_rng(0)), nn.BatchNorm1d(4, **options),
                         nn.Linear(4, 3))  # fmt: skip


def test_a_last_batch_of_one_image_for_batch_normalization():
    message = r"`train` .*: a batch, or a rank's part of it, has one image. .* needs at least 2, .*`drop_last=True`"
    refused(*make(model=with_batch_norm(), batch_size=5), (X, Y), ValueError, message)
    for options in ({"drop_last": True}, {"x": X[:15], "y": Y[:15]}):
        trainer, loader = make(model=with_batch_norm(), batch_size=5, **options)
        assert len(trainer.fit(loader, (X, Y), 1).step_losses) == 3
    frozen = with_batch_norm()
    frozen[2].eval()
    trainer, loader = make(model=frozen, batch_size=5)
    assert len(trainer.fit(loader, (X, Y), 1).step_losses) == 4


def test_a_last_image_for_batch_normalization_that_has_no_running_statistics(monkeypatch):
    monkeypatch.setattr("fastcnn.training.checks.BATCH_SIZE", 5)
    trainer, loader = make(model=with_batch_norm(track_running_stats=False))
    refused(trainer, loader, (X, Y), ValueError, "`validation` cannot be evaluated: .* needs at least 2")


def test_one_image_is_augmented_before_the_model_sees_it():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))
    images = np.zeros((5, 1, 3, 3), np.float32)
    options = {"augment": lambda images, rng: images[..., 1:, 1:], "x": images, "y": Y[:5], "batch_size": 4}
    refused(*make(model=model, **options), (images[..., 1:, 1:], Y[:5]), ValueError, "has one image")


def test_nan_in_validation_images_is_a_number_of_the_record():
    trainer, loader = make()
    assert np.isnan(trainer.fit(loader, (X * np.nan, Y), 1).epochs[0].validation_loss)


def test_a_run_is_the_same_as_in_a_loop_without_checks():
    rng = np.random.default_rng(0)
    for batch_size in (5, 8):  # with and without a last batch of one image, which is checked
        model, twin = (nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.5, rng=np.random.default_rng(0)), nn.Linear(4, 3))
                       for _ in range(2))  # fmt: skip
        for parameter, other in zip(model.parameters(), twin.parameters(), strict=True):
            parameter.data[...] = other.data[...] = rng.standard_normal(parameter.shape)
        trainer, loader = make(model=model, batch_size=batch_size)
        expected, loss, steps = [], nn.CrossEntropyLoss(), optim.SGD(twin.parameters(), 0.1)
        for images, labels in make(batch_size=batch_size)[1]:
            expected.append(loss(twin(images), labels))
            steps.zero_grad()
            twin.backward(loss.backward(), input_grad=False)
            steps.step()
        assert trainer.fit(loader, (X, Y), 1).step_losses == expected


@pytest.mark.parametrize(
    ("n", "batch_size", "drop_last", "part", "smallest"),
    [
        pytest.param(10, 4, False, (0, 1), 2, id="the last"),
        pytest.param(10, 4, True, (0, 1), 4, id="without it"),
        pytest.param(3, 4, False, (0, 1), 3, id="the only one"),
        pytest.param(3, 4, True, (0, 1), 0, id="none"),
        pytest.param(11, 8, False, (0, 2), 1, id="the smaller part of three"),
        pytest.param(11, 8, False, (1, 2), 2, id="the larger part of three"),
        pytest.param(9, 8, False, (0, 2), 4, id="no part of one"),
    ],
)
def test_the_smallest_batch(n, batch_size, drop_last, part, smallest):
    loader = data.DataLoader(np.zeros(n), np.zeros(n), batch_size, drop_last=drop_last)
    assert loader.smallest(*part) == smallest
    sizes = [len(images) for images, _ in loader.parts(*part)]
    assert smallest == min(filter(None, sizes), default=0)


def test_a_model_that_the_numba_backend_trains_is_checked_too(fast_backend):
    with fastcnn.use_backend(fast_backend):
        refused(*make(), (X, Y + 1), ValueError, "`validation` cannot be evaluated: `labels` holds 3")


def test_the_look_at_the_data_compiles_and_records_nothing():
    x, y = np.zeros((9, 4), np.float32), np.arange(9) % 3
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with fastcnn.use_backend("numba"):
        loader = data.DataLoader(x, y, 4, drop_last=True)
        checks.check(model, nn.CrossEntropyLoss(), loader, (x, y), training.Strategy())
    assert "_recordings" not in vars(model)


def test_an_optimizer_of_what_is_not_in_the_model():
    trainer, loader = make()
    trainer.model[-1] = nn.Linear(4, 3)  # replaced after the optimizer was made
    refused(
        trainer, loader, None, ValueError, "has parameters that are not the model's, and leaves out 2.weight, 2.bias:"
    )
    trainer.model[-1].requires_grad_(False)
    trainer.fit(loader)  # all parameters that need gradients are in the optimizer


def test_an_optimizer_may_leave_parameters_out_and_train_those_of_the_loss():
    trainer, loader = make()
    trainer.optimizer = optim.SGD(trainer.model[0].parameters(), 0.1)
    trainer.fit(loader)

    class Warm(nn.CrossEntropyLoss):
        temperature = nn.Parameter(np.ones(1))

        def parameters(self):
            return [self.temperature]

    trainer, loader = make(loss=Warm())
    trainer.optimizer = optim.SGD([*trainer.model[0].parameters(), Warm.temperature], 0.1)
    trainer.fit(loader)


def test_a_schedule_of_another_optimizer():
    trainer, loader = make()
    trainer.scheduler = optim.StepLR(optim.SGD(trainer.model.parameters(), 0.1), 1)
    refused(trainer, loader, None, ValueError, "`scheduler` must set the learning rates of `optimizer`, not")
