"""Custom layers in NumPy, with ``forward(x)`` and ``backward(dy)`` on plain arrays, anywhere in a model."""

import copy
import pickle

import numpy as np
import pytest

from fastcnn import functional as F
from fastcnn import interop, models, nn, optim, training, use_backend
from fastcnn.testing import check_layer, gradcheck


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def linear(inputs, outputs, seed=0, dtype=np.float64):
    return nn.Linear(inputs, outputs, rng=np.random.default_rng(seed), dtype=dtype)


class Scale(nn.Module):
    """Multiply each channel or feature by a trained factor."""

    def __init__(self, features, dtype=np.float64):
        self.factor = nn.Parameter(np.linspace(0.5, 2, features).astype(dtype))

    def _across(self, x):
        return self.factor.data.reshape(-1, *(1,) * (x.ndim - 2))

    def forward(self, x):
        self._x = x
        return x * self._across(x)

    def backward(self, dy):
        axes = tuple(axis for axis in range(dy.ndim) if axis != 1)
        self.factor.accumulate((dy * self._x).sum(axis=axes))
        return dy * self._across(dy)


class Twice(Scale):
    """A subclass that uses super()."""

    def forward(self, x):
        return 2 * super().forward(x)

    def backward(self, dy):
        return super().backward(2 * dy)


class Backwards(Scale):
    """It inherits forward; its backward receives whether the gradient of the input is needed."""

    asked = ()

    def backward(self, dy, *, input_grad=True):
        self.asked = (*self.asked, input_grad)
        dx = super().backward(dy)
        return dx if input_grad else None


class Noise(nn.Module):
    """Add noise in training mode, and count batches."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.seen = nn.Buffer(np.zeros((), np.int64))

    def forward(self, x):
        self._mask = None
        if not self.training:
            return x
        self.seen.data[...] += len(x)
        self._mask = self.rng.uniform(0.5, 1.5, x.shape).astype(x.dtype)
        return x * self._mask

    def backward(self, dy):
        return dy if self._mask is None else dy * self._mask


class Net(nn.Module):
    """A net that calls layers and functions, as in PyTorch, with a backward through them."""

    def __init__(self, dtype=np.float64):
        rng = np.random.default_rng(0)
        self.conv = nn.Conv2d(2, 3, 3, padding=1, rng=rng, dtype=dtype)
        self.rest = nn.Sequential(nn.Tanh(), nn.Conv2d(3, 3, 1, rng=rng, dtype=dtype), nn.Flatten())
        self.scale = Scale(60, dtype)

    def forward(self, x):
        self._before = self.conv(x)
        return self.scale(self.rest(F.silu(self._before)))

    def backward(self, dy):
        dy = self.rest.backward(self.scale.backward(dy))
        return self.conv.backward(F.silu_backward(dy, self._before))


class Product(nn.Module):
    """The product of two inputs."""

    several_inputs = True

    def forward(self, a, b):
        self._a, self._b = a, b
        return a * b

    def backward(self, dy):
        return dy * self._b, dy * self._a


CONTRACT = {
    "parameters": (Scale(3), normal(4, 3, 2, 2)),
    "rows": (Scale(3), normal(5, 3)),
    "with super()": (Twice(3), normal(4, 3, 2, 2)),
    "input_grad": (Backwards(3), normal(4, 3, 2, 2)),
    "random": (Noise(), normal(5, 3)),
    "in evaluation mode": (Noise().eval(), normal(5, 3)),
    "layers inside": (Net(), normal(3, 2, 4, 5)),
    "in a chain": (nn.Sequential(nn.Conv2d(2, 3, 3), Scale(3), nn.ReLU(), nn.Flatten(), Scale(18)), normal(3, 2, 5, 4)),
    "in a residual connection": (nn.Residual(nn.Sequential(nn.Tanh(), Scale(3)), Twice(3)), normal(4, 3, 2, 2)),
    "a net in a net": (nn.Sequential(nn.Tanh(), Net(), nn.Linear(60, 2)), normal(3, 2, 4, 5)),
}


@pytest.mark.parametrize(("layer", "x"), CONTRACT.values(), ids=CONTRACT)
def test_they_keep_the_contract_of_a_layer(layer, x):
    check_layer(layer, x)


def test_gradcheck_finds_a_wrong_gradient(backend):
    class Wrong(Scale):
        def backward(self, dy):
            return super().backward(dy) + 1

    with use_backend(backend):
        gradcheck(Scale(3), normal(5, 3))
        with pytest.raises(AssertionError, match="The gradient of the input of Wrong is"):
            gradcheck(Wrong(3), normal(5, 3))


def test_the_same_as_native_layers(fast_backend):
    """Compare with the same net of native layers, step by step."""

    class Relu(nn.Module):
        def forward(self, x):
            self._positive = x > 0
            return np.where(self._positive, x, np.zeros_like(x))

        def backward(self, dy):
            return np.where(self._positive, dy, np.zeros_like(dy))

    x, labels = normal(20, 1, 8, 8, dtype=np.float32), np.arange(20) % 3
    with use_backend(fast_backend):
        losses = []
        for relu in (nn.ReLU, Relu):
            rng = np.random.default_rng(0)
            model = nn.Sequential(
                nn.Conv2d(1, 4, 3, rng=rng), relu(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3, rng=rng)
            )
            step = training.TrainStep(model, optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss())
            losses.append([step(x, labels) for _ in range(5)])
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
        assert step.unrecorded == (None if relu is nn.ReLU else "layer 1: Relu is a user-defined class")


def test_a_trainer_trains_one_and_the_rest_of_a_model_knows_it(tmp_path):
    dtype = np.float32
    model = nn.Sequential(Net(dtype), Noise(), nn.Linear(60, 3, rng=np.random.default_rng(1)))
    x, labels = normal(30, 2, 4, 5, dtype=dtype), np.arange(30) % 3
    before = model.state_dict()
    trainer = training.Trainer(model, optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss())
    trainer.fit([(x[:20], labels[:20]), (x[20:], labels[20:])], (x, labels), epochs=2)
    after = model.state_dict()
    assert list(after)[:2] == ["0.conv.weight", "0.conv.bias"]
    assert {name for name in after if np.array_equal(after[name], before[name])} == set()
    assert after["1.seen"] == 60
    model.eval()
    np.testing.assert_array_equal(model.compile_inference()(x), model(x))
    summary = nn.summarize(model, (2, 4, 5))
    assert [row.name for row in summary.rows] == [
        "", "0", "0.conv", "0.rest", "0.rest.0", "0.rest.1", "0.rest.2", "0.scale", "1", "2",
    ]  # fmt: skip
    assert summary.unrecorded["0"] == "Net is a user-defined class"
    other = nn.Sequential(Net(dtype), Noise(), nn.Linear(60, 3))
    training.save_weights(model, tmp_path / "a.safetensors")
    training.load_weights(other, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(other.eval()(x), model(x))


def test_a_layer_may_stand_at_several_places(backend):
    with use_backend(backend):
        layer, x, dy = Scale(3), normal(4, 3), normal(4, 3, seed=1)
        model = nn.Sequential(layer, nn.Tanh(), layer)
        one, two = copy.deepcopy(layer), copy.deepcopy(layer)
        apart = nn.Sequential(one, nn.Tanh(), two)
        for _ in range(2):
            model.zero_grad()
            apart.zero_grad()
            np.testing.assert_allclose(model(x), apart(x))
            layer(normal(4, 3, seed=2))  # a call in between
            np.testing.assert_allclose(model.backward(dy), apart.backward(dy))
            np.testing.assert_allclose(layer.factor.grad, one.factor.grad + two.factor.grad)


def test_a_net_with_layers_inside_may_stand_at_several_places(backend):
    class Through(nn.Module):
        def __init__(self):
            self.linear = linear(3, 3)

        def forward(self, x):
            return self.linear(x)

        def backward(self, dy):
            return self.linear.backward(dy)

    with use_backend(backend):
        net, x, dy = Through(), normal(4, 3), normal(4, 3, seed=1)
        model, chain = nn.Sequential(net, nn.Tanh(), net), nn.Sequential(net.linear, nn.Tanh(), net.linear)
        np.testing.assert_allclose(model(x), chain(x))
        np.testing.assert_allclose(model.backward(dy), chain.backward(dy))


def test_an_inner_layer_that_is_called_twice_is_refused(backend):
    class Again(nn.Module):
        def __init__(self):
            self.linear = linear(3, 3)

        def forward(self, x):
            return self.linear(self.linear(x))

        def backward(self, dy):
            return self.linear.backward(self.linear.backward(dy))

    with use_backend(backend):
        for model in (Again(), nn.Sequential(Again())):
            model(normal(4, 3))
            with pytest.raises(RuntimeError, match="this forward pass of Again called the layer 2 times"):
                model.backward(normal(4, 3))


def test_a_backward_in_another_backend_than_the_forward(fast_backend):
    model, x, dy = nn.Sequential(Net(), nn.Tanh()), normal(3, 2, 4, 5), normal(3, 60)
    with use_backend(fast_backend):
        model(x)
    with use_backend("naive"):
        found = model.backward(dy)
    with use_backend("numpy"):
        model(x)
        np.testing.assert_allclose(found, model.backward(dy), rtol=1e-9, atol=1e-12)


def test_forward_alone_is_enough_to_answer(backend):
    class Clip(nn.Module):
        def forward(self, x):
            return np.clip(x, -0.5, 0.5)

    with use_backend(backend):
        model, x = nn.Sequential(nn.Tanh(), Clip()), normal(4, 3)
        np.testing.assert_allclose(model(x), np.clip(np.tanh(x), -0.5, 0.5))
        np.testing.assert_array_equal(model.compile_inference()(x), model(x))
        with pytest.raises(RuntimeError, match=r"Clip defines its own forward.*: also define backward\(dy\)"):
            model.backward(normal(4, 3))


def test_a_common_base_without_passes():
    class Base(nn.Module):
        def extra_repr(self):
            return "mine"

    class Minus(Base):
        def forward(self, x):
            return -x

        def backward(self, dy):
            return -dy

    model = nn.Sequential(nn.Tanh(), Minus())
    x = normal(4, 3)
    np.testing.assert_allclose(model(x), -np.tanh(x))
    np.testing.assert_allclose(model.backward(x), -x * (1 - np.tanh(x) ** 2))
    assert repr(model[1]) == "Minus(mine)"


def test_native_passes_count_where_both_are_there():
    class Door(nn.Sequential):
        def forward(self, x):
            return super().forward(x / 255)

    model, x = Door(nn.Tanh()), normal(4, 3)
    np.testing.assert_allclose(model(x), np.tanh(x / 255))
    assert model.backward(x).shape == x.shape


def test_a_layer_by_itself_has_the_doors_of_every_layer(backend):
    layer, x = Scale(3), normal(4, 3)
    with use_backend(backend):
        with pytest.raises(RuntimeError, match=r"Scale.backward needs the output of a batch: call Scale.forward first"):
            layer.backward(x)
        with pytest.raises(TypeError, match="`x` must be float32 or float64, not int64"):
            layer(np.ones((4, 3), np.int64))
        y = layer(x)
        assert layer.backward(y, input_grad=False) is None
        with pytest.raises(ValueError, match=r"`dy` has shape \(3, 3\) but must have \(4, 3\)"):
            layer.backward(y[:3])
        assert "_x" not in vars(layer)
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            np.testing.assert_array_equal(twin(x), y)
        y[...] = 0  # the caller may change it
        assert np.abs(layer.backward(np.ones_like(y))).min() > 0


def test_the_gradient_of_the_input_may_be_left_out():
    model = nn.Sequential(Backwards(3), linear(3, 3), Backwards(3))
    model(normal(4, 3))
    model.backward(normal(4, 3), input_grad=False)
    assert (model[0].asked, model[2].asked) == ((False,), (True,))


class Own(nn.Module):
    """A layer whose methods are given functions."""

    def __init__(self, forward=lambda x: x, backward=lambda dy: dy):
        self.weight = nn.Parameter(np.ones(2, np.float32))
        self.does = forward, backward

    def forward(self, x):
        return self.does[0](x)

    def backward(self, dy):
        dx = self.does[1](dy)
        if isinstance(dx, tuple):
            self.weight.grad, dx = dx
        return dx


def changed(array):
    array[...] = 0
    return array


BAD = {
    "a list": ((lambda x: x.tolist(),), TypeError, "Own.forward returned a list but must return a numpy array"),
    "nothing": ((lambda x: None,), TypeError, "Own.forward returned None but must return a numpy array"),
    "a number": ((lambda x: x.sum(),), TypeError, "Own.forward returned a float32 but must return a numpy array"),
    "float64": ((lambda x: x * np.ones(3),), TypeError, "Own.forward returned float64 but was given float32: param"),
    "whole numbers": ((lambda x: (x > 0).astype(int),), TypeError, "Own.forward returned int64"),
    "no rows": ((lambda x: x[:0],), ValueError, r"Own.forward returned an empty array, of shape \(0, 3\)"),
    "fewer rows": ((lambda x: x[:2],), ValueError, r"Own.forward returned an array of shape \(2, 3\) for an input of"),
    "one axis": ((lambda x: x.sum(axis=1),), ValueError, r"must return \(4, ...\) with at least 2 dimensions"),
    "written into x": ((changed,), ValueError, r"\w+\.forward writes into its input or a view of it"),
    "written into dy": ((lambda x: x, changed), ValueError, r"\w+\.backward writes into `dy` or a view of it"),
    "no dx": ((lambda x: x, lambda dy: None), TypeError, "Own.backward returned None but must return a numpy array"),
    "dx of another shape": ((lambda x: x, lambda dy: dy[:, :2]), ValueError,
                            r"Own.backward returned a gradient of shape \(4, 2\), but its input has shape \(4, 3\)"),
    "dx of another dtype": ((lambda x: x, lambda dy: dy.astype(float)), TypeError, "Own.backward returned float64 but"),
    "a gradient's dtype": ((lambda x: x, lambda dy: (np.ones(2), dy)), ValueError,
                           r"Own.backward set the gradient of `weight` to float64 of shape \(2,\), but `weight` is f"),
    "a gradient's shape": ((lambda x: x, lambda dy: (np.ones(3, np.float32), dy)), ValueError, r"of shape \(3,\), but"),
    "a gradient that is none": ((lambda x: x, lambda dy: (1.0, dy)), ValueError, "gradient of `weight` to a float, b"),
}  # fmt: skip


@pytest.mark.parametrize(("methods", "error", "text"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", ["alone", "in a chain"])
def test_what_is_wrong_is_said(methods, error, text, place, backend):
    layer, x = Own(*methods), normal(4, 3, dtype=np.float32)
    model = layer if place == "alone" else nn.Sequential(nn.Identity(), layer, nn.Tanh())
    before = x.copy()
    with use_backend(backend), pytest.raises(error, match=text):
        model.backward(model(x))
    np.testing.assert_array_equal(x, before)


def test_views_may_be_returned(backend):
    """A method may return views of its arguments; they are never overwritten."""
    model, x = nn.Sequential(Own(lambda x: x[:, ::-1], lambda dy: dy[:, ::-1]), nn.ReLU()), normal(4, 3)
    with use_backend(backend):
        for _ in range(2):
            np.testing.assert_array_equal(model(x), np.maximum(x[:, ::-1], 0))
            np.testing.assert_array_equal(model.backward(x), np.where(x > 0, x[:, ::-1], 0))


def test_several_inputs(backend):
    a, b, dy = normal(4, 3), normal(4, 3, seed=1), normal(4, 3, seed=2)
    with use_backend(backend):
        for model in (Product(), nn.Sequential(Product(), nn.Identity())):
            np.testing.assert_array_equal(model(a, b), a * b)
            for found, expected in zip(model.backward(dy), (dy * b, dy * a), strict=True):
                np.testing.assert_array_equal(found, expected)
            assert model.backward(dy, input_grad=False) is None

        class One(Product):
            def backward(self, dy):
                return dy

        model = One()
        model(a, b)
        with pytest.raises(ValueError, match=r"One.backward returned 1 gradients but must return a tuple of 2"):
            model.backward(dy)


def test_onnx_names_the_layer(tmp_path):
    pytest.importorskip("onnx")
    model = models.LeNet5()
    model[1] = Own()
    with pytest.raises(TypeError, match=r"1: Own cannot be written as ONNX\. Supported are "):
        interop.to_onnx(model, tmp_path / "a.onnx")


class Again(nn.Module):
    """Two layers that share one activation, as in many PyTorch models."""

    def __init__(self):
        self.first, self.second, self.act = linear(4, 4, 0), linear(4, 4, 1), nn.Tanh()

    def forward(self, x):
        self._acts = []
        for layer in (self.first, self.second):
            x = self.act(layer(x))
            self._acts.append(nn.last_call(self.act))
        return x

    def backward(self, dy):
        return self.first.backward(self._acts[0].backward(self.second.backward(self._acts[1].backward(dy))))


@pytest.mark.parametrize("backend", ["naive", "numpy", "numba"])
def test_a_layer_that_is_called_twice_goes_back_through_each_call(backend):
    with use_backend(backend):
        gradcheck(nn.Sequential(Again(), nn.Sigmoid()), normal(3, 4))


def test_one_that_does_not_say_which_call_is_told_how():
    class Unsure(Again):
        def backward(self, dy):
            return self.first.backward(self.act.backward(self.second.backward(self.act.backward(dy))))

    model = Unsure()
    model(normal(3, 4))
    with pytest.raises(RuntimeError, match=r"2 times\. Store each call with `nn.last_call\(layer\)` right after it"):
        model.backward(normal(3, 4))
