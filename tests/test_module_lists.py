"""`ModuleList` and `ModuleDict`: modules that a custom layer holds in a list or by name."""

import copy

import numpy as np
import pytest

import fastcnn
from fastcnn import nn, optim, training


class Stages(nn.Module):
    """Blocks one after the other, and the mean of several heads on the last output."""

    def __init__(self, rng):
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 4, bias=False, rng=rng), nn.BatchNorm1d(4), nn.ReLU()) for _ in range(2)
        )
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 3, rng=rng), "b": nn.Linear(4, 3, rng=rng)})

    def forward_native(self, x, backend):
        self._calls, self._heads = [], []
        for block in self.blocks:
            x = block.forward_native(x, backend)
            self._calls.append(nn.last_call(block))
        ys = []
        for head in self.heads.values():
            ys.append(head.forward_native(x, backend))
            self._heads.append(nn.last_call(head))
        return backend.add(*ys)

    def backward_native(self, dy, backend, input_grad):
        dx = backend.add(*(call.backward(dy, backend, True) for call in self._heads))
        for call in reversed(self._calls):
            dx = call.backward(dx, backend, True)
        return dx


def test_names_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    net = torch.nn.Module()
    net.blocks = torch.nn.ModuleList(
        torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.BatchNorm1d(4), torch.nn.ReLU())
        for _ in range(2)
    )
    net.heads = torch.nn.ModuleDict({"a": torch.nn.Linear(4, 3), "b": torch.nn.Linear(4, 3)})
    model = Stages(np.random.default_rng(0))
    assert [*model.state_dict()] == [*net.state_dict()]
    assert [name for name, _ in model.named_modules()] == [name for name, _ in net.named_modules()]


def test_what_is_in_them_learns_and_is_saved(backend):
    with fastcnn.use_backend(backend):
        rng = np.random.default_rng(0)
        model, x, labels = Stages(rng), rng.standard_normal((6, 4), np.float32), np.arange(6) % 3
        before, other = model.state_dict(), copy.deepcopy(model)
        step = training.TrainStep(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
        losses = [step(x, labels) for _ in range(5)]
        assert losses[-1] < losses[0]
        changed = [name for name, array in model.state_dict().items() if not np.array_equal(array, before[name])]
        assert len(changed) == len(before)
        other.load_state_dict(model.state_dict())
        np.testing.assert_array_equal(other.eval()(x), model.eval()(x))
        assert not any(module.training for module in model.modules())
        np.testing.assert_allclose(model.compile_inference()(x), model(x), rtol=1e-5, atol=1e-6)


def test_a_list_is_one():
    a, b, c, d = (nn.ReLU() for _ in range(4))
    modules = nn.ModuleList([a])
    assert modules.append(b) is modules
    assert modules.extend([c, d]) is modules
    assert [*modules] == [a, b, c, d]
    assert (len(modules), modules[0], modules[-1]) == (4, a, d)
    assert [*modules[1:3]] == [b, c]
    assert isinstance(modules[1:], nn.ModuleList)
    modules[1] = d
    del modules[0]
    modules.insert(0, c)
    assert [*modules] == [c, d, c, d]
    assert repr(nn.ModuleList([nn.ReLU()])) == "ModuleList(\n  (0): ReLU()\n)"
    with pytest.raises(IndexError):
        modules[4]


def test_a_dictionary_is_one():
    a, b, c = (nn.ReLU() for _ in range(3))
    modules = nn.ModuleDict({"a": a})
    modules["b"] = b
    modules.update({"a": c})
    assert [*modules] == [*modules.keys()] == ["a", "b"]
    assert dict(modules.items()) == {"a": c, "b": b}
    assert [*modules.values()] == [c, b]
    assert "b" in modules
    del modules["b"]
    assert len(modules) == 1
    with pytest.raises(KeyError):
        modules["b"]
    with pytest.raises(KeyError):
        del modules["b"]


def test_faults_have_a_sentence():
    with pytest.raises(TypeError, match="Module 1 must be a Module, not int"):
        nn.ModuleList([nn.ReLU(), 3])
    with pytest.raises(TypeError, match="Module 'a' must be a Module, not str"):
        nn.ModuleDict({"a": "b"})
    with pytest.raises(TypeError, match="Names in a ModuleDict must be strings, not 1"):
        nn.ModuleDict({1: nn.ReLU()})
    with pytest.raises(ValueError, match=r"The name 'a\.b' in a ModuleDict must not be empty or contain a dot"):
        nn.ModuleDict({"a.b": nn.ReLU()})
    with pytest.raises(NotImplementedError, match=r"A ModuleList only holds modules: .* a Sequential, which calls one"):
        nn.ModuleList([nn.ReLU()])(np.ones((1, 2)))
    model = Stages(np.random.default_rng(0))
    model.blocks = [nn.ReLU()]
    with pytest.raises(TypeError, match=r"`blocks` of this Stages is a list of modules.*use a ModuleList instead"):
        model.state_dict()
    model.blocks = {"a": nn.ReLU()}
    with pytest.raises(TypeError, match="use a ModuleDict instead"):
        model.state_dict()
