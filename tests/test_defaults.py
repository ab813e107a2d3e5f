"""Options have the defaults of PyTorch and scikit-learn, and a gradient and a layer have those of their function."""

import importlib
import inspect

import pytest

from fastcnn import functional as F
from fastcnn import nn

OWN = (
    "dtype", "ModuleList: modules", "Softmax: dim", "softmax: dim", "log_softmax: dim", "calculate_gain: param",
)  # fmt: skip  # PyTorch's is None
LAYERS = {name.lower().removesuffix("loss"): getattr(nn, name) for name in nn.__all__}
TWINS = {
    "fastcnn.functional": "torch.nn.functional",
    "fastcnn.nn": "torch.nn",
    "fastcnn.nn.init": "torch.nn.init",
    "fastcnn.optim": "torch.optim",
    "fastcnn.optim.schedules": "torch.optim.lr_scheduler",
}


def defaults(function) -> dict:
    """The options of a function or a class that have defaults."""
    parameters = inspect.signature(function).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


def shared(one, other) -> tuple[dict, dict]:
    """The defaults of the options that both have."""
    one, other = defaults(one), defaults(other)
    names = one.keys() & other.keys()
    return {name: one[name] for name in names}, {name: other[name] for name in names}


@pytest.mark.parametrize("name", [name for name in F.__all__ if name.endswith("_backward")])
def test_a_gradient_has_those_of_its_function(name):
    ours, theirs = shared(getattr(F, name), getattr(F, name.removesuffix("_backward")))
    assert ours == theirs


@pytest.mark.parametrize("name", [name for name in F.__all__ if name.replace("_", "").removesuffix("loss") in LAYERS])
def test_a_layer_has_those_of_its_function(name):
    ours, theirs = shared(getattr(F, name), LAYERS[name.replace("_", "").removesuffix("loss")])
    own = {"bias", "dim"} if name == "softmax" else {"bias"}  # a layer's bias is a flag
    assert {n: v for n, v in ours.items() if n not in own} == {n: v for n, v in theirs.items() if n not in own}


@pytest.mark.parametrize(("ours", "theirs"), TWINS.items())
def test_they_are_pytorchs(ours, theirs):
    pytest.importorskip("torch")
    ours, theirs, compared = importlib.import_module(ours), importlib.import_module(theirs), 0
    for name in dir(ours):
        try:
            one, other = shared(getattr(ours, name), getattr(theirs, name))
        except (AttributeError, TypeError, ValueError):  # PyTorch does not have it or tells no signature
            continue
        for option in one:
            if option not in OWN and f"{name}: {option}" not in OWN:
                assert one[option] == other[option], f"{name}: {option}"
                compared += 1
    assert compared > 5


@pytest.mark.parametrize(("ours", "theirs"), [("CNNClassifier", "MLPClassifier"), ("CNNRegressor", "MLPRegressor")])
def test_they_are_scikit_learns(ours, theirs):
    networks = pytest.importorskip("sklearn.neural_network")
    from fastcnn import sklearn

    one, other = shared(getattr(sklearn, ours), getattr(networks, theirs))
    assert one == other
    assert len(one) > 9
