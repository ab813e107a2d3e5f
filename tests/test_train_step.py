"""A training step as one program equals the single calls, bit for bit."""

import pickle

import numpy as np
import pytest

import fastcnn
from fastcnn import models, nn, optim, training
from fastcnn.testing import LOSS_CASES
from fastcnn.testing.optimizers import ONE_OF_EACH, make

IMAGE, CLASSES = (2, 8, 8), 3
MODELS = {
    "convolutions": lambda rng: [nn.Conv2d(2, 5, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                                 nn.Linear(80, CLASSES, rng=rng)],
    "normalized": lambda rng: [nn.Conv2d(2, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                               nn.Linear(144, CLASSES, rng=rng)],
    "random": lambda rng: [nn.Flatten(), nn.Dropout(0.5, rng=rng), nn.Linear(128, CLASSES, rng=rng)],
}  # fmt: skip
MOMENTUM, ADAM = "SGD, Nesterov", "Adam, weight decay"
LOSSES = {
    "plain": nn.CrossEntropyLoss,
    "smoothed": lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
    "weighted": lambda: nn.CrossEntropyLoss(np.array([1, 2, 0.5], np.float32), reduction="sum"),
}


@pytest.fixture(autouse=True)
def chosen(request):
    """Use the backend that the test requests."""
    name = next((name for name in ("backend", "fast_backend") if name in request.fixturenames), None)
    with fastcnn.use_backend(request.getfixturevalue(name) if name else "numba"):
        yield


class ByHand:
    """The single calls that a step replaces."""

    def __init__(self, model, optimizer, loss):
        self.model, self.optimizer, self.loss = model, optimizer, loss

    def __call__(self, x, target):
        value = self.loss(self.model(x), target)
        self.optimizer.zero_grad()
        self.model.backward(self.loss.backward(), input_grad=False)
        self.optimizer.step()
        return value


def made(kind, layers="convolutions", optimizer=MOMENTUM, loss="plain"):
    """Make a step, or its single calls, always with the same model."""
    model = nn.Sequential(*MODELS[layers](np.random.default_rng(0)))
    return kind(model, make(optimizer, model.parameters()), LOSSES[loss]())


def batches(count, N=5):
    """Make batches of images and labels."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield rng.standard_normal((N, *IMAGE), np.float32), rng.integers(0, CLASSES, N)


def arrays(step):
    """Return everything that a step changes."""
    parameters = list(step.model.parameters())
    buffers = [buffer.data for _, buffer in step.model.named_buffers()]
    remembered = [np.array(item) for value in step.optimizer.buffers().values() for item in value]
    return [p.data for p in parameters] + [p.grad for p in parameters if p.grad is not None] + buffers + remembered


def assert_same(one, other):
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)


def both(*names):
    return made(training.TrainStep, *names), made(ByHand, *names)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", ["SGD", *ONE_OF_EACH])
def test_it_does_what_the_calls_do(backend, optimizer, loss):
    if backend == "naive" and (optimizer, loss) != (MOMENTUM, "plain"):
        pytest.skip("takes the same path as numpy")
    step, by_hand = both("convolutions", optimizer, loss)
    for batch in batches(3):
        assert step(*batch) == by_hand(*batch)
        assert_same(step, by_hand)
    assert len(step.programs) == (backend == "numba")


OF_A_MODEL = [
    case
    for case in LOSS_CASES
    if case.others.get("reduction") != "none" and len(case.x) in (2, 4) and case.x[1:] != (2100,)
]


@pytest.mark.parametrize("case", OF_A_MODEL, ids=str)
def test_every_loss_is_part_of_the_program(case):
    rng = np.random.default_rng(1)
    N, classes, *behind = case.x
    steps = []
    for kind in (training.TrainStep, ByHand):
        to = {"rng": np.random.default_rng(0)}
        model = nn.Conv2d(2, classes, 3, padding=1, **to) if behind else nn.Linear(4, classes, **to)
        loss = nn.LOSSES[case.layer](**case.arguments(np.random.default_rng(2), np.float32)[2])
        steps.append(kind(model, optim.SGD(model.parameters(), 0.1, momentum=0.9), loss))
    step, by_hand = steps
    for _ in range(3):
        x = rng.standard_normal((N, 2, *behind) if behind else (N, 4), np.float32)
        _, target, _ = case.arguments(rng, np.float32)
        _, value, mean_over = step.learn(x, target)
        assert value == by_hand(x, target)
        assert mean_over == by_hand.loss.mean_over
        assert_same(step, by_hand)
    assert step.unrecorded is None
    assert len(step.programs) <= 2  # some batches may have ignored labels, others not
    assert len(step.programs) == 1 or case.ignored


def test_options_of_a_loss_may_change_between_steps():
    def steps():
        for kind in (training.TrainStep, ByHand):
            model = nn.Linear(4, 3, rng=np.random.default_rng(0))
            yield kind(model, optim.SGD(model.parameters(), 0.1), nn.HuberLoss())

    step, by_hand = steps()
    rng = np.random.default_rng(0)
    for delta in (1.0, 1.0, 0.1, 0.1, 1.0):
        x, target = rng.standard_normal((5, 4), np.float32), rng.standard_normal((5, 3), np.float32)
        step.loss.delta = by_hand.loss.delta = delta
        assert step(x, target) == by_hand(x, target)
        assert_same(step, by_hand)
    assert len(step.programs) == 2


def test_losses_that_are_not_summed_are_no_step():
    model = nn.Linear(4, 3)
    with pytest.raises(ValueError, match="`loss` has `reduction='none'` but must be one number"):
        training.TrainStep(model, optim.SGD(model.parameters(), 0.1), nn.MSELoss("none"))


@pytest.mark.parametrize("layers", MODELS)
def test_models_with_running_statistics_and_random_numbers(fast_backend, layers):
    step, by_hand = both(layers)
    for batch in batches(4):
        assert step(*batch) == by_hand(*batch)
        assert_same(step, by_hand)


@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM])
def test_what_changes_between_steps_counts(fast_backend, optimizer):
    """Settings, momentum, modes, batch sizes, ignored labels and the state of the optimizer may change."""
    step, by_hand = both("normalized", optimizer)
    for i, (x, labels) in enumerate(batches(12)):
        for each in (step, by_hand):
            if i == 2:
                each.optimizer.lr = 0.01
            if i == 3 and optimizer == MOMENTUM:
                each.optimizer.nesterov, each.optimizer.momentum = False, 0.0
            if i == 4 and optimizer == MOMENTUM:
                each.optimizer.momentum = 0.5
            if i == 6:
                each.model[1].eval()
            if i == 9:
                each.optimizer.load_state_dict(each.optimizer.state_dict())
            if i == 10:
                each.model[0].weight.data = each.model[0].weight.data.copy()
            if i == 11:
                each.model[0].weight.data *= 2
        if i in (5, 7):
            labels[1] = -100
        end = 3 if i == 8 else None
        assert step(x[:end], labels[:end]) == by_hand(x[:end], labels[:end])
        assert_same(step, by_hand)


def test_forms_of_batches_have_programs_of_their_own():
    step = made(training.TrainStep)
    for batch in [*batches(2), *batches(2, 3), *batches(2)]:
        step(*batch)
    assert len(step.programs) == 2
    first, second = step.programs
    step(*next(batches(1, 3)))
    assert step.programs == [second, first]  # the program of the last batch is the last


@pytest.mark.parametrize("warm", [0, 2], ids=["the first step", "a program"])
@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM])
def test_a_loss_that_is_not_finite_changes_nothing(backend, optimizer, warm):
    if backend == "naive" and warm:
        pytest.skip("naive has no programs")
    step = made(training.TrainStep, "convolutions", optimizer)
    for batch in batches(warm):
        step(*batch)
    before = [array.copy() for array in arrays(step)]
    x, labels = next(batches(1))
    x[0, 0, 0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="The loss is nan; the learning rate was"):
        step(x, labels)
    for old, new in zip(before, arrays(step), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.isfinite(step(*next(batches(1))))


def test_bad_arguments_change_nothing(fast_backend):
    step = made(training.TrainStep)
    x, labels = next(batches(1))
    step(x, labels)
    before = [array.copy() for array in arrays(step)]
    for bad, error, said in (
        ((x, labels + 9), ValueError, "its values must be from 0 to 2"),
        ((x, labels[:2]), ValueError, "shape"),
        ((x[:, :1], labels), ValueError, "channels"),
        ((x.astype(np.int64), labels), TypeError, "float"),
        ((x, np.full(len(x), -100)), ValueError, "The mean of no rows"),
    ):
        with pytest.raises(error, match=said):
            step(*bad)
    for old, new in zip(before, arrays(step), strict=True):
        np.testing.assert_array_equal(old, new)


class Doubled(nn.Module):
    """A custom layer."""

    def forward_native(self, x, backend):
        return backend.pack(2 * backend.unpack(x))

    def backward_native(self, dy, backend, input_grad):
        return backend.pack(2 * backend.unpack(dy))


class Slower(optim.SGD):
    """A custom optimizer."""

    def step(self):
        self.lr /= 2
        super().step()


def test_what_cannot_be_recorded_is_called_and_says_why():
    def steps(change):
        for kind in (training.TrainStep, ByHand):
            each = made(kind)
            change(each)
            yield each

    def own_layer(each):
        each.model = nn.Sequential(Doubled(), *each.model)

    def own_optimizer(each):
        each.optimizer = Slower(each.model.parameters(), 0.1)

    def own_class(each):
        each.optimizer = type("Same", (optim.SGD,), {})(each.model.parameters(), 0.1)

    def own_loss(each):
        each.loss = type("Mine", (nn.CrossEntropyLoss,), {})()

    def shared(each):
        conv = each.model[0]
        square = nn.Conv2d(5, 5, 3, padding=1, rng=np.random.default_rng(0))
        each.model = nn.Sequential(conv, square, square, *list(each.model)[1:])
        each.optimizer = optim.SGD(each.model.parameters(), 0.1)

    for change, why in (
        (own_layer, "layer 0: Doubled is a user-defined class"),
        (own_optimizer, "the optimizer is of a user-defined class, Slower"),
        (own_class, "the optimizer is of a user-defined class, Same"),
        (own_loss, "the loss is of a user-defined class, Mine"),
        (shared, "layers share a parameter"),
    ):
        step, by_hand = steps(change)
        for batch in batches(3):
            assert step(*batch) == by_hand(*batch)
            assert_same(step, by_hand)
        assert (step.unrecorded, step.programs) == (why, [])


def test_replaced_methods_are_called(monkeypatch):
    step, asked = made(training.TrainStep), []
    monkeypatch.setattr(step.optimizer, "step", lambda: asked.append(1))
    before = step.model[0].weight.data.copy()
    for batch in batches(2):
        step(*batch)
    assert asked == [1, 1]
    assert step.unrecorded == "a method of the optimizer was replaced"
    np.testing.assert_array_equal(step.model[0].weight.data, before)


def test_a_target_that_is_the_input_once_may_be_another_array(fast_backend):
    model = nn.Linear(4, 4, rng=np.random.default_rng(0))
    twin = nn.Linear(4, 4, rng=np.random.default_rng(0))
    step = training.TrainStep(model, optim.SGD(model.parameters(), 0.1), nn.MSELoss())
    by_hand = ByHand(twin, optim.SGD(twin.parameters(), 0.1), nn.MSELoss())
    rng = np.random.default_rng(0)
    for i in range(4):
        x = rng.standard_normal((3, 4), np.float32)
        target = x if i % 2 == 0 else rng.standard_normal((3, 4), np.float32)
        assert step(x, target) == by_hand(x, target)
    assert_same(step, by_hand)


def test_results_stay_as_they_are():
    step = made(training.TrainStep)
    kept = []
    for batch in batches(3):
        step(*batch)
        found = [step.output, *(p.grad for p in step.model.parameters())]
        kept.append((found, [array.copy() for array in found]))
    for found, copies in kept:
        for array, copy in zip(found, copies, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_a_model_and_its_loss_forget_earlier_batches():
    step = made(training.TrainStep)
    x, labels = next(batches(1))
    step.loss(step.model(x), labels)
    step(x, labels)
    with pytest.raises(RuntimeError, match=r"call Sequential\.forward first"):
        step.model.backward(np.zeros((5, CLASSES), np.float32))
    with pytest.raises(RuntimeError, match="needs a loss"):
        step.loss.backward()


def test_threads_change_no_bit():
    before, found = fastcnn.get_num_threads(), []
    for threads in (1, 2, 5):
        fastcnn.set_num_threads(threads)
        model = models.LeNet5(rng=np.random.default_rng(0))
        step = training.TrainStep(model, optim.Adam(model.parameters()), nn.CrossEntropyLoss())
        rng = np.random.default_rng(0)
        for _ in range(3):
            step(rng.standard_normal((20, 1, 32, 32), np.float32), rng.integers(0, 10, 20))
        found.append([p.data for p in model.parameters()])
    fastcnn.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_copy_goes_on_by_itself():
    step = made(training.TrainStep)
    step(*next(batches(1)))
    copy = pickle.loads(pickle.dumps(step))
    batch = next(batches(1))
    assert step(*batch) == copy(*batch)
    assert_same(step, copy)


def test_a_new_buffer_counts():
    steps = made(training.TrainStep), made(ByHand)
    for i, batch in enumerate(batches(4)):
        for step in steps:
            if i == 2:
                step.optimizer.velocity[0] = np.ones_like(step.optimizer.velocity[0])
            step(*batch)
    for one, other in zip(*(step.model.parameters() for step in steps), strict=True):
        np.testing.assert_array_equal(one.data, other.data)


@pytest.mark.parametrize("callbacks", [(), (training.ClipGradients(1.0),)], ids=["whole steps", "parts of steps"])
def test_an_error_changes_no_gradient_of_what_the_optimizer_does_not_train(callbacks, backend):
    model = nn.Sequential(*MODELS["convolutions"](np.random.default_rng(0)))
    optimizer = optim.SGD(model[-1].parameters(), 0.1)
    trainer = training.Trainer(model, optimizer, nn.CrossEntropyLoss(), callbacks=callbacks)
    model[0].weight.grad = before = np.ones_like(model[0].weight.data)
    optimizer.lr = -1
    with pytest.raises(ValueError, match="`lr` is -1"):
        trainer._step(*next(batches(1)))
    assert model[0].weight.grad is before
    assert trainer.history.step_losses == []


@pytest.mark.parametrize("warm", [0, 2], ids=["the first step", "a program"])
def test_a_wrong_setting_changes_nothing(backend, warm):
    step, *some = made(training.TrainStep), *batches(3)
    for batch in some[:warm]:
        step(*batch)
    before = [(parameter.data.copy(), parameter.grad) for parameter in step.model.parameters()]
    step.optimizer.lr = -1
    with pytest.raises(ValueError, match="`lr` is -1 but must be at least 0"):
        step(*some[2])
    for parameter, (data, grad) in zip(step.model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.data, data)
        assert parameter.grad is grad
    step.optimizer.lr = 0.1
    step(*some[2])
    assert (step.model[0].weight.data != before[0][0]).any()


PARTS = {"model": nn.Linear(2, 2), "optimizer": optim.SGD([nn.Parameter(np.ones(1))]), "loss": nn.CrossEntropyLoss()}


@pytest.mark.parametrize("kind", [training.TrainStep, training.Trainer])
@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"model": PARTS["loss"]}, "`model` must be a Module, not CrossEntropyLoss."),
        ({"model": models.LeNet5}, "`model` must be a Module, not the class LeNet5."),
        ({"optimizer": PARTS["loss"]}, "`optimizer` must be an Optimizer, not CrossEntropyLoss."),
        ({"loss": PARTS["optimizer"]}, "`loss` must be a loss such as nn.CrossEntropyLoss(), not SGD."),
        ({"loss": nn.MSELoss}, "`loss` must be a loss such as nn.CrossEntropyLoss(), not the class MSELoss."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parts_that_are_something_else(kind, changed, text):
    with pytest.raises(TypeError) as raised:
        kind(**PARTS | changed)
    assert str(raised.value) == text


def test_a_schedule_that_is_something_else():
    with pytest.raises(TypeError, match="`scheduler` must be a Schedule or None, not SGD"):
        training.Trainer(**PARTS, scheduler=PARTS["optimizer"])
