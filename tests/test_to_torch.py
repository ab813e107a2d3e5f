"""Models to PyTorch and back: the same weights, outputs, gradients and modes."""

import doctest
import sys

import numpy as np
import pytest

from fastcnn import interop, models, nn, use_backend
from fastcnn.testing import activations, assert_close

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def numpy_backend():
    """Use the numpy backend, so that nothing is compiled, and one thread of PyTorch."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with use_backend("numpy"):
        yield
    torch.set_num_threads(before)


def rounded(actual, tensor, largest=0.0):
    expected = tensor.detach().numpy()
    assert_close(actual, expected, 256, np.full(expected.shape, max(largest, np.abs(expected).max())))


def assert_twin(model, x, rng):
    """Check that both models compute the same, have the same state, and that the conversion back is exact."""
    net = interop.to_torch(model)
    assert {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()} == {
        name: array.tobytes() for name, array in model.state_dict().items()
    }
    image = torch.tensor(x, requires_grad=True)
    y = net(image.clone())
    dy = rng.standard_normal(y.shape).astype(x.dtype)
    y.backward(torch.tensor(dy))
    model.zero_grad()
    rounded(model(x), y)
    rounded(model.backward(dy), image.grad)
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    largest = max((grad.abs().max().item() for grad in gradients.values()), default=0)  # a bias may have 0
    for name, parameter in model.named_parameters():
        rounded(parameter.grad, gradients[name], largest)
    back = interop.from_torch(interop.to_torch(model))
    assert [module.training for module in back.modules()] == [module.training for module in model.modules()]
    np.testing.assert_array_equal(back.eval()(x), model.eval()(x))


@pytest.mark.parametrize("name", models.NAMES)
def test_every_model(name, rng):
    model = models.build(name, rng=rng)
    assert_twin(model, rng.standard_normal((3, *model.input_shape)).astype(np.float32), rng)


LAYERS = [
    *(pytest.param(kind(), id=kind.__name__) for kind in activations.LAYERS.values()),
    pytest.param(nn.Conv2d(3, 6, (3, 2), (2, 1), (1, 0), (1, 2), 3, bias=False), id="Conv2d"),
    pytest.param(nn.Conv2d(3, 2, 3, padding="same", dilation=2), id="Conv2d, same"),
    pytest.param(nn.Conv2d(3, 2, (2, 4), 2, padding="same"), id="Conv2d, same with a stride"),
    pytest.param(nn.Conv2d(3, 2, 3, (1, 2), padding=(0, 1, 2, 3)), id="Conv2d, four sides"),
    pytest.param(nn.Conv2d(3, 2, 3, padding="valid"), id="Conv2d, valid"),
    pytest.param(nn.ConvTranspose2d(3, 6, 3, 2, 1, 1, 3, dilation=2), id="ConvTranspose2d"),
    pytest.param(nn.ScaledTanh(0.5, 3), id="ScaledTanh"),
    pytest.param(nn.GELU("tanh"), id="GELU by tanh"),
    pytest.param(nn.Softmax(-1), id="Softmax"),
    pytest.param(nn.MaxPool2d((3, 2), (2, 1), (1, 0), 1, True), id="MaxPool2d"),
    pytest.param(nn.AvgPool2d(2, 1, 1, False, False), id="AvgPool2d"),
    pytest.param(nn.AdaptiveAvgPool2d((None, 2)), id="AdaptiveAvgPool2d"),
    pytest.param(nn.AdaptiveMaxPool2d(2), id="AdaptiveMaxPool2d"),
    pytest.param(nn.BatchNorm2d(3, 0.1, 0.3), id="BatchNorm2d"),
    pytest.param(nn.BatchNorm2d(3, affine=False, track_running_stats=False), id="BatchNorm2d, bare"),
    pytest.param(nn.GroupNorm(3, 3, 0.1), id="GroupNorm"),
    pytest.param(nn.InstanceNorm2d(3, 0.1, affine=True), id="InstanceNorm2d"),
    pytest.param(nn.LayerNorm((4, 5), bias=False), id="LayerNorm"),
    pytest.param(nn.LayerNorm(5, elementwise_affine=False), id="LayerNorm, bare"),
    pytest.param(nn.PReLU(3, 0.5), id="PReLU"),
    pytest.param(nn.Softplus(0.5, 3), id="Softplus"),
    pytest.param(nn.Dropout(1.0), id="Dropout of all"),
    pytest.param(nn.Dropout2d(0.5).eval(), id="Dropout2d"),
    pytest.param(nn.GlobalAvgPool2d(), id="GlobalAvgPool2d"),
    pytest.param(nn.ResizeChannels(2), id="ResizeChannels, fewer"),
    pytest.param(nn.ResizeChannels(5), id="ResizeChannels, more"),
    pytest.param(nn.Residual(nn.Conv2d(3, 3, 1), nn.Sequential(nn.Tanh(), nn.Identity())), id="Residual"),
    pytest.param(nn.DepthwiseSeparableConv2d(3, 4, (3, 1), 2, 1), id="DepthwiseSeparableConv2d"),
    pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(60, 7, bias=False), nn.BatchNorm1d(7)), id="rows"),
]  # fmt: skip


SIGNALS = [
    pytest.param(nn.Conv1d(3, 6, 3, 2, 1, 2, 3, bias=False), id="Conv1d"),
    pytest.param(nn.Conv1d(3, 2, 4, padding="same", dilation=2), id="Conv1d, same"),
    pytest.param(nn.Conv1d(3, 2, 4, 2, padding="same"), id="Conv1d, same with a stride"),
    pytest.param(nn.Conv1d(3, 2, 3, padding=(2, 1)), id="Conv1d, two sides"),
    pytest.param(nn.ConvTranspose1d(3, 6, 3, 2, 1, 1, 3, dilation=2), id="ConvTranspose1d"),
    pytest.param(nn.MaxPool1d(3, 2, 1, 1, True), id="MaxPool1d"),
    pytest.param(nn.AvgPool1d(2, 1, 1, False, False), id="AvgPool1d"),
    pytest.param(nn.AdaptiveAvgPool1d(2), id="AdaptiveAvgPool1d"),
    pytest.param(nn.AdaptiveMaxPool1d(3), id="AdaptiveMaxPool1d"),
    pytest.param(nn.BatchNorm1d(3, 0.1, 0.3), id="BatchNorm1d"),
]


@pytest.mark.parametrize("layer", SIGNALS)
def test_layers_of_signals(layer, rng):
    assert_twin(layer, rng.standard_normal((6, 3, 11)).astype(np.float32), rng)


def test_a_model_of_signals(rng):
    model = models.SignalNet(length=40, rng=rng)
    assert_twin(model, rng.standard_normal((6, 1, 40)).astype(np.float32), rng)


@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer, rng):
    for held in (*layer.parameters(), *(buffer for _, buffer in layer.named_buffers() if buffer.dtype.kind == "f")):
        held.data[...] = rng.uniform(0.5, 2, held.shape)
    assert_twin(layer, 3 * rng.standard_normal((6, 3, 4, 5)).astype(np.float32), rng)


def test_float64_stays_float64(rng):
    model = nn.Sequential(nn.Linear(3, 4, rng=rng, dtype=np.float64), nn.BatchNorm1d(4, dtype=np.float64), nn.Tanh())
    assert_twin(model, rng.standard_normal((5, 3)), rng)


def test_what_stands_at_several_places_does_so_there(rng):
    layer, tied = nn.Linear(4, 4, rng=rng), nn.Linear(4, 4, rng=rng)
    tied.weight = layer.weight
    net = interop.to_torch(nn.Sequential(layer, layer, tied))
    assert net[0] is net[1]
    assert net[2].weight is net[0].weight
    assert net[2].bias is not net[0].bias


def test_tensors_are_copies_and_modes_stay(rng):
    model = nn.Sequential(nn.Linear(3, 2, rng=rng), nn.BatchNorm1d(2))
    model[1].eval()
    net = interop.to_torch(model)
    before = model.state_dict()
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.fill_(7)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert [module.training for module in net.modules()] == [True, True, False]


class Twice(nn.Module):
    def forward_native(self, x, backend):
        return backend.add(x, x)


class Renamed(nn.LeakyReLU):
    """A subclass with the forward pass of LeakyReLU."""


def test_options_are_shown():
    shown = repr(
        interop.to_torch(
            nn.Sequential(nn.ResizeChannels(5), nn.ScaledTanh(0.5, 3), nn.Conv2d(1, 2, 3, padding=(1, 0, 2, 1)))
        )
    )
    for options in ("channels=5", "amplitude=0.5, slope=3", "pads="):
        assert options in shown


def test_a_subclass_with_an_inherited_forward_pass_is_what_it_inherits():
    assert repr(interop.to_torch(Renamed(0.2))) == repr(torch.nn.LeakyReLU(0.2))


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        pytest.param(np.tanh, TypeError, "`model` must be a Module, not ufunc.", id="no module"),
        pytest.param(Twice(), TypeError, "`model`: Twice cannot be converted to PyTorch. Supported", id="own"),
        pytest.param(nn.Sequential(nn.ReLU(), nn.Residual(Twice())), TypeError, "1.body: Twice cannot be", id="place"),
        pytest.param(nn.Sequential(nn.MaxPool2d(2, padding=(0, 1, 1, 0))), ValueError,
                     "0: PyTorch pads opposite sides alike, but this is MaxPool2d(", id="sides"),
        pytest.param(nn.AvgPool2d(2, padding="same"), ValueError, "`model`: PyTorch pads opposite", id="same"),
        pytest.param(nn.AvgPool1d(2, padding=(1, 0)), ValueError, "`model`: PyTorch pads opposite", id="of signals"),
    ],
)  # fmt: skip
def test_what_pytorch_has_not_is_named_with_its_place(model, error, text):
    with pytest.raises(error) as raised:
        interop.to_torch(model)
    assert str(raised.value).startswith(text)


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"needs PyTorch: pip install torch\."):
        interop.to_torch(nn.ReLU())


def test_its_example_runs():
    text = interop.to_torch.__doc__.replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(text, {"torch": torch}, "to_torch", None, None)
    assert doctest.DocTestRunner().run(example) == doctest.TestResults(failed=0, attempted=3)
