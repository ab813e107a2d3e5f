"""Every layer and backend meets its contract, and violations are detected with the right error message."""

import re
from types import ModuleType

import numpy as np
import pytest

from fastcnn import backends, models, nn
from fastcnn.testing import backend_contract, check_backend, check_layer, gradcheck
from tests.profile import FULL
from tests.test_gradients import MODELS
from tests.test_nn import LAYERS, small_decoder, small_net, small_resnet

DROPOUT = {
    "Dropout": (lambda rng: nn.Dropout(0.5, rng=rng), (3, 4)),
    "Dropout of all": (lambda rng: nn.Dropout(1.0, rng=rng), (3, 4)),
    "Dropout2d": (lambda rng: nn.Dropout2d(0.5, rng=rng), (3, 4, 2, 3)),
}
FEW = "conv2d", "linear", "max_pool2d", "relu", "batch_norm", "sgd_update", "cross_entropy", "flatten"


@pytest.mark.parametrize(("make", "shape"), (LAYERS | DROPOUT).values(), ids=LAYERS | DROPOUT)
def test_layers_keep_their_contract(make, shape):
    rng = np.random.default_rng(0)
    check_layer(make(rng), rng.standard_normal(shape))


@pytest.mark.parametrize("make", [small_net, small_decoder, small_resnet])
def test_nets_keep_it_too(make):
    """Without naive, which would take a minute."""
    rng = np.random.default_rng(0)
    check_layer(make(rng), rng.standard_normal((19, 2, 7, 6)), backends=["numpy", "numba"])


@pytest.mark.parametrize("name", models.NAMES)
def test_models_keep_it_too(name):
    """On numba only for models whose kernels other tests compile as well."""
    rng = np.random.default_rng(0)
    model = models.build(name, num_classes=3, **MODELS[name], rng=rng)
    fast = ["numpy", "numba"] if FULL or name in ("lenet5", "mlp") else ["numpy"]
    check_layer(model, rng.standard_normal((3, *model.input_shape)), backends=fast, step=1e-7)


@pytest.mark.parametrize("file", backends.FILES)
def test_backends_keep_their_contract(file, fast_backend):
    """Only float32 for numba: compiling its kernels for float64, too, would double the time and add little."""
    dtypes = ("float64", "float32") if FULL or fast_backend != "numba" else ("float32",)
    check_backend(backends.load(fast_backend), operations=backends.operations_by_file()[file], dtypes=dtypes)


def test_the_definition_agrees_with_itself():
    check_backend(backends.load("naive"), operations=FEW)


class Scale(nn.Module):
    """A correct layer; each subclass has one fault."""

    def __init__(self):
        self.factor = nn.Parameter(np.array([2.0, -0.5]))
        self.mean = nn.Buffer(np.zeros(1))

    def forward_native(self, x, backend):
        self._x = backend.unpack(x)
        return backend.pack(self._x * self.factor.data)

    def backward_native(self, dy, backend, input_grad):
        dy = backend.unpack(dy)
        self.factor.accumulate((dy * self._x).sum(axis=0))
        return backend.pack(dy * self.factor.data)


class WrongInputGradient(Scale):
    def backward_native(self, dy, backend, input_grad):
        super().backward_native(dy, backend, input_grad)
        return dy


class WrongParameterGradient(Scale):
    def backward_native(self, dy, backend, input_grad):
        self._x = self._x * [1, 1.001]
        return super().backward_native(dy, backend, input_grad)


class WrongInOneBackend(Scale):
    def backward_native(self, dy, backend, input_grad):
        dx = super().backward_native(dy, backend, input_grad)
        return dy if hasattr(backend, "record") else dx


class NoGradient(Scale):
    def backward_native(self, dy, backend, input_grad):
        return backend.pack(backend.unpack(dy) * self.factor.data)


class Replaces(Scale):
    def backward_native(self, dy, backend, input_grad):
        self.factor.grad = None
        return super().backward_native(dy, backend, input_grad)


class AddsInPlace(Scale):
    def backward_native(self, dy, backend, input_grad):
        grad = (backend.unpack(dy) * self._x).sum(axis=0)
        if self.factor.grad is None:
            self.factor.grad = grad
        else:
            self.factor.grad += grad
        return backend.pack(backend.unpack(dy) * self.factor.data)


class NothingWithoutInputGrad(Scale):
    def backward_native(self, dy, backend, input_grad):
        if not input_grad:
            self.factor.accumulate(np.zeros_like(self.factor.data))
            return None
        return super().backward_native(dy, backend, input_grad)


class GivesInputGradAnyway(Scale):
    def backward(self, dy, *, input_grad=True):
        return super().backward(dy)


class LearnsThoughFrozen(Scale):
    def backward_native(self, dy, backend, input_grad):
        dy = backend.unpack(dy)
        grad = (dy * self._x).sum(axis=0)
        self.factor.grad = grad if self.factor.grad is None else self.factor.grad + grad
        return backend.pack(dy * self.factor.data)


class ChangesInput(Scale):
    def forward_native(self, x, backend):
        if isinstance(x, np.ndarray):
            y = super().forward_native(x.copy(), backend)
            x *= 2
            return y
        return super().forward_native(x, backend)


class ChangesNativeInput(Scale):
    def forward_native(self, x, backend):
        y = super().forward_native(x, backend)
        if hasattr(x, "blocks"):
            x.blocks[...] *= 2
        return y


class ChangesOutputGradient(Scale):
    def backward_native(self, dy, backend, input_grad):
        dx = super().backward_native(dy, backend, input_grad)
        if isinstance(dy, np.ndarray):
            dy[...] = 0
        return dx


class ChangesParameter(Scale):
    def forward_native(self, x, backend):
        y = super().forward_native(x, backend)
        self.factor.data = self.factor.data + 1
        return y


class OutputOfFloat64(Scale):
    def forward_native(self, x, backend):
        self._x = backend.unpack(x)
        return backend.pack(self._x * self.factor.data.astype(np.float64))


class ParameterGradientOfFloat64(Scale):
    def backward_native(self, dy, backend, input_grad):
        dy = backend.unpack(dy)
        self.factor.accumulate((dy * self._x).sum(axis=0, dtype=np.float64))
        return backend.pack(dy * self.factor.data)


class InputGradientOfAnotherShape(Scale):
    def backward_native(self, dy, backend, input_grad):
        super().backward_native(dy, backend, input_grad)
        return backend.pack(backend.unpack(dy)[:, :1].copy())


class LosesRows(Scale):
    def forward_native(self, x, backend):
        y = super().forward_native(x, backend)
        return backend.pack(backend.unpack(y)[:1].copy())


class RemembersInAList(Scale):
    def __init__(self):
        super().__init__()
        self.seen = []

    def forward_native(self, x, backend):
        self.seen[:] = [backend.unpack(x)]
        return super().forward_native(x, backend)

    def backward_native(self, dy, backend, input_grad):
        self._x = self.seen[0]
        return super().backward_native(dy, backend, input_grad)


class RemembersInAnArray(nn.Module):
    def __init__(self):
        self.sign = np.ones((5, 2))

    def forward_native(self, x, backend):
        self.sign[...] = np.sign(backend.unpack(x))
        return backend.pack(np.abs(backend.unpack(x)))

    def backward_native(self, dy, backend, input_grad):
        return backend.pack(backend.unpack(dy) * self.sign.astype(dy.dtype))


class GivesItsStateAway(Scale):
    def state_dict(self):
        return {name: held.data for name, held in self.named_state()}


class LeavesStateOut(Scale):
    def state_dict(self):
        return {"factor": self.factor.data.copy()}


class LoadsNothing(Scale):
    def load_state_dict(self, state):
        pass


class SharesWithItsCopy(Scale):
    def __deepcopy__(self, memo):
        copy = type(self)()
        copy.factor = nn.Parameter(self.factor.data)
        return copy


class LosesABufferInCopies(Scale):
    def __setstate__(self, state):
        vars(self).update({name: value for name, value in state.items() if name != "mean"})

    def __deepcopy__(self, memo):
        copy = type(self)()
        copy.factor = nn.Parameter(self.factor.data.copy())
        return copy


class CannotBePickled(Scale):
    def __init__(self):
        super().__init__()
        self.function = lambda x: x

    def __deepcopy__(self, memo):
        copy = type(self)()
        copy.factor = nn.Parameter(self.factor.data.copy())
        return copy


class LosesAnOptionWhenPickled(Scale):
    def __init__(self):
        super().__init__()
        self._power = 2

    def forward_native(self, x, backend):
        self._x = backend.unpack(x) * self._power
        return backend.pack(self._x * self.factor.data)

    def backward_native(self, dy, backend, input_grad):
        dx = super().backward_native(dy, backend, input_grad)
        return backend.pack(backend.unpack(dx) * self._power)

    def __deepcopy__(self, memo):
        copy = type(self)()
        copy.factor = nn.Parameter(self.factor.data.copy())
        return copy

    def __setstate__(self, state):
        vars(self).update({**state, "_power": 3})


class DrawsFromElsewhere(Scale):
    rng = np.random.default_rng(0)

    def forward_native(self, x, backend):
        y = super().forward_native(x, backend)
        self.mean.data = self.rng.random(1).astype(x.dtype)
        return y


class AnotherOutputInOneBackend(Scale):
    def forward_native(self, x, backend):
        y = super().forward_native(x, backend)
        return backend.pack(backend.unpack(y) + (0.01 if hasattr(backend, "record") else 0))


class KnowsItsThreads(Scale):
    def forward_native(self, x, backend):
        import fastcnn

        y = super().forward_native(x, backend)
        return backend.pack(backend.unpack(y) + (fastcnn.get_num_threads() == 5))


class Fails(Scale):
    def backward_native(self, dy, backend, input_grad):
        return self.unknown


SENTENCES = {
    WrongInputGradient: r"\(naive, float64\): The gradient of the input of WrongInputGradient is .* along a random",
    WrongParameterGradient: "The gradient of `factor` of WrongParameterGradient is .* but the central difference is",
    WrongInOneBackend: r"\(numba, float64\): The gradient of the input",
    NoGradient: "backward gives `factor` no gradient",
    Replaces: "the gradient of `factor` is not added to the existing one",
    AddsInPlace: "backward changes the array that held the gradient of `factor`",
    NothingWithoutInputGrad: "the gradient of `factor` differs without `input_grad`",
    GivesInputGradAnyway: "backward returns a gradient of the input without `input_grad`, not None",
    LearnsThoughFrozen: "backward gives `factor` a gradient, but it requires none; add gradients with `accumulate`",
    ChangesInput: "forward changes the input",
    ChangesNativeInput: r"\(numba, float64\): forward changes the input",
    ChangesOutputGradient: "backward changes the gradient of the output",
    ChangesParameter: "forward changes `factor`",
    OutputOfFloat64: r"\(naive, float32\): the output is float64, but the input is float32",
    ParameterGradientOfFloat64: r"the gradient of `factor` is float64 of shape \(2,\), but `factor` is float32",
    InputGradientOfAnotherShape: r"backward fails: ValueError: .* returned a gradient of shape \(5, 1\)",
    LosesRows: r"the output has shape \(1, 2\), but the batch has 5 rows",
    RemembersInAList: "the gradient of `factor` is wrong if one pass calls the layer twice",
    RemembersInAnArray: "the gradient of the input is wrong if one pass calls the layer twice",
    GivesItsStateAway: "state_dict returns `factor` itself but must return a copy",
    LeavesStateOut: "state_dict leaves out `mean`",
    LoadsNothing: "the output differs after load_state_dict of its own state",
    SharesWithItsCopy: "copy.deepcopy returns a layer that shares `factor`",
    LosesABufferInCopies: "pickle returns a layer without `mean`",
    CannotBePickled: "pickle fails: .*lambda",
    LosesAnOptionWhenPickled: "the output differs in a copy by pickle",
    DrawsFromElsewhere: "`mean` after the pass differs",
    AnotherOutputInOneBackend: r"\(numba, float64\): the output differs from that of naive: 10 of 10 values differ",
    KnowsItsThreads: r"\(numba, float64\): the output differs on 5 threads",
    Fails: "backward fails: AttributeError",
}


def batch():
    return np.random.default_rng(0).standard_normal((5, 2))


def test_a_layer_of_ones_own_keeps_the_contract():
    check_layer(Scale(), batch())
    check_layer(Scale(), batch().astype(np.float32), dtypes=["float32"])


@pytest.mark.parametrize("layer", SENTENCES, ids=lambda layer: layer.__name__)
def test_a_layer_that_breaks_the_contract_is_caught(layer):
    with pytest.raises(AssertionError, match=SENTENCES[layer]):
        check_layer(layer(), batch())


def test_check_layer_changes_nothing():
    rng = np.random.default_rng(0)
    layer, x = small_net(rng), rng.standard_normal((3, 2, 7, 6))
    before, drawn, copy = layer.state_dict(), rng.bit_generator.state, x.copy()
    check_layer(layer, x, backends=["numpy"])
    assert all(np.array_equal(array, before[name]) for name, array in layer.state_dict().items())
    assert rng.bit_generator.state == drawn
    assert all(parameter.grad is None for parameter in layer.parameters())
    np.testing.assert_array_equal(x, copy)


def test_gradcheck_is_one_of_float64():
    gradcheck(Scale(), batch())
    with pytest.raises(TypeError, match="`x` must be float64, not float32"):
        gradcheck(Scale(), batch().astype(np.float32))
    with pytest.raises(TypeError, match="`weight` must be float64, not float32"):
        gradcheck(nn.Linear(2, 2), batch())


def test_gradcheck_misses_a_gradient():
    with pytest.raises(AssertionError, match=r"NoGradient\.backward gives no gradient of `factor`\."):
        gradcheck(NoGradient(), batch())


def changed(**operations) -> ModuleType:
    """Make the numpy backend with some operations replaced."""
    package = ModuleType("changed")
    vars(package).update(vars(backends.load("numpy")) | operations)
    return package


NUMPY = backends.load("numpy")


def relu_in_place(x):
    np.maximum(x, 0, out=x)
    return x


def strided_relu(x):
    return np.repeat(NUMPY.relu(x), 2, axis=-1)[..., ::2]


class Padded:
    """A batch in a layout with one unused lane."""

    def __init__(self, array, shape):
        self.array, self.shape, self.dtype = array, shape, array.dtype


def pack_padded(x):
    return Padded(np.concatenate([x, np.zeros_like(x[:1])]), x.shape)


def add_padded(a, b):
    return Padded(a.array + b.array, a.shape)


def sigmoid_padded(x):
    return Padded(NUMPY.sigmoid(x.array), x.shape)


def tanh_padded(x, amplitude, slope):
    return Padded(NUMPY.scaled_tanh(x.array, amplitude, slope), x.shape)


def padded_gradients(dy, x, weight, input_grad, weight_grad):
    """The gradient of the weights includes the idle lane, in which the gradient of the output is zero."""
    dx, *others = NUMPY.linear_backward(dy.array, x.array, weight, input_grad, weight_grad)
    return Padded(dx, x.shape), *others


def relu_padded(x):
    """Every lane includes the idle one, in which packing put zero."""
    return Padded(NUMPY.relu(x.array) + 0 * x.array[-1:], x.shape)


LEAKING = {
    "pack": pack_padded,
    "unpack": lambda native: native.array[:-1].copy(),
    "flatten": lambda x: Padded(NUMPY.flatten(x.array), (x.shape[0], x.array[0].size)),
    "unflatten": lambda x, shape: Padded(NUMPY.unflatten(x.array, shape), (x.shape[0], *shape)),
    "add": add_padded,
    "sigmoid": sigmoid_padded,
    "scaled_tanh": tanh_padded,
    "linear_backward": padded_gradients,
    "relu": relu_padded,
}


BROKEN = {
    "a missing operation": (changed(relu=None), "The backend has no operation relu."),
    "another signature": (
        changed(relu=lambda x, slope: x), "relu has the parameters ['x', 'slope'], but must have ['x']",
    ),
    "an export too many": (
        changed(__all__=[*NUMPY.__all__, "swish"]), "The backend exports swish, which is not an operation.",
    ),
    "a layout that loses values": (changed(unpack=lambda native: np.zeros_like(native)), "unpack does not undo pack"),
    "a layout with another dtype": (changed(pack=lambda x: x.astype("f8")), "a batch of float64 for float32"),
    "flatten in another order": (
        changed(flatten=lambda x: np.swapaxes(x, 1, -1).reshape(len(x), -1)), "flatten is not a reshape",
    ),
    "unflatten in another order": (
        changed(unflatten=lambda x, shape: np.flip(x.reshape(len(x), *shape), 1)), "unflatten does not undo flatten",
    ),
    "another result": (changed(relu=lambda x: np.abs(x)), "relu: rows, float64: 22 of 45 values differ"),
    "a changed argument": (changed(relu=relu_in_place), "relu: rows, float64: it changes its arguments."),
    "another dtype": (changed(relu=lambda x: NUMPY.relu(x).astype("f8")), "float32: a result is float64, not float32."),
    "another shape": (changed(relu=lambda x: NUMPY.relu(x)[:1]), "relu: rows, float64: shape (1, 9), expected (5, 9)"),
    "another order of memory": (changed(relu=strided_relu), "relu: rows, float64: a result is not contiguous."),
    "a lost NaN": (
        changed(relu=lambda x: np.nan_to_num(NUMPY.relu(x), posinf=np.inf)), "NaN and infinity, float64: ",
    ),
    "shifted max-pooling indices": (
        changed(max_pool2d=lambda x, windows: (NUMPY.max_pool2d(x, windows)[0], NUMPY.max_pool2d(x, windows)[1] + 1)),
        "max_pool2d: windows side by side, float64: the whole numbers are",
    ),
    "a result too few": (
        changed(max_pool2d=lambda x, windows: NUMPY.max_pool2d(x, windows)[0]), "it returns 1 arrays, not 2.",
    ),
    "the bias of another channel": (
        changed(linear=lambda x, weight, bias: NUMPY.linear(x, weight, None if bias is None else bias[::-1])),
        "linear: half a block, float64: ",
    ),
    "a failure": (changed(linear=lambda x, weight, bias: x[bias]), "linear: one to one, float64: "),
}  # fmt: skip


@pytest.mark.parametrize(("package", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_backend_that_breaks_the_contract_is_caught(package, sentence):
    with pytest.raises(AssertionError, match=re.escape(sentence)):
        check_backend(package, operations=("relu", "linear", "max_pool2d"))


@pytest.mark.parametrize(
    "said", ["linear_backward: one to one, inf in idle lanes", "relu: one number, inf in idle lanes"]
)
def test_an_idle_lane_that_is_used_is_caught(said):
    operation, sentence = said.partition(":")[0], f"{said}, float64: 1 of 1 values"
    with np.errstate(invalid="ignore"), pytest.raises(AssertionError, match=sentence):
        check_backend(changed(**LEAKING), operations=[operation])


@pytest.mark.parametrize(("rubbish", "is_rubbish"), [(np.inf, np.isposinf), (np.nan, np.isnan)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 4), (17, 2, 3, 3)])
def test_rubbish_is_in_every_idle_lane_of_the_numba_backend_and_nowhere_else(shape, dtype, rubbish, is_rubbish):
    x, numba = np.random.default_rng(0).standard_normal(shape).astype(dtype), backends.load("numba")
    with np.errstate(all="ignore"):
        haunted = backend_contract._haunted(numba, numba.pack(x), rubbish)
    blocks = np.moveaxis(haunted.blocks, -1, 1).reshape(-1, *x.shape[1:])  # an image for each lane
    np.testing.assert_array_equal(blocks[: len(x)], x)
    assert is_rubbish(blocks[len(x) :]).all()
    assert len(blocks) > len(x)
