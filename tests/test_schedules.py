"""Schedules: their rates beside PyTorch's, step by step, and that buffers live on."""

import numpy as np
import pytest

from fastcnn import nn, optim


def make_optimizer(kind: str) -> optim.Optimizer:
    parameter = nn.Parameter(np.ones(2))
    return optim.Adam([parameter], 0.1) if kind == "Adam" else optim.SGD([parameter], 0.1, momentum=0.9)


SCHEDULES = {
    "StepLR": ("StepLR", {"step_size": 3}, 11),
    "StepLR, gamma": ("StepLR", {"step_size": 2, "gamma": 0.5}, 7),
    "OneCycleLR": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 50}, 50),
    "OneCycleLR, straight": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 50, "anneal_strategy": "linear"}, 50),
    "OneCycleLR, early peak": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 37, "pct_start": 0.15}, 37),
    "OneCycleLR, no rise": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20, "pct_start": 0.0}, 20),
    "OneCycleLR, rate only": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20, "cycle_momentum": False}, 20),
    "OneCycleLR, other ends": (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 20, "base_momentum": 0.5, "max_momentum": 0.8, "div_factor": 10.0,
         "final_div_factor": 100.0},
        20,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options", "steps"), SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")  # torch wants an optimizer step before
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


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        pytest.param(lambda o: optim.StepLR(None, 3), TypeError, "`optimizer` must be an Optimizer", id="none"),
        pytest.param(lambda o: optim.StepLR(o, 0), ValueError, "`step_size` is 0 but must be at", id="step size"),
        pytest.param(lambda o: optim.StepLR(o, 1, -1), ValueError, "`gamma` is -1", id="gamma"),
        pytest.param(lambda o: optim.OneCycleLR(o, 1, 0), ValueError, "`total_steps` is 0", id="no steps"),
        pytest.param(lambda o: optim.OneCycleLR(o, 1, 9, 2), ValueError, "`pct_start` is 2", id="start"),
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
