"""Frozen parameters get no gradient, and computations that only they would need are skipped."""

import copy
import pickle

import numpy as np
import pytest

import fastcnn
from fastcnn import nn, optim, training
from fastcnn.data import DataLoader
from fastcnn.testing import gradcheck
from fastcnn.testing.optimizers import ONE_OF_EACH, make
from tests.test_nn import LAYERS, small_net, small_resnet

FREE = {"BatchNorm2d", "BatchNorm1d", "BatchNorm1d, signals", "BatchNorm2d, nothing tracked"}
"""Layers whose input gradient needs the same sums as their parameters' gradients."""


@pytest.fixture
def backend(backend):
    """Run the test in the backend; the value is its name."""
    with fastcnn.use_backend(backend):
        yield backend


def chain(rng, dtype=np.float32) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=rng, dtype=dtype),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, rng=rng, dtype=dtype), nn.BatchNorm2d(4, dtype=dtype))),
        nn.Flatten(),
        nn.Linear(36, 8, rng=rng, dtype=dtype),
        nn.ReLU(),
        nn.Linear(8, 3, rng=rng, dtype=dtype),
    )


def batch(rng, dtype=np.float32):
    return rng.standard_normal((19, 1, 6, 6)).astype(dtype), rng.integers(0, 3, 19)


def kernels(model, x, *, input_grad: bool) -> list[str]:
    """Return the names of the kernels of a backward pass."""
    y = model(x)
    model.backward(np.ones_like(y), input_grad=input_grad)
    found = model.programs()["backward"]
    return [repr(step.kernel) for program in found for part in program.chains for step in part]


@pytest.mark.parametrize("name", [name for name, (make, _) in LAYERS.items() if next(make(None).parameters(), None)])
def test_a_frozen_layer_computes_the_gradient_of_its_input_alone(name):
    make, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    layer, x = make(rng), rng.standard_normal(shape)
    with fastcnn.use_backend("numba"):
        free = kernels(layer, x, input_grad=True)
        layer.requires_grad_(False)
        frozen = kernels(layer, x, input_grad=True)
        assert kernels(layer, x, input_grad=False) == ["layout._pack"]  # only the packing of its argument
    assert len(frozen) == len(free) if name in FREE else len(frozen) < len(free)


def test_a_backward_pass_ends_at_the_first_layer_that_learns(rng):
    model, (x, _) = chain(rng), batch(rng)
    with fastcnn.use_backend("numba"):
        whole = kernels(model, x, input_grad=False)
        model[0].requires_grad_(False)
        steps = kernels(model, x, input_grad=False)
        assert len(steps) < len(whole)
        model.requires_grad_(False)
        model[7].requires_grad_()
        head = kernels(model, x, input_grad=False)
        alone = kernels(model[7], np.zeros((19, 8), np.float32), input_grad=False)
    assert head == alone


@pytest.mark.parametrize("net", [small_net, small_resnet])
def test_other_gradients_are_the_same(net, backend):
    """This holds for fused layers, and when flags change in any order between passes of one model."""
    rng = np.random.default_rng(0)
    model = net(rng)
    for layer in model.modules():
        layer.training = not isinstance(layer, nn.Dropout)  # dropout would draw other masks
    x = rng.standard_normal((19, 2, 7, 6))
    dy = rng.standard_normal(model(x).shape)
    state = model.state_dict()

    def grads() -> dict:
        model.load_state_dict(state)
        model.zero_grad()
        model(x)
        model.backward(dy, input_grad=False)
        return {name: parameter.grad for name, parameter in model.named_parameters()}

    expected = grads()
    for seed in range(5):
        draw = np.random.default_rng(seed)
        for parameter in model.parameters():
            parameter.requires_grad = bool(draw.integers(2))
        for (name, grad), parameter in zip(grads().items(), model.parameters(), strict=True):
            if parameter.requires_grad:
                np.testing.assert_array_equal(grad, expected[name])
            else:
                assert grad is None
    model.requires_grad_()
    for name, grad in grads().items():
        np.testing.assert_array_equal(grad, expected[name])


def test_the_gradients_that_are_left_are_derivatives(rng, backend):
    model = chain(rng, np.float64)
    model[3].requires_grad_(False)
    gradcheck(model, rng.standard_normal((3, 1, 6, 6)), step=1e-7)
    assert model.learns()
    assert not model[3].learns()


def test_what_holds_is_what_is_set_when_backward_is_called(rng, backend):
    model, (x, _) = chain(rng), batch(rng)
    y = model(x)
    model.requires_grad_(False)
    assert model.backward(np.ones_like(y), input_grad=False) is None
    assert all(parameter.grad is None for parameter in model.parameters())
    model.requires_grad_()
    model.backward(np.ones_like(y))
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_with_everything_frozen_the_input_has_its_gradient(rng, backend):
    model, (x, _) = chain(rng), batch(rng)
    expected = model.backward(np.ones_like(model(x)))
    model.requires_grad_(False).zero_grad()
    for _ in range(2):
        np.testing.assert_array_equal(model.backward(np.ones_like(model(x))), expected)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_step_trains_what_learns(name, rng, backend):
    """Flags may change between steps of one program; an optimizer with only the head gives the same result."""
    model, (x, labels) = chain(rng).eval(), batch(rng)
    model.requires_grad_(False)
    model[7].requires_grad_()
    twin = copy.deepcopy(model)
    steps = [
        training.TrainStep(model, make(name, model.parameters()), nn.CrossEntropyLoss()),
        training.TrainStep(twin, make(name, twin[7].parameters()), nn.CrossEntropyLoss()),
    ]

    def changed(number: int) -> list[str]:
        before = model.state_dict()
        for _ in range(number):
            assert steps[0](x, labels) == steps[1](x, labels)
        return [
            name for name, parameter in model.named_parameters() if not np.array_equal(before[name], parameter.data)
        ]

    assert changed(3) == ["7.weight", "7.bias"]
    for each in (model, twin):
        each[7].weight.requires_grad = False
    assert changed(2) == ["7.bias"]
    assert model[7].weight.grad is None
    for each in (model, twin):
        each[7].requires_grad_()
    assert changed(2) == ["7.weight", "7.bias"]
    for each in (model, twin):
        each.requires_grad_(False)
    assert changed(2) == []
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_step_computes_what_is_needed(rng):
    model, (x, labels) = chain(rng), batch(rng)
    step = training.TrainStep(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
    with fastcnn.use_backend("numba"):
        step(x, labels)
        whole = str(step.programs[-1])
        model.requires_grad_(False)
        model[7].requires_grad_()
        step(x, labels)
        head = str(step.programs[-1])
    assert whole.count("weight gradient") == 2
    assert head.count("weight gradient") == 1
    assert "outer" in whole
    assert "outer" not in head
    assert "relu gradient" in whole
    assert "relu gradient" not in head


def test_a_trainer_leaves_a_frozen_body_as_it_is(rng, backend):
    """This includes its batch normalization, which stays in evaluation mode in all epochs."""
    model, (x, labels) = chain(rng), batch(rng)
    model.requires_grad_(False)
    model[3].eval()
    model.layers = (*model.layers[:-1], nn.Linear(8, 3, rng=rng))
    before = model.state_dict()
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1, momentum=0.9), nn.CrossEntropyLoss())
    trainer.fit(DataLoader(x, labels, 5), (x, labels), epochs=2)
    assert [name for name, array in model.state_dict().items() if not np.array_equal(before[name], array)] == [
        "7.weight",
        "7.bias",
    ]
    assert not model[3].training
    assert model[7].training


def test_a_layer_of_ones_own_gets_it_by_itself(rng, backend):
    class Scale(nn.Module):
        def __init__(self):
            self.factor = nn.Parameter(np.ones(1))
            self.passes = 0

        def forward_native(self, x, backend):
            self._x = backend.unpack(x)
            return backend.pack(self._x * self.factor.data)

        def backward_native(self, dy, backend, input_grad):
            self.passes += 1
            dy = backend.unpack(dy)
            self.factor.accumulate((dy * self._x).sum(keepdims=True).reshape(1))
            return backend.pack(dy * self.factor.data)

    first, last = Scale(), Scale()
    model = nn.Sequential(first, nn.Tanh(), last)
    first.requires_grad_(False)
    model.backward(model(rng.standard_normal((3, 2))), input_grad=False)
    assert (first.passes, last.passes) == (0, 1)
    first.backward(first(np.ones((3, 2))), input_grad=False)
    assert first.passes == 0
    first.backward(first(np.ones((3, 2))))
    assert first.passes == 1
    assert first.factor.grad is None


def test_flags_are_copied_and_checked():
    layer = nn.Linear(2, 2)
    layer.weight.requires_grad = np.False_
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert (twin.weight.requires_grad, twin.bias.requires_grad) == (False, True)
    assert repr(nn.Parameter(np.ones(1), requires_grad=False)) == (
        "Parameter(shape=(1,), dtype=float64, requires_grad=False)"
    )
    with pytest.raises(TypeError, match="`requires_grad` must be True or False, not 0"):
        layer.weight.requires_grad = 0
    with pytest.raises(TypeError, match="`requires_grad` must be True or False, not None"):
        layer.requires_grad_(None)
    with pytest.raises(TypeError, match=r"`grad` is None, but Parameter\(shape=\(2,\), .* requires its gradient"):
        layer.bias.accumulate(None)


def test_gradients_may_become_zeros(rng):
    layer = nn.Linear(2, 2, rng=rng)
    layer.bias.requires_grad = False
    layer.backward(layer(np.ones((1, 2), np.float32)))
    optimizer, taken = optim.SGD(layer.parameters(), 0.1), layer.weight.grad
    for owner in (layer, optimizer):
        owner.zero_grad(set_to_none=False)
        np.testing.assert_array_equal(layer.weight.grad, np.zeros((2, 2), np.float32))
        assert layer.bias.grad is None
        assert taken.any()
        with pytest.raises(TypeError, match="`set_to_none` must be True or False"):
            owner.zero_grad(1)
        layer.weight.grad = taken
        owner.zero_grad()
        assert layer.weight.grad is None
        layer.weight.grad = taken


@pytest.mark.parametrize("frozen", [["0"], ["0", "2"], ["2"], ["4"]])
def test_steps_are_those_of_torch(frozen, rng, backend):
    torch = pytest.importorskip("torch")
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng, dtype=np.float64),
        nn.ReLU(),
        nn.BatchNorm2d(4, dtype=np.float64),
        nn.Flatten(),
        nn.Linear(64, 3, rng=rng, dtype=np.float64),
    )
    layers = torch.nn
    twin = layers.Sequential(
        layers.Conv2d(1, 4, 3), layers.ReLU(), layers.BatchNorm2d(4), layers.Flatten(), layers.Linear(64, 3)
    ).double()
    twin.load_state_dict({name: torch.tensor(array) for name, array in model.state_dict().items()})
    for name in frozen:
        model[int(name)].requires_grad_(False)
        twin[int(name)].requires_grad_(False)
        model[int(name)].eval()
        twin[int(name)].eval()
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    optimizer, theirs = optim.SGD(model.parameters(), **options), torch.optim.SGD(twin.parameters(), **options)
    step = training.TrainStep(model, optimizer, nn.CrossEntropyLoss())
    for _ in range(5):
        x, labels = batch(rng, np.float64)
        loss = layers.functional.cross_entropy(twin(torch.tensor(x)), torch.tensor(labels))
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        assert step(x, labels) == pytest.approx(loss.item(), rel=1e-12)
    for name, parameter in twin.named_parameters():
        own = dict(model.named_parameters())[name]
        assert (own.grad is None) == (parameter.grad is None)
        np.testing.assert_allclose(own.data, parameter.detach().numpy(), rtol=1e-10, atol=1e-12)
    for name, buffer in twin.named_buffers():
        np.testing.assert_allclose(dict(model.named_buffers())[name].data, buffer.numpy(), rtol=1e-10)
