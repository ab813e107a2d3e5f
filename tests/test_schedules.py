"""Schedules: learning rates compared with PyTorch's, step by step, and momentum buffers that are kept."""

import json
import math

import numpy as np
import pytest

from fastcnn import nn, optim


def make_optimizer(kind: str) -> optim.Optimizer:
    parameter = nn.Parameter(np.ones(2))
    return optim.Adam([parameter], 0.1) if kind == "Adam" else optim.SGD([parameter], 0.1, momentum=0.9)


SCHEDULES = {
    "StepLR": ("StepLR", {"step_size": 3}, 11),
    "StepLR, gamma": ("StepLR", {"step_size": 2, "gamma": 0.5}, 7),
    "MultiStepLR": ("MultiStepLR", {"milestones": [2, 3, 7], "gamma": 0.5}, 11),
    "ExponentialLR": ("ExponentialLR", {"gamma": 0.9}, 40),
    "CosineAnnealingLR": ("CosineAnnealingLR", {"T_max": 10}, 11),
    "CosineAnnealingLR, up and down again": ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}, 50),
    "LinearLR": ("LinearLR", {}, 9),
    "LinearLR, decreasing": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.25, "total_iters": 7}, 12),
    "OneCycleLR": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 50}, 50),
    "OneCycleLR, linear": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 50, "anneal_strategy": "linear"}, 50),
    "OneCycleLR, early peak": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 37, "pct_start": 0.15}, 37),
    "OneCycleLR, no rise": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20, "pct_start": 0.0}, 20),
    "OneCycleLR, rate only": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20, "cycle_momentum": False}, 20),
    "OneCycleLR, other bounds": (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 20, "base_momentum": 0.5, "max_momentum": 0.8, "div_factor": 10.0,
         "final_div_factor": 100.0},
        20,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options", "steps"), SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")  # PyTorch expects an optimizer step first
def test_every_step_is_that_of_torch(kind, name, options, steps):
    torch = pytest.importorskip("torch")
    ours, tensor = make_optimizer(kind), torch.nn.Parameter(torch.ones(2))
    theirs = torch.optim.Adam([tensor], 0.1) if kind == "Adam" else torch.optim.SGD([tensor], 0.1, momentum=0.9)
    schedule = getattr(optim, name)(ours, **options)
    twin = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for i in range(steps):
        group = theirs.param_groups[0]
        assert ours.lr == pytest.approx(group["lr"], rel=1e-12), i
        if kind == "Adam":
            assert ours.betas == pytest.approx(group["betas"]), i
        else:
            assert ours.momentum == pytest.approx(group["momentum"]), i
        schedule.step()
        if i < steps - 1:
            twin.step()


def test_one_cycle_by_hand():
    optimizer = make_optimizer("SGD")
    schedule = optim.OneCycleLR(optimizer, 1.0, total_steps=5, pct_start=0.6, anneal_strategy="linear", div_factor=4)
    rates, momenta = [], []
    for _ in range(5):
        rates.append(optimizer.lr)
        momenta.append(optimizer.momentum)
        schedule.step()
    assert rates == pytest.approx([0.25, 0.625, 1.0, 0.5, 0.0], abs=1e-4)
    assert momenta == pytest.approx([0.95, 0.9, 0.85, 0.9, 0.95])


def test_one_cycle_needs_a_momentum_to_cycle():
    class Plain(optim.Optimizer):
        """An optimizer without `betas` and `momentum`."""

    optimizer = Plain([nn.Parameter(np.ones(2))], {"lr": 0.1, "weight_decay": 0.0})
    with pytest.raises(ValueError, match="`cycle_momentum` is True, but Plain has neither `betas` nor `momentum`"):
        optim.OneCycleLR(optimizer, 1.0, total_steps=3)
    assert optimizer.lr == 0.1
    optim.OneCycleLR(optimizer, 1.0, total_steps=3, cycle_momentum=False)
    assert not hasattr(optimizer, "momentum")


def test_one_cycle_has_only_momenta_that_the_optimizer_takes():
    optimizer = optim.SGD([nn.Parameter(np.ones(1))], 0.1, momentum=0.9, nesterov=True)
    with pytest.raises(ValueError, match="`nesterov` is True but `momentum` is 0"):
        optim.OneCycleLR(optimizer, 0.5, total_steps=10, base_momentum=0.0)
    assert (optimizer.lr, optimizer.momentum) == (0.1, 0.9)


def test_one_cycle_that_only_rises_ends_at_the_top():
    optimizer = make_optimizer("SGD")
    schedule = optim.OneCycleLR(optimizer, 1.0, total_steps=3, pct_start=1, anneal_strategy="linear", div_factor=5)
    rates = []
    for _ in range(3):
        rates.append(optimizer.lr)
        schedule.step()
    assert rates == pytest.approx([0.2, 0.6, 1.0])


def test_one_cycle_ends():
    schedule = optim.OneCycleLR(make_optimizer("SGD"), 1.0, total_steps=3)
    for _ in range(3):
        schedule.step()
    last = schedule.optimizer.lr
    with pytest.raises(ValueError, match=r"made for `total_steps` = 3 and ends there"):
        schedule.step()
    assert schedule.optimizer.lr == last == pytest.approx(1 / 25 / 1e4)


@pytest.mark.parametrize(("name", "options", "steps"), SCHEDULES.values(), ids=SCHEDULES)
def test_buffers_live_on(name, options, steps):
    optimizer = make_optimizer("SGD")
    buffer = optimizer.velocity[0]
    schedule = getattr(optim, name)(optimizer, **options)
    optimizer.params[0].grad = np.ones(2)
    optimizer.step()
    schedule.step()
    assert optimizer.velocity[0] is buffer
    assert (buffer == 1).all()


@pytest.mark.parametrize(("name", "options", "steps"), SCHEDULES.values(), ids=SCHEDULES)
def test_a_loaded_state_goes_on_as_if_never_stopped(name, options, steps):
    first, second = make_optimizer("SGD"), make_optimizer("SGD")
    schedule = getattr(optim, name)(first, **options)
    for _ in range(5):
        schedule.step()
    resumed = getattr(optim, name)(second, **options)
    resumed.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    assert second.lr == first.lr
    schedule.step()
    resumed.step()
    assert (second.lr, second.momentum) == (first.lr, first.momentum)


def warm_up_and_cosine(lib, optimizer):
    """Make LinearLR followed by CosineAnnealingLR, from fastcnn.optim or torch.optim.lr_scheduler."""
    parts = [lib.LinearLR(optimizer, 0.1, total_iters=5), lib.CosineAnnealingLR(optimizer, 12, 0.001)]
    return lib.SequentialLR(optimizer, parts, [5])


def three_parts(lib, optimizer):
    parts = [lib.LinearLR(optimizer), lib.ExponentialLR(optimizer, 0.9), lib.StepLR(optimizer, 2, 0.5)]
    return lib.SequentialLR(optimizer, parts, milestones=[3, 6])


sequences = pytest.mark.parametrize("make", [warm_up_and_cosine, three_parts])


@sequences
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler", "ignore:The epoch parameter in `scheduler.step")
def test_every_step_of_a_sequence_is_that_of_torch(make):
    torch = pytest.importorskip("torch")
    ours, theirs = make_optimizer("SGD"), torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], 0.1, momentum=0.9)
    schedule, twin = make(optim, ours), make(torch.optim.lr_scheduler, theirs)
    for i in range(17):
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12), i
        schedule.step()
        twin.step()


def test_a_sequence_by_hand():
    optimizer, rates = make_optimizer("SGD"), []
    optimizer.lr = 8.0
    parts = [optim.LinearLR(optimizer, 0.25, total_iters=3, every="batch"),
             optim.MultiStepLR(optimizer, [2], every="batch"),
             optim.CosineAnnealingLR(optimizer, 2, every="batch")]  # fmt: skip
    schedule = optim.SequentialLR(optimizer, parts, [2, 5])
    assert schedule.every == "batch"
    for _ in range(8):
        rates.append(optimizer.lr)
        schedule.step()
    assert rates == pytest.approx([2, 4, 8, 8, 0.8, 8, 4, 0], abs=1e-12)


@sequences
@pytest.mark.parametrize("done", [0, 2, 5, 9])
def test_a_loaded_sequence_goes_on_as_if_never_stopped(make, done):
    first, second = make_optimizer("SGD"), make_optimizer("SGD")
    schedule, resumed = make(optim, first), make(optim, second)
    for _ in range(done):
        schedule.step()
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    second.load_state_dict(first.state_dict())
    for _ in range(7):
        assert second.lr == first.lr
        schedule.step()
        resumed.step()


def test_a_sequence_keeps_its_state_where_another_does_not_fit():
    schedule = warm_up_and_cosine(optim, make_optimizer("SGD"))
    schedule.step()
    before = schedule.state_dict()
    optimizer = make_optimizer("SGD")
    other = optim.SequentialLR(optimizer, [optim.LinearLR(optimizer, 0.5), optim.StepLR(optimizer, 2)], [3])
    with pytest.raises(ValueError, match="but that of CosineAnnealingLR has"):
        schedule.load_state_dict(other.state_dict())
    assert schedule.state_dict() == before


@pytest.mark.parametrize("part", [None, {"steps": -1}], ids=str)
def test_a_sequence_keeps_its_state_where_a_later_part_is_wrong(part):
    schedule = warm_up_and_cosine(optim, make_optimizer("SGD"))
    before, state = schedule.state_dict(), schedule.state_dict()
    state["schedulers"][0]["steps"] = 1
    state["schedulers"][1] = part and state["schedulers"][1] | part
    with pytest.raises((TypeError, ValueError), match=r"must be a dictionary, not None|`steps` is -1"):
        schedule.load_state_dict(state)
    assert schedule.state_dict() == before


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        (None, TypeError, "must be a dictionary, not None."),
        ({"steps": -1}, ValueError, "`steps` is -1 but must be at least 0."),
        ({"steps": "1"}, TypeError, "`steps` must be a whole number, not '1'."),
        ({"base_lrs": None}, TypeError, "The state's `base_lrs` must be a list of numbers, not None."),
        ({"schedulers": None}, TypeError, "The state's `schedulers` must be a list of states, not None."),
    ],
    ids=str,
)
def test_what_is_no_state_changes_nothing(changed, error, text):
    schedule = warm_up_and_cosine(optim, make_optimizer("SGD"))
    before = schedule.state_dict()
    with pytest.raises(error) as raised:
        schedule.load_state_dict(changed if changed is None else before | changed)
    assert text in str(raised.value)
    assert schedule.state_dict() == before


@pytest.mark.parametrize("make", [lambda o: optim.StepLR(o, 1), optim.ReduceLROnPlateau], ids=["StepLR", "plateau"])
def test_a_step_after_a_group_was_added_changes_nothing(make):
    optimizer = make_optimizer("SGD")
    schedule = make(optimizer)
    optimizer.add_param_group({"params": nn.Parameter(np.ones(1))})
    before = schedule.state_dict()
    with pytest.raises(ValueError, match="make the schedule after `add_param_group`"):
        schedule.step(*[1.0] * schedule.needs_metric)
    assert schedule.state_dict() == before


@pytest.mark.parametrize("metric", ["1.5", None, True, np.ones(2)], ids=str)
def test_a_metric_that_is_no_number_changes_nothing(metric):
    schedule = optim.ReduceLROnPlateau(make_optimizer("SGD"))
    before = schedule.state_dict()
    with pytest.raises(TypeError, match="`metrics` must be a number, not "):
        schedule.step(metric)
    assert schedule.state_dict() == before


PLATEAUS = {
    "defaults": {"patience": 2},
    "higher is better": {"mode": "max", "patience": 1},
    "differences": {"threshold_mode": "abs", "threshold": 0.1, "patience": 1},
    "differences, higher is better": {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "patience": 0},
    "cooldown": {"factor": 0.5, "patience": 0, "cooldown": 3},
    "lowest rate": {"factor": 0.5, "patience": 0, "min_lr": 0.02},
    "changes too small to make": {"factor": 0.5, "patience": 0, "eps": 0.02},
}


@pytest.mark.parametrize("options", PLATEAUS.values(), ids=PLATEAUS)
def test_plateaus_are_those_of_torch(options, rng):
    torch = pytest.importorskip("torch")
    ours, theirs = make_optimizer("SGD"), torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], 0.1)
    schedule = optim.ReduceLROnPlateau(ours, **options)
    twin = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    metrics = [float("nan"), *(3 * np.exp(-0.05 * np.arange(80)) + 0.2 * rng.standard_normal(80)), float("nan"), 0.1]
    for i, metric in enumerate(metrics):
        schedule.step(metric)
        twin.step(metric)
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12), i


def test_a_plateau_by_hand():
    optimizer = make_optimizer("SGD")
    schedule = optim.ReduceLROnPlateau(optimizer, patience=1, cooldown=1)
    rates = []
    for loss in (2.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0):
        schedule.step(loss)
        rates.append(optimizer.lr)
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001])
    assert schedule.best == 1


def test_changes_below_eps_are_not_made():
    optimizer = make_optimizer("SGD")
    schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, eps=0.02)
    for _ in range(5):
        schedule.step(1.0)
    assert optimizer.lr == 0.025  # not 0.0125


def test_only_a_plateau_needs_a_metric():
    assert optim.ReduceLROnPlateau.needs_metric
    assert optim.ReduceLROnPlateau(make_optimizer("SGD")).every == "epoch"
    assert not any(getattr(optim, name).needs_metric for name, _, _ in SCHEDULES.values())
    with pytest.raises(TypeError):
        optim.ReduceLROnPlateau(make_optimizer("SGD")).step()


def test_a_loaded_plateau_goes_on_as_if_never_stopped():
    first, second = make_optimizer("SGD"), make_optimizer("SGD")
    options = {"factor": 0.5, "patience": 1, "cooldown": 1}
    schedule, resumed = (optim.ReduceLROnPlateau(optimizer, **options) for optimizer in (first, second))
    for loss in (1.0, math.nan, 2.0, 2.0):
        schedule.step(loss)
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    second.load_state_dict(first.state_dict())
    for loss in (2.0, 0.5, 0.6, 0.7, 0.8, 0.9):
        schedule.step(loss)
        resumed.step(loss)
        assert second.lr == first.lr


@pytest.mark.parametrize("name", ["StepLR", "MultiStepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR"])
def test_steps_may_be_batches(name):
    options = next(options for other, options, _ in SCHEDULES.values() if other == name)
    assert getattr(optim, name)(make_optimizer("SGD"), **options).every == "epoch"
    assert getattr(optim, name)(make_optimizer("SGD"), **options, every="batch").every == "batch"


def load_without_parts(sequence):
    sequence.load_state_dict({**sequence.state_dict(), "schedulers": []})


def stepped(schedule):
    schedule.step()
    return schedule


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        pytest.param(lambda o: optim.StepLR(None, 3), TypeError, "`optimizer` must be an Optimizer", id="none"),
        pytest.param(lambda o: optim.StepLR(o, 0), ValueError, "`step_size` is 0 but must be at", id="step size"),
        pytest.param(lambda o: optim.StepLR(o, 1, -1), ValueError, "`gamma` is -1", id="gamma"),
        pytest.param(lambda o: optim.StepLR(o, 1, every="step"), ValueError,
                     "`every` is 'step' but must be one of 'batch', 'epoch'", id="every"),
        pytest.param(lambda o: optim.MultiStepLR(o, 3), TypeError, "`milestones` must be a list of", id="milestone"),
        pytest.param(lambda o: optim.MultiStepLR(o, [3, 2]), ValueError,
                     "`milestones` is [3, 2], but each must be larger than the one before.", id="milestones"),
        pytest.param(lambda o: optim.MultiStepLR(o, [0]), ValueError, "`milestones` is 0 but must be at", id="at once"),
        pytest.param(lambda o: optim.ExponentialLR(o, np.inf), ValueError, "`gamma` is inf", id="factor of inf"),
        pytest.param(lambda o: optim.CosineAnnealingLR(o, 2.5), TypeError, "`T_max` must be a whole", id="half a wave"),
        pytest.param(lambda o: optim.CosineAnnealingLR(o, 2, -1), ValueError, "`eta_min` is -1", id="lowest rate"),
        pytest.param(lambda o: optim.LinearLR(o, -1), ValueError, "`start_factor` is -1", id="start of a line"),
        pytest.param(lambda o: optim.LinearLR(o, total_iters=0), ValueError, "`total_iters` is 0", id="no line"),
        pytest.param(lambda o: optim.ReduceLROnPlateau(o, "low"), ValueError, "`mode` is 'low'", id="mode"),
        pytest.param(lambda o: optim.ReduceLROnPlateau(o, factor=1.0), ValueError, "`factor` is 1.0", id="same rate"),
        pytest.param(lambda o: optim.ReduceLROnPlateau(o, patience=-1), ValueError, "`patience` is -1", id="patience"),
        pytest.param(lambda o: optim.SequentialLR(o, [], []), ValueError, "at least one schedule", id="no schedule"),
        pytest.param(lambda o: optim.SequentialLR(o, [1], []), TypeError, "Schedule 0 must be a Schedule, not int",
                     id="not a schedule"),
        pytest.param(lambda o: optim.SequentialLR(o, [optim.LinearLR(o), optim.StepLR(o, 2)], []), ValueError,
                     "`milestones` holds 0 numbers but must hold 1, one for", id="milestones of a sequence"),
        pytest.param(lambda o: optim.SequentialLR(o, [optim.LinearLR(o), optim.ReduceLROnPlateau(o)], [3]), ValueError,
                     "Schedule 1, ReduceLROnPlateau, needs a metric", id="plateau in a sequence"),
        pytest.param(lambda o: optim.SequentialLR(o, [optim.LinearLR(o, every="batch"), optim.StepLR(o, 2)], [3]),
                     ValueError, "Schedule 1, StepLR, steps every epoch, but the first schedule steps every batch",
                     id="due"),
        pytest.param(lambda o: optim.SequentialLR(make_optimizer("SGD"), [optim.LinearLR(o)], []), ValueError,
                     "Schedule 0, LinearLR, belongs to another optimizer", id="two optimizers"),
        pytest.param(lambda o: optim.SequentialLR(o, [stepped(optim.LinearLR(o))], []), ValueError,
                     "Schedule 0, LinearLR, must not have been stepped, but was stepped 1 times", id="stepped"),
        pytest.param(lambda o: optim.SequentialLR(o, [optim.LinearLR(o)], []).load_state_dict({}), ValueError,
                     "The state has nothing but that of SequentialLR has 'every'", id="state of no sequence"),
        pytest.param(lambda o: load_without_parts(optim.SequentialLR(o, [optim.LinearLR(o)], [])), ValueError,
                     "The state has 0 schedules but this sequence has 1", id="state of no schedules"),
        pytest.param(lambda o: optim.OneCycleLR(o, 1, 0), ValueError, "`total_steps` is 0", id="no steps"),
        pytest.param(lambda o: optim.OneCycleLR(o, 1, 9, pct_start=2), ValueError, "`pct_start` is 2", id="start"),
        pytest.param(lambda o: optim.OneCycleLR(o, 1, 9, anneal_strategy="exp"), ValueError,
                     "`anneal_strategy` is 'exp' but must be one of 'cos', 'linear'", id="strategy"),
        pytest.param(lambda o: optim.OneCycleLR(o, 1, 9, div_factor=0), ValueError, "`div_factor` is 0", id="factor"),
        pytest.param(lambda o: optim.StepLR(o, 1).load_state_dict({"steps": 1}), ValueError,
                     "The state has 'steps' but that of StepLR has", id="state of something else"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(make, error, text):
    with pytest.raises(error) as raised:
        make(make_optimizer("SGD"))
    assert text in str(raised.value)
