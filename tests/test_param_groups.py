"""Parameter groups with their own settings in optimizers, schedules, training steps and checkpoints."""

import copy
import json

import numpy as np
import pytest

import fastcnn
from fastcnn import data, models, nn, optim, training
from fastcnn.testing.optimizers import OPTIMIZERS
from tests.runs import exact, outcome
from tests.test_schedules import SCHEDULES

MORE = {"lr": 0.03, "weight_decay": 0.3}, {"lr": 0.01}
SHAPES = (3, 2), (37,), (1, 1), (5,), (2, 2)
PARTS = (0, 2), (2, 3), (3, 5)


@pytest.fixture
def backend(backend):
    """Run the test in the backend; the value is its name."""
    with fastcnn.use_backend(backend):
        yield backend


def grouped(params, kind, **options):
    """Make three groups: one with the optimizer's options, two with their own settings."""
    groups = [{"params": params[first:last]} for first, last in PARTS]
    return kind([group | more for group, more in zip(groups, ({}, *MORE), strict=True)], **options)


def parameters(rng, dtype=np.float64) -> list[nn.Parameter]:
    return [nn.Parameter(rng.standard_normal(shape).astype(dtype)) for shape in SHAPES]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-5)], ids=["float64", "float32"])
def test_steps_are_those_of_torch(name, dtype, rtol, rng, backend, monkeypatch):
    """Settings change in between, and some gradients are missing."""
    torch, twin = pytest.importorskip("torch"), pytest.importorskip("tests.torch_optimizers")
    kind, options = OPTIMIZERS[name]
    ours = parameters(rng, dtype)
    theirs = twin.twins(ours)
    optimizer, other = grouped(ours, kind, **options), grouped(theirs, getattr(torch.optim, kind.__name__), **options)
    for i in range(20):
        for k, parameter in enumerate(ours):
            parameter.grad = rng.standard_normal(parameter.shape).astype(dtype) if i % 5 != k else None
        if i == 10:
            for each in (optimizer, other):
                each.param_groups[1]["lr"] = 0.2
                each.param_groups[2]["weight_decay"] = 0.1
        twin.step(optimizer, other, ours, theirs, monkeypatch)
    twin.assert_same(ours, theirs, rtol)
    for own, its in zip(optimizer.param_groups, other.param_groups, strict=True):
        assert {name: own[name] for name in own if name != "params"} == {n: its[n] for n in own if n != "params"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_do_what_optimizers_of_their_own_do(name, dtype, rng, backend):
    kind, options = OPTIMIZERS[name]
    together, alone = (parameters(np.random.default_rng(0), dtype) for _ in range(2))
    optimizer = grouped(together, kind, **options)
    optimizers = [
        kind(alone[first:last], **options | more) for (first, last), more in zip(PARTS, ({}, *MORE), strict=True)
    ]
    for _ in range(3):
        for a, b in zip(together, alone, strict=True):
            a.grad = b.grad = rng.standard_normal(a.shape).astype(dtype)
        for each in (optimizer, *optimizers):
            each.step()
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_goes_on_in_groups(name, rng, backend):
    kind, options = OPTIMIZERS[name]
    ours = parameters(rng)
    optimizer = grouped(ours, kind, **options)
    copies = copy.deepcopy(ours)
    for parameter in ours:
        parameter.grad = rng.standard_normal(parameter.shape)
    optimizer.step()
    optimizer.param_groups[1]["lr"] = 0.5
    resumed = grouped(copies, kind)
    resumed.load_state_dict(optimizer.state_dict())
    for a, b in zip(ours, copies, strict=True):
        b.data[...] = a.data
        b.grad = a.grad = rng.standard_normal(a.shape)
    optimizer.step()
    resumed.step()
    for a, b in zip(ours, copies, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert resumed.param_groups[1]["lr"] == 0.5
    assert [group["params"] for group in resumed.state_dict()["param_groups"]] == [[0, 1], [2], [3, 4]]


def test_a_state_of_other_groups_changes_nothing(rng):
    ours = parameters(rng)
    optimizer = grouped(ours, optim.SGD, lr=0.1)
    before = optimizer.state_dict()
    other = optim.SGD([{"params": ours[:1]}, {"params": ours[1:]}], lr=0.7)
    with pytest.raises(ValueError, match=r"The state's groups have the parameters \[\[0\], \[1, 2, 3, 4\]\]"):
        optimizer.load_state_dict(other.state_dict())
    state = optimizer.state_dict()
    state["param_groups"][0]["momentum"] = 2.0
    with pytest.raises(ValueError, match="`momentum` is 2"):
        optimizer.load_state_dict(state)
    del state["param_groups"][0]["momentum"]
    with pytest.raises(ValueError, match="but that of SGD has"):
        optimizer.load_state_dict(state)
    assert str(optimizer.state_dict()) == str(before)


def test_attributes_are_settings_of_the_first_group_and_set_all():
    first, second = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(1))
    optimizer = optim.Adam([{"params": first}, {"params": [second], "lr": 0.5}], betas=(0.5, 0.5))
    assert (optimizer.lr, optimizer.betas, optimizer.amsgrad) == (1e-3, (0.5, 0.5), False)
    optimizer.lr = 0.25
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    assert [group["params"] for group in optimizer.param_groups] == [(first,), (second,)]


@pytest.mark.parametrize(
    ("name", "value", "error", "text"),
    [
        ("lr", -1, ValueError, "`lr` is -1 but must be at least 0"),
        ("lr", np.nan, ValueError, "`lr` is nan"),
        ("lr", np.array(0.1), TypeError, "`lr` must be a number, not ndarray."),
        ("weight_decay", "1", TypeError, "`weight_decay` must be a number, not str."),
        ("betas", 0.9, ValueError, "`betas` must be a pair of numbers, not 0.9."),
        ("amsgrad", 1, TypeError, "`amsgrad` must be True or False, not 1."),
        ("amsgrad", True, ValueError, "`amsgrad` is True, but it was not when the group was made"),
        ("learning_rate", 0.1, ValueError, "A group has 'learning_rate', which is not a setting of Adam"),
    ],
    ids=str,
)
def test_a_setting_that_is_changed_to_something_wrong_changes_nothing(name, value, error, text, backend):
    params = [nn.Parameter(np.ones(2)) for _ in range(2)]
    optimizer = optim.Adam([{"params": parameter} for parameter in params])
    optimizer.param_groups[1][name] = value
    for parameter in params:
        parameter.grad = np.ones(2)
    for _ in range(2):
        with pytest.raises(error) as raised:
            optimizer.step()
        assert text in str(raised.value)
    np.testing.assert_array_equal([parameter.data for parameter in params], 1)
    assert optimizer.steps == [0, 0]


def test_settings_that_are_changed_have_the_form_of_new_ones(backend):
    """Otherwise a run that goes on from a state would compute in another precision."""
    weight = nn.Parameter(np.ones(2, np.float32))
    optimizer = optim.Adam([weight])
    optimizer.lr, optimizer.betas = np.float64(0.1), [np.float32(0.5), 0.75]
    weight.grad = np.ones(2, np.float32)
    optimizer.step()
    assert optimizer.betas == (0.5, 0.75)
    assert type(optimizer.lr) is type(optimizer.betas[0]) is float


@pytest.mark.parametrize("name", ["SGD, momentum", "Adam, amsgrad", "RMSprop, all options", "Muon"])
def test_a_group_that_is_added_trains(name, rng, backend):
    """It is also trained by the program of a training step, which is recorded again."""
    kind, options = OPTIMIZERS[name]
    found = []
    for one_by_one in (False, True):
        model = models.LeNet5(rng=np.random.default_rng(0))
        model.requires_grad_(False)
        model[-1].requires_grad_()
        loss, optimizer = nn.CrossEntropyLoss(), kind(model[-1].parameters(), **options)
        step = training.TrainStep(model, optimizer, loss)
        draw = np.random.default_rng(1)
        before = model[-3].weight.data.copy()
        for i in range(4):
            if i == 2:
                model[-3].requires_grad_()
                optimizer.add_param_group({"params": model[-3].parameters(), "lr": 1e-3})
            x, labels = draw.standard_normal((3, 1, 32, 32), np.float32), draw.integers(0, 10, 3)
            if one_by_one:
                loss(model(x), labels)
                optimizer.zero_grad()
                model.backward(loss.backward(), input_grad=False)
                optimizer.step()
            else:
                step(x, labels)
            assert np.array_equal(before, model[-3].weight.data) == (i < 2)
        found.append(model.state_dict())
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_a_group_that_is_added_trains_where_everything_learned_before():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, rng=np.random.default_rng(0)), nn.Linear(3, 2))
    optimizer = optim.SGD(model[2].parameters(), 0.1)
    step, before = training.TrainStep(model, optimizer, nn.CrossEntropyLoss()), model[1].weight.data.copy()
    batch = np.ones((2, 1, 2, 2), np.float32), np.array([0, 1])
    with fastcnn.use_backend("numba"):
        step(*batch)
        np.testing.assert_array_equal(model[1].weight.data, before)
        optimizer.add_param_group({"params": model[1].weight})
        step(*batch)
    assert (model[1].weight.data != before).any()


@pytest.mark.parametrize("name", ["SGD, momentum", "Adam", "AdamW", "RMSprop", "Muon"])
def test_rates_change_without_another_program(name, rng):
    kind, options = OPTIMIZERS[name]
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, rng=rng), nn.Linear(3, 2, rng=rng))
    twin = copy.deepcopy(model)
    steps = []
    for each in (model, twin):
        groups = [{"params": each[1].parameters()}, {"params": each[2].parameters(), "lr": 0.02}]
        steps.append(training.TrainStep(each, kind(groups, **options), nn.CrossEntropyLoss()))
    programs = []
    for i in range(6):
        x, labels = rng.standard_normal((3, 1, 2, 2), np.float32), np.array([0, 1, 1])
        for each in steps:
            each.optimizer.param_groups[1]["lr"] = 0.1 / (i + 1)
            each.optimizer.param_groups[0]["weight_decay"] = 0.01 * i
        with fastcnn.use_backend("numba"):
            steps[0](x, labels)
        programs.append(steps[0].programs[-1])
        with fastcnn.use_backend("numba"), nn.recording.layer_by_layer():
            steps[1](x, labels)
        for a, b in zip(model.parameters(), twin.parameters(), strict=True):
            np.testing.assert_array_equal(a.data, b.data)
    assert len(set(map(id, programs))) == 1


SPREAD = {name: row for name, row in SCHEDULES.items() if not name.startswith("OneCycleLR")} | {
    "OneCycleLR": ("OneCycleLR", {"max_lr": [0.5, 0.2], "epochs": 5, "steps_per_epoch": 4}, 20),
    "OneCycleLR, one for all": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20, "base_momentum": [0.5, 0.7]}, 20),
    "OneCycleLR, three phases": (
        "OneCycleLR",
        {"max_lr": [0.5, 0.2], "total_steps": 23, "three_phase": True, "max_momentum": [0.9, 0.8]},
        23,
    ),
}


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options", "steps"), SPREAD.values(), ids=SPREAD)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")  # PyTorch expects an optimizer step first
def test_schedules_of_groups_are_those_of_torch(kind, name, options, steps):
    torch = pytest.importorskip("torch")
    momentum = {"momentum": 0.9} if kind == "SGD" else {}
    ours, theirs = (
        getattr(made, kind)([{"params": [a]}, {"params": [b], "lr": 0.01}], lr=0.1, **momentum)
        for made, a, b in (
            (optim, nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))),
            (torch.optim, torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))),
        )
    )
    schedule, twin = getattr(optim, name)(ours, **options), getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    assert schedule.base_lrs == [0.1, 0.01]
    for i in range(steps):
        assert schedule.get_last_lr() == pytest.approx(twin.get_last_lr(), rel=1e-12), i
        for own, other in zip(ours.param_groups, theirs.param_groups, strict=True):
            for setting in ("lr", *momentum, *(["betas"] if kind == "Adam" else [])):
                assert own[setting] == pytest.approx(other[setting], rel=1e-12), (i, setting)
        schedule.step()
        if i < steps - 1:
            twin.step()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler", "ignore:The epoch parameter")
def test_a_sequence_and_a_plateau_of_groups_are_those_of_torch():
    torch = pytest.importorskip("torch")
    schedulers = torch.optim.lr_scheduler

    def optimizers():
        a, b = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
        ours = optim.SGD([{"params": a}, {"params": b, "lr": 0.01}], lr=0.1)
        a, b = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
        return ours, torch.optim.SGD([{"params": a}, {"params": b, "lr": 0.01}], lr=0.1)

    ours, theirs = optimizers()
    first, second = (
        made.SequentialLR(
            optimizer, [made.LinearLR(optimizer, 0.5, total_iters=3), made.StepLR(optimizer, 2, 0.5)], milestones=[3]
        )
        for made, optimizer in ((optim, ours), (schedulers, theirs))
    )
    for _ in range(9):
        assert first.get_last_lr() == pytest.approx(second.get_last_lr(), rel=1e-12)
        first.step()
        second.step()
    ours, theirs = optimizers()
    first, second = (
        made.ReduceLROnPlateau(optimizer, patience=1, factor=0.1, min_lr=[1e-3, 5e-4])
        for made, optimizer in ((optim, ours), (schedulers, theirs))
    )
    for loss in (3, 2, 2.5, 2.5, 2.5, 2.5, 1, 1, 1, 1, 1, 1, 1):
        first.step(metrics=loss)
        second.step(metrics=loss)
        assert first.get_last_lr() == pytest.approx([group["lr"] for group in theirs.param_groups], rel=1e-12)


@pytest.mark.parametrize(("name", "options", "steps"), SPREAD.values(), ids=SPREAD)
def test_a_schedule_of_groups_goes_on(name, options, steps):
    def made():
        a, b = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
        optimizer = optim.SGD([{"params": a}, {"params": b, "lr": 0.01}], lr=0.1)
        return optimizer, getattr(optim, name)(optimizer, **options)

    (first, schedule), (second, resumed) = made(), made()
    for _ in range(4):
        schedule.step()
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    second.load_state_dict(first.state_dict())
    schedule.step()
    resumed.step()
    assert resumed.get_last_lr() == schedule.get_last_lr()
    alone = optim.SGD([nn.Parameter(np.ones(2))], 0.1)
    other = options | {key: 0.5 for key in options if isinstance(options[key], list) and key != "milestones"}
    with pytest.raises(ValueError, match="a schedule for 1 groups, but here there are 2"):
        resumed.load_state_dict(getattr(optim, name)(alone, **other).state_dict())


def run(callbacks=()):
    """Make a run with two groups, whose learning rates differ and change with every batch."""
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((48, 1, 6, 6)).astype(np.float32), rng.integers(0, 3, 48)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3, rng=rng)
    )
    model[0].requires_grad_(False)
    groups = [
        {"params": [*model[0].parameters(), *model[1].parameters()], "lr": 1e-3},
        {"params": model[4].parameters(), "weight_decay": 0.1},
    ]
    optimizer = optim.AdamW(groups, 0.01, amsgrad=True)
    schedule = optim.OneCycleLR(optimizer, [0.01, 0.1], epochs=2, steps_per_epoch=6)
    loader = data.DataLoader(images, labels, 8, shuffle=True, rng=rng)
    return training.Trainer(model, optimizer, nn.CrossEntropyLoss(), schedule, callbacks), loader, (images, labels)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_run_with_groups_goes_on_bit_for_bit(name, tmp_path):
    with fastcnn.use_backend(name):
        whole, loader, validation = run()
        whole.fit(loader, validation, 2)
        expected = exact(outcome(whole, loader))
        first, loader, validation = run()
        first.fit(loader, validation, 1)
        training.save_checkpoint(tmp_path / "a", first, loader)
        second, loader, validation = run()
        training.load_checkpoint(tmp_path / "a").restore(second, loader)
        second.fit(loader, validation, 1)
    assert exact(outcome(second, loader)) == expected


def test_a_checkpoint_of_other_groups_is_named(tmp_path):
    trainer, loader, validation = run()
    trainer.fit(loader, validation, 1)
    training.save_checkpoint(tmp_path / "a", trainer, loader)
    other, loader, _ = run()
    other.optimizer = optim.AdamW(other.model.parameters(), 0.01, amsgrad=True)
    with pytest.raises(training.CheckpointError, match=r"`optimizer\.state\.param_groups` must be a list of 1"):
        training.load_checkpoint(tmp_path / "a").restore(other, loader)


A, B = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(1))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        pytest.param(lambda: optim.SGD([{"params": [A]}, {"params": [B, A]}]), ValueError,
                     "A parameter is in two groups", id="twice"),
        pytest.param(lambda: optim.SGD([{"params": []}]), ValueError, "`params` holds no parameter", id="none"),
        pytest.param(lambda: optim.SGD([{"params": [A], "beta": 1}]), ValueError,
                     "A group has 'beta', which is not a setting of SGD; its settings are 'lr', 'weight_decay', "
                     "'momentum'",
                     id="unknown"),
        pytest.param(lambda: optim.SGD([{"params": [A], "lr": -1}]), ValueError, "`lr` is -1", id="a negative rate"),
        pytest.param(lambda: optim.SGD([{"params": [A]}], lr=-1), ValueError, "`lr` is -1", id="a negative default"),
        pytest.param(lambda: optim.SGD([{"params": [A], "nesterov": True}]), ValueError, "needs a momentum",
                     id="settings that do not fit"),
        pytest.param(lambda: optim.SGD([{"params": [A]}, B]), TypeError, "A group must be a dictionary with 'params'",
                     id="a parameter among groups"),
        pytest.param(lambda: optim.SGD([A, {"params": [B]}]), TypeError, "must hold Parameters only, not dict",
                     id="a group among parameters"),
        pytest.param(lambda: optim.SGD([{"lr": 0.1}]), TypeError, "with 'params', not {'lr': 0.1}", id="no params"),
        pytest.param(lambda: optim.SGD([A]).add_param_group({"params": [A]}), ValueError, "in two groups", id="added"),
        pytest.param(lambda: optim.Adam([A], amsgrad=1), TypeError, "`amsgrad` must be True or False", id="amsgrad"),
        pytest.param(lambda: optim.OneCycleLR(optim.SGD([A], momentum=0.5), [0.1, 0.2], 5), ValueError,
                     "`max_lr` holds 2 numbers but the optimizer has 1 groups", id="rates"),
        pytest.param(lambda: optim.ReduceLROnPlateau(optim.SGD([A]), min_lr=[0.1, 0.2]), ValueError,
                     "`min_lr` holds 2 numbers but", id="lowest rates"),
        pytest.param(lambda: optim.OneCycleLR(optim.SGD([A]), 0.1), ValueError,
                     "Give `total_steps`, or both `epochs` and `steps_per_epoch`", id="no number of steps"),
        pytest.param(lambda: optim.OneCycleLR(optim.SGD([A]), 0.1, epochs=3), ValueError,
                     "Give `total_steps`, or both `epochs` and `steps_per_epoch`", id="epochs alone"),
        pytest.param(lambda: optim.OneCycleLR(optim.SGD([A]), 0.1, 9, 3, 3), ValueError, "not both", id="steps twice"),
        pytest.param(lambda: optim.StepLR(optim.SGD([A]), 2, 0.1, 5), ValueError,
                     "`last_epoch` is 5 but must be -1: to continue, load the states", id="last epoch"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(make, error, text):
    with pytest.raises(error) as raised:
        make()
    assert text in str(raised.value)


def test_what_a_schedule_or_an_optimizer_was_not_made_for_is_refused():
    first, second = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(1))
    optimizer = optim.Adam([first])
    schedule = optim.ExponentialLR(optimizer, 0.5)
    with pytest.raises(ValueError, match="`lr` is -2"):
        optimizer.add_param_group({"params": second, "lr": -2})
    assert len(optimizer.mean) == len(optimizer.params) == len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": second})
    with pytest.raises(ValueError, match="has 2 groups, but had 1 when this ExponentialLR was made"):
        schedule.step()
    optimizer.param_groups[1]["amsgrad"] = True
    second.grad = np.ones(1)
    with pytest.raises(ValueError, match="`amsgrad` is True, but it was not when the group was made"):
        optimizer.step()
