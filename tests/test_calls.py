"""A layer keeps state for each call: a gradient belongs to its own forward pass, or is refused with an error."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import fastcnn
from fastcnn import models, nn, optim, training
from fastcnn.nn import undoing
from tests.in_threads import in_threads


@pytest.fixture(autouse=True)
def on_each_fast_backend(fast_backend):
    with fastcnn.use_backend(fast_backend):
        yield


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def linear(inputs, outputs, seed=0):
    return nn.Linear(inputs, outputs, rng=np.random.default_rng(seed), dtype=np.float64)


def gradients(model, x, dy):
    """Return the gradients of the input and of all parameters."""
    model.zero_grad()
    model(x)
    return [model.backward(dy), *(parameter.grad for parameter in model.parameters())]


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


class Add(nn.Module):
    """Add a number that ``__init__`` stores in a private attribute; another one counts the calls."""

    def __init__(self, number):
        self._number, self._calls, self.seen = number, 0, None

    def forward_native(self, x, backend):
        self._calls += 1
        self.seen = x.shape
        return backend.pack(backend.unpack(x) + self._number)

    def backward_native(self, dy, backend, input_grad):
        return dy


# Shared layers.


def test_a_layer_may_stand_at_several_places_of_a_chain():
    relu, first, second = nn.ReLU(), linear(3, 4), linear(4, 3, 1)
    shared, x, dy = nn.Sequential(relu, first, relu, second, relu), normal(5, 3), normal(5, 3, seed=1)
    apart = nn.Sequential(nn.ReLU(), first, nn.ReLU(), second, nn.ReLU())
    for _ in range(3):  # on numba, recorded and replayed
        assert_equal(gradients(shared, x, dy), gradients(apart, x, dy))


def test_gradients_of_a_shared_layer_add_up():
    layer, tanh, x, dy = linear(3, 3), nn.Tanh(), normal(4, 3), normal(4, 3, seed=1)
    one, two = copy.deepcopy(layer), copy.deepcopy(layer)
    dx, dweight, dbias = gradients(nn.Sequential(layer, tanh, layer), x, dy)
    apart = gradients(nn.Sequential(one, nn.Tanh(), two), x, dy)
    assert_equal([dx, dweight, dbias], [apart[0], apart[1] + apart[3], apart[2] + apart[4]])
    block = nn.Residual(layer, layer)
    for _ in range(3):
        dx, dweight, _ = gradients(block, x, dy)
        assert_equal([dx, dweight], [2 * dy @ layer.weight.data, 2 * dy.T @ x])


def test_a_shared_layer_has_one_set_of_parameters_under_all_its_names():
    layer = linear(2, 2)
    model = nn.Sequential(layer, nn.Sequential(nn.Tanh(), layer))
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.1.weight", "1.1.bias"]
    assert [type(module).__name__ for module in model.modules()] == ["Sequential", "Linear", "Sequential", "Tanh"]
    state = model.state_dict()
    state["1.1.bias"] = state["1.1.bias"] + 1
    with pytest.raises(ValueError, match=r"`1.1.bias` and `0.bias` are the same array here but differ in the state"):
        model.load_state_dict(state)
    model.load_state_dict(state | {"0.bias": state["1.1.bias"]})
    np.testing.assert_array_equal(layer.bias.data, state["1.1.bias"])


def test_a_trace_names_each_call_of_a_shared_layer_once():
    relu = nn.ReLU()
    steps = nn.trace(nn.Sequential(relu, nn.Sequential(relu)), normal(2, 3))
    assert [type(step.module).__name__ for step in steps] == ["Sequential", "ReLU", "Sequential", "ReLU"]


# Calls in between.


def test_a_layer_may_be_called_by_itself_between_forward_and_backward():
    model = nn.Sequential(nn.Tanh(), nn.MaxPool2d(2), nn.Dropout(0.5), nn.Flatten(), linear(12, 5)).eval()
    x, dy = normal(6, 3, 4, 4), normal(6, 5)
    expected = gradients(model, x, dy)
    for _ in range(3):
        model.zero_grad()
        model(x)
        for layer in model:
            layer(normal(2, 12) if layer is model[4] else normal(2, 3, 8, 8))
        nn.summarize(model, (3, 4, 4))
        model.compile_inference()(x[:2])
        assert_equal([model.backward(dy), *(parameter.grad for parameter in model.parameters())], expected)


def test_two_models_with_a_layer_in_common_do_not_disturb_each_other():
    layer = linear(3, 3)
    one, two = nn.Sequential(layer, nn.Tanh()), nn.Sequential(nn.Sigmoid(), layer)
    x, dy = normal(4, 3), normal(4, 3, seed=1)
    expected = [gradients(model, x, dy)[0] for model in (one, two)]
    for _ in range(3):
        one(x)
        two(x)
        assert_equal([one.backward(dy), two.backward(dy)], expected)


def test_two_threads_may_train_models_with_a_layer_in_common():
    tanh = nn.Tanh()
    models = [nn.Sequential(linear(30, 30, seed), tanh, linear(30, 3, seed)) for seed in range(2)]
    inputs, wrong = [normal(n, 30, seed=n) for n in (4, 5)], []
    expected = [gradients(model, x, np.ones((len(x), 3))) for model, x in zip(models, inputs, strict=True)]
    name = fastcnn.get_backend()

    def work(k):
        with fastcnn.use_backend(name):
            for _ in range(200):
                found = gradients(models[k], inputs[k], np.ones((len(inputs[k]), 3)))
                if not all(np.allclose(a, b) for a, b in zip(found, expected[k], strict=True)):
                    wrong.append(k)

    in_threads(work, range(2))
    assert not wrong


class Fragile(nn.Identity):
    """The identity, which raises on demand."""

    fails = False

    def forward_native(self, x, backend):
        if self.fails:
            raise KeyboardInterrupt
        return super().forward_native(x, backend)


@pytest.mark.parametrize("norm", [True, False], ids=["layer by layer", "replayed"])
def test_after_a_forward_that_failed_there_is_no_gradient(norm):
    fragile, x, dy = Fragile(), normal(8, 3), normal(8, 2)
    model = nn.Sequential(nn.Tanh(), linear(3, 2), *[nn.BatchNorm1d(2, dtype=np.float64)] * norm, fragile)
    for _ in range(2):
        expected = gradients(model, x, dy)
    fragile.fails = True
    with pytest.raises(KeyboardInterrupt):
        model(normal(8, 3, seed=5))
    with pytest.raises(RuntimeError, match=r"Sequential.backward needs the output of a batch: call Sequential.forward"):
        model.backward(dy)
    fragile.fails = False
    assert_equal(gradients(model, x, dy), expected)
    with pytest.raises(TypeError, match="but its input is float32"):
        model(x.astype(np.float32))
    with pytest.raises(RuntimeError, match="needs the output of a batch"):
        model.backward(dy)


# Return values of custom layers.


class Returns(nn.Module):
    """The identity, with any gradient."""

    def __init__(self, gradient):
        self.gradient = gradient

    def forward_native(self, x, backend):
        return x

    def backward_native(self, dy, backend, input_grad):
        return self.gradient(dy, backend)


@pytest.mark.parametrize(
    ("gradient", "text"),
    [
        (
            lambda dy, backend: backend.pack(backend.unpack(dy)[:, :2]),
            r"a gradient of shape \(4, 2\) and dtype float64",
        ),
        (lambda dy, backend: backend.pack(backend.unpack(dy)[:1]), r"a gradient of shape \(1, 3\) and dtype float64"),
        (lambda dy, backend: backend.pack(backend.unpack(dy).astype("f4")), "a gradient of .* dtype float32"),
        (lambda dy, backend: None, "returned None"),
    ],
    ids=["features", "images", "dtype", "nothing"],
)
def test_a_gradient_of_another_form_is_refused_where_it_comes_from(gradient, text):
    model = nn.Sequential(linear(3, 3), nn.Tanh(), Returns(gradient))
    model(normal(4, 3))
    with pytest.raises(ValueError, match=r"Returns.backward_native returned .*, but the input of its call has") as e:
        model.backward(np.ones((4, 3)))
    assert e.match(text)
    assert model[0].weight.grad is None


def test_an_activation_that_is_not_native_is_refused():
    class Plain(nn.Module):
        def forward_native(self, x, backend):
            return list(backend.unpack(x))

    with pytest.raises(TypeError, match=r"Plain.forward_native returned a list but must return a native activation"):
        nn.Sequential(nn.Tanh(), Plain())(normal(4, 3))


def test_a_gradient_that_does_not_fit_a_direct_call_is_refused(fast_backend):
    backend, layer = fastcnn.backends.load(fast_backend), nn.Tanh()
    layer.forward_native(backend.pack(normal(4, 3)), backend)
    with pytest.raises(ValueError, match=r"Tanh.backward_native was given a gradient of shape \(5, 3\)"):
        layer.backward_native(backend.pack(normal(5, 3)), backend, True)
    assert layer.backward_native(backend.pack(normal(4, 3)), backend, True).shape == (4, 3)
    with pytest.raises(RuntimeError, match=r"ReLU.backward_native needs a forward_native before it"):
        nn.ReLU().backward_native(backend.pack(normal(4, 3)), backend, True)


def test_a_gradient_that_does_not_fit_its_parameter_is_refused():
    parameter = nn.Parameter(np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"`grad` has shape \(3,\) but must have that of the parameter, \(3, 1\)"):
        parameter.accumulate(np.zeros(3))


# Custom containers.


class CalledTwice(nn.Module):
    def __init__(self, layer):
        self.layer = layer

    def forward_native(self, x, backend):
        return self.layer.forward_native(self.layer.forward_native(x, backend), backend)

    def backward_native(self, dy, backend, input_grad):
        return self.layer.backward_native(self.layer.backward_native(dy, backend, True), backend, input_grad)


def test_a_container_that_cannot_tell_two_calls_apart_is_refused():
    model = nn.Sequential(CalledTwice(linear(3, 3)))
    model(normal(2, 3))
    with pytest.raises(RuntimeError, match=r"is ambiguous: this forward pass of CalledTwice"):
        model.backward(normal(2, 3))


def test_a_layer_that_was_not_called_in_this_pass_has_no_gradient():
    class Forgets(CalledTwice):
        def forward_native(self, x, backend):
            return x

    model = Forgets(nn.Tanh())
    model.layer(normal(2, 3))
    model(normal(2, 3))
    with pytest.raises(
        RuntimeError, match=r"Tanh.backward_native needs a forward_native before it, in this forward pas"
    ):
        model.backward(normal(2, 3))


def test_modules_in_a_list_are_refused():
    class Net(nn.Module):
        def __init__(self):
            self.blocks = []

    net = Net()
    assert list(net.parameters()) == []
    for holder in ([nn.ReLU()], (nn.ReLU(),), {"a": nn.ReLU()}):
        net.blocks = holder
        for ask in (net.parameters, net.train, net.state_dict, lambda: list(net.modules())):
            with pytest.raises(
                TypeError, match=r"`blocks` of this Net is a (list|tuple|dict) of modules, which are not"
            ):
                ask()
    net.first = nn.ReLU()
    net.blocks = [net.first]  # allowed, because the module is also an attribute
    assert net.first in list(net.modules())


def test_a_forward_of_ones_own_needs_a_backward_of_ones_own():
    class Net(nn.Module):
        def __init__(self):
            self.layer = linear(3, 2)

        def forward(self, x):
            return self.layer(x)

    net = Net()
    assert net(normal(2, 3)).shape == (2, 2)
    with pytest.raises(RuntimeError, match=r"Net defines its own forward.*: also define backward\(dy\)"):
        net.backward(normal(2, 2))

    class Chain(nn.Sequential):
        def forward(self, x):
            return self[0](x)

    chain = Chain(linear(3, 2))
    assert chain(normal(2, 3)).shape == (2, 2)
    with pytest.raises(RuntimeError, match=r"Chain defines its own forward.*: define forward_native and backward"):
        chain.backward(normal(2, 2))


# Attributes.


def test_attributes_that_init_sets_are_no_memories():
    model, x = nn.Sequential(Add(2), nn.Tanh()), normal(4, 3)
    y = model(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.compile_inference()):
        np.testing.assert_array_equal(twin(x), y)
    assert nn.summarize(model, (3,)).rows[1].output_shape == (3,)
    assert (model[0]._calls, model[0].seen) == (1, (4, 3))  # calls of a copy are not counted
    model(x[:2])
    assert (model[0]._calls, model[0].seen) == (2, (2, 3))


def test_nothing_of_a_batch_is_left_on_a_layer_or_copied():
    model, x = nn.Sequential(linear(3, 2), nn.Tanh(), nn.Softmax()), normal(1000, 3)
    before = [set(vars(layer)) for layer in model]
    model.backward(model(x))
    assert [set(vars(layer)) for layer in model] == before
    assert len(pickle.dumps(model)) < 3000


# Methods that are replaced.


def wrapped(method, calls):
    def wrapper(*arguments, **options):
        calls.append(method.__name__)
        return method(*arguments, **options)

    return wrapper


@pytest.mark.parametrize("at", range(4))
def test_a_method_wrapped_on_the_layer_is_called_every_time(at):
    """This holds whether or not the model has been recorded before, and the layer has been fused with others."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Sequential(nn.Tanh(), nn.Flatten())
    )
    x, dy = normal(3, 1, 6, 6).astype(np.float32), normal(3, 8).astype(np.float32)
    expected, calls = gradients(model, x, dy), []
    for name in ("forward_native", "backward_native"):
        setattr(model[at], name, wrapped(getattr(model[at], name), calls))
    for _ in range(3):
        for found, right in zip(gradients(model, x, dy), expected, strict=True):
            np.testing.assert_array_equal(found, right)
    assert calls == ["forward_native", "backward_native"] * 3
    model.compile_inference()(x)
    assert len(calls) == 7


@pytest.mark.parametrize(
    "kind", [nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Sequential, nn.Tanh], ids=lambda kind: kind.__name__
)
def test_a_method_wrapped_on_the_class_is_called_every_time(kind, monkeypatch):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Tanh(), nn.Flatten())
    x, dy = normal(3, 1, 6, 6).astype(np.float32), normal(3, 8).astype(np.float32)
    for _ in range(2):
        expected = gradients(model, x, dy)
    calls = []
    for name in ("forward_native", "backward_native"):
        monkeypatch.setattr(kind, name, wrapped(getattr(kind, name), calls))
    for _ in range(3):
        for found, right in zip(gradients(model, x, dy), expected, strict=True):
            np.testing.assert_array_equal(found, right)
    assert calls == ["forward_native", "backward_native"] * 3


def test_a_method_replaced_by_a_function_without_a_call_has_no_gradient():
    model = nn.Sequential(linear(3, 3), nn.Tanh())
    model[1].forward_native = lambda x, backend: x
    model(normal(2, 3))
    with pytest.raises(RuntimeError, match="This Tanh has no recorded forward pass"):
        model.backward(normal(2, 3))


def test_a_method_replaced_before_all_that_learns_needs_no_call():
    model, x, dy = nn.Sequential(nn.Tanh(), linear(3, 2)), normal(4, 3), normal(4, 2, seed=1)
    model[0].forward_native = lambda x, backend: x
    model(x)
    assert model.backward(dy, input_grad=False) is None
    assert_equal([model[1].weight.grad, model[1].bias.grad], [dy.T @ x, dy.sum(axis=0)])


def test_a_call_of_a_native_pass_needs_the_backend():
    class Forgets(nn.Module):
        def __init__(self):
            self.inner = nn.Tanh()

        def forward_native(self, x, backend):
            y = self.inner.forward_native(x, backend)
            self._call = nn.last_call(self.inner)
            return y

        def backward_native(self, dy, backend, input_grad):
            return self._call.backward(dy)

    model = Forgets()
    model(normal(2, 3))
    with pytest.raises(RuntimeError, match=r"`Call\.backward` needs `backend`, except within the backward of a layer"):
        model.backward(normal(2, 3))


# Memory.


@pytest.mark.parametrize("norm", [True, False], ids=["layer by layer", "replayed"])
def test_a_model_is_gone_with_its_last_reference(norm):
    rng = np.random.default_rng(0)

    def last():
        model = nn.Sequential(nn.Conv2d(1, 4, 3, rng=rng), *[nn.BatchNorm2d(4)] * norm, nn.ReLU(), nn.GlobalAvgPool2d())
        for _ in range(2):
            y = model(np.ones((3, 1, 6, 6), np.float32))
            model.backward(np.ones_like(y))
        return weakref.ref(model), weakref.ref(model[0])

    last()  # compiles the kernels, which may leave other references
    gc.collect()
    gc.disable()
    try:
        assert [reference() for reference in last()] == [None, None]
    finally:
        gc.enable()


CHAIN = nn.Sequential(
    nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Sequential({"fc": nn.Linear(18, 3)}), nn.ReLU()
)


@pytest.mark.parametrize(
    ("model", "size", "note"),
    [
        (CHAIN, 2, "Raised in layers 0 and 2 of the model; its input has shape (5, 1, 2, 2)."),  # computed as one
        (CHAIN, 11, "Raised in layer 4.fc of the model; its input has shape (5, 1, 11, 11)."),
        (nn.Sequential(nn.Residual(nn.Conv2d(1, 1, 3))), 4, "Raised in layer 0 of the model; its input has shape (5,"),
        (models.LeNet5(), 28, "Raised in layer 6 of the model, which was made for images of shape (1, 32, 32), but "),
    ],
)
def test_an_error_of_a_layer_has_a_note_of_its_place(model, size, note):
    x = np.zeros((5, 1, size, size), np.float32)
    step = training.TrainStep(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
    for forward in (lambda: model(x), lambda: step(x, np.zeros(5, np.int64))):
        with pytest.raises(ValueError, match="shape") as error:
            forward()
        (said,) = error.value.__notes__
        assert said.startswith(note)


@pytest.mark.parametrize(
    ("name", "shape", "note"),
    [
        (
            "lenet5",
            (1, 28, 28),
            "images of shape (1, 32, 32), but these have (1, 28, 28); data.pad_images(images, 2) pads",
        ),
        ("lenet5", (1, 29, 29), "images of shape (1, 32, 32), but these have (1, 29, 29)."),
        ("lenet5", (1, 28, 24), "images of shape (1, 32, 32), but these have (1, 28, 24)."),
        ("lenet5", (1, 36, 36), "images of shape (1, 32, 32), but these have (1, 36, 36)."),
        ("lenet5", (3, 28, 28), "images of shape (1, 32, 32), but these have (3, 28, 28)."),
        ("lenet5", (28, 28), "images of shape (1, 32, 32), but these have (28, 28)."),
        ("signals", (2, 64), "signals of shape (1, 256), but these have (2, 64)."),
    ],
)
def test_the_note_says_the_shape_that_a_model_was_made_for(name, shape, note):
    model = models.SignalNet() if name == "signals" else models.build(name)
    with fastcnn.use_backend("numpy"), pytest.raises(ValueError, match="shape") as error:
        model(np.zeros((5, *shape), np.float32))
    assert f"of the model, which was made for {note}" in error.value.__notes__[0]


def test_an_error_of_a_layer_alone_has_no_note():
    with pytest.raises(ValueError, match="features") as error:
        nn.Linear(3, 2)(np.zeros((5, 4), np.float32))
    assert not hasattr(error.value, "__notes__")


def test_what_is_noted_outside_of_a_block_is_not_undone():
    undone = []

    def fail():
        with undoing.all_or_nothing():
            undoing.note(lambda: undone.append("inside"))
            raise ValueError("no")

    undoing.note(lambda: undone.append("outside"))
    with pytest.raises(ValueError, match="no"):
        fail()
    assert undone == ["inside"]
