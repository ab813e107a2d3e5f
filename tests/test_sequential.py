"""A Sequential can be changed like PyTorch's: names, indices, slices."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import fastcnn
from fastcnn import nn


def named():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        OrderedDict(conv1=nn.Conv2d(1, 4, 3, rng=rng), relu=nn.ReLU(), flat=nn.Flatten(), fc=nn.Linear(36, 3, rng=rng))
    )


X = np.random.default_rng(1).standard_normal((4, 1, 5, 5)).astype(np.float32)
STEPS = {
    "append": lambda m, made: m.append(made.ReLU()),
    "append to an empty chain": lambda m, made: made.Sequential().append(made.ReLU()),
    "extend": lambda m, made: m.extend([made.ReLU(), made.Tanh()]),
    "extend by a chain": lambda m, made: m.extend(made.Sequential(made.ReLU(), made.Tanh())),
    "insert first": lambda m, made: (m.insert(0, made.Tanh()), m)[1],
    "insert before the last": lambda m, made: (m.insert(-1, made.Tanh()), m)[1],
    "pop": lambda m, made: (m.pop(0), m)[1],
    "del": lambda m, made: (m.__delitem__(-1), m)[1],
    "del of a slice": lambda m, made: (m.__delitem__(slice(0, 2)), m)[1],
    "set": lambda m, made: (m.__setitem__(-1, made.Tanh()), m)[1],
    "slice": lambda m, made: m[1:3],
    "slice with a step": lambda m, made: m[::2],
    "add_module": lambda m, made: (m.add_module("last", made.Tanh()), m)[1],
    "add_module replaces a layer": lambda m, made: (m.add_module("1", made.Tanh()), m)[1],
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_it_is_changed_as_pytorchs(step):
    torch = pytest.importorskip("torch")
    found, expected = (step(n.Sequential(n.Flatten(), n.ReLU(), n.Sigmoid()), n) for n in (nn, torch.nn))
    for model in (found, expected):
        assert type(model).__name__ == "Sequential"
    kinds = [[(name, type(layer).__name__) for name, layer in m.named_children()] for m in (found, expected)]
    assert kinds[0] == kinds[1]
    assert (len(found), bool(found)) == (len(expected), bool(expected))


@pytest.mark.parametrize("step", [name for name in STEPS if "add_module" in name or "set" in name or name == "slice"])
def test_names_are_kept_as_pytorch_keeps_them(step):
    torch = pytest.importorskip("torch")
    found, expected = (
        STEPS[step](n.Sequential(OrderedDict(flat=n.Flatten(), relu=n.ReLU(), end=n.Sigmoid())), n)
        for n in (nn, torch.nn)
    )
    assert [name for name, _ in found.named_children()] == [name for name, _ in expected.named_children()]


def test_named_layers_are_attributes():
    model = named()
    assert list(model.state_dict()) == ["conv1.weight", "conv1.bias", "fc.weight", "fc.bias"]
    assert model.conv1 is model[0]
    assert {"conv1", "fc", "append"} <= set(dir(model))
    assert "(conv1): Conv2d(1, 4, kernel_size=(3, 3))" in repr(model)
    assert not hasattr(model, "conv2")
    model.insert(0, nn.Identity())
    last = model.pop()
    assert type(last) is nn.Linear
    model.add_module("fc", last)
    assert [name for name, _ in model.named_children()] == ["0", "conv1", "relu", "flat", "fc"]
    del model.relu
    model.layers = [model.conv1, *model.layers[2:]]
    assert [name for name, _ in model.named_children()] == ["conv1", "flat", "fc"]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.fc.weight.shape == (3, 36)
        assert twin.fc is not model.fc


def test_a_layer_that_stands_twice_keeps_both_names():
    tanh = nn.Tanh()
    model = nn.Sequential({"a": tanh, "b": nn.ReLU(), "c": tanh})
    model.append(tanh)
    assert [name for name, _ in model.named_children()] == ["a", "b", "c", "3"]
    assert model.a is model.c


def test_changes_are_computed(backend):
    with fastcnn.use_backend(backend):
        model, rng = named(), np.random.default_rng(2)
        for _ in range(2):  # on numba, first recorded, then replayed
            first = model(X)
        np.testing.assert_array_equal(model[-1](model[:-1](X)), first)
        model.fc = nn.Linear(36, 2, rng=rng)
        assert model[-1] is model.fc
        y = model(X)
        assert y.shape == (4, 2)
        assert model.backward(np.ones_like(y)).shape == X.shape
        assert model.fc.weight.grad.shape == (2, 36)
        np.testing.assert_array_equal(model.compile_inference()(X), model.eval()(X))
        model[1] = nn.Tanh()
        assert np.abs(model(X) - y).max() > 0
        part = model[1:3]
        assert [type(layer) for layer in part] == [nn.Tanh, nn.Flatten]
        assert not part.training
        assert [name for name, _ in part.named_children()] == ["relu", "flat"]


def test_a_slice_of_a_model_is_a_chain():
    model = fastcnn.models.LeNet5()
    assert type(model[:3]) is nn.Sequential
    assert model[:3][0] is model[0]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda m: m.append("ReLU"), TypeError, "Layer 4 of Sequential must be a Module, not str"),
        (lambda m: setattr(m, "fc", None), TypeError, "Layer 3 of Sequential must be a Module, not NoneType"),
        (lambda m: m.__setitem__(4, nn.ReLU()), IndexError, "`index` is 4, but this Sequential has 4 layers"),
        (lambda m: m[-5], IndexError, "`index` is -5"),
        (lambda m: m["fc"], TypeError, "`index` must be a whole number, not 'fc'"),
        (lambda m: m.pop("fc"), TypeError, "`index` must be a whole number"),
        (lambda m: m.insert(0.5, nn.ReLU()), TypeError, "`index` must be a whole number"),
        (lambda m: m.add_module("a.b", nn.ReLU()), ValueError, "'a.b' of a layer must not be empty, contain a dot"),
        (lambda m: m.add_module("", nn.ReLU()), ValueError, "must not be empty"),
        (lambda m: m.add_module("_x", nn.ReLU()), ValueError, "begin with an underscore"),
        (lambda m: m.add_module(3, nn.ReLU()), TypeError, "must be a string, not 3"),
        (lambda m: m.add_module("train", nn.ReLU()), ValueError, r"'train' cannot be .*Sequential\.train exists"),
        (lambda m: m.add_module("fc", None), TypeError, "must be a Module, not NoneType"),
        (lambda m: m.foo, AttributeError, "no attribute 'foo'"),
        (lambda m: delattr(m, "foo"), AttributeError, "foo"),
    ],
)
def test_bad_changes_change_nothing(change, error, text):
    model = named()
    before = list(model.named_children())
    with pytest.raises(error, match=text):
        change(model)
    assert list(model.named_children()) == before
