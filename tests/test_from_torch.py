"""Models from PyTorch: the same weights, outputs, gradients and modes."""

import doctest
import sys
from collections import OrderedDict

import numpy as np
import pytest

from fastcnn import interop, nn, use_backend
from fastcnn.testing import assert_close

torch = pytest.importorskip("torch")

from fastcnn.interop.pytorch import FIXED, layers  # noqa: E402
from fastcnn.testing import activations  # noqa: E402
from tests.torch_twins import twin  # noqa: E402

T = torch.nn


@pytest.fixture(autouse=True)
def numpy_backend():
    """Use the numpy backend, so that nothing is compiled, and one thread of PyTorch."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with use_backend("numpy"):
        yield
    torch.set_num_threads(before)


def rounded(actual, tensor):
    expected = tensor.detach().numpy()
    assert_close(actual, expected, 256, np.full(expected.shape, np.abs(expected).max()))


# Layers in which every option differs from its default, for images (N, 4, 9, 8) or rows (N, 12). The last
# ones are for signals (N, 4, 9).
SIGNALS = [
    T.Conv1d(4, 6, 3, 2, 1, 2, 2, bias=False),
    T.Conv1d(4, 3, 4, padding="same", dilation=2),
    T.Conv1d(4, 3, 1, padding="valid", dtype=torch.float64),
    T.Conv1d(4, 3, 3, 2, 2, padding_mode="reflect"),
    T.Conv1d(4, 3, 3, padding="same", padding_mode="circular"),
    T.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2, False, 2),
    T.BatchNorm1d(4, 0.1, 0.3),
    T.MaxPool1d(3, 2, 1, 2, False, True),
    T.MaxPool1d((3,), (2,), (1,)),
    T.AvgPool1d(3, 2, 1, True, False),
    T.AdaptiveAvgPool1d(4),
    T.AdaptiveMaxPool1d(4),
    T.Softmax(1),
    T.Tanh(),
    T.Flatten(),
    T.Identity(),
]
SAMPLES = [
    T.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (2, 3), 2, bias=False),
    T.Conv2d(4, 3, 4, padding="same", dilation=2),
    T.Conv2d(4, 3, 3, 2, (1, 2), padding_mode="reflect"),
    T.Conv2d(4, 3, 4, padding="same", padding_mode="replicate"),
    T.Conv2d(4, 6, (3, 5), padding=2, groups=2, padding_mode="circular"),
    T.Conv2d(4, 3, 1, padding="valid", dtype=torch.float64),
    T.ConvTranspose2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 0), 2, False, 2),
    T.Linear(12, 5),
    T.Linear(12, 5, bias=False, dtype=torch.float64),
    T.BatchNorm2d(4),
    T.BatchNorm2d(4, 0.1, None, affine=False),
    T.BatchNorm2d(4, 0.1, 0.3, track_running_stats=False),
    T.BatchNorm2d(4, affine=False, track_running_stats=False),
    T.BatchNorm1d(12, 0.2, 0.4, dtype=torch.float64),
    T.GroupNorm(2, 4, 0.1),
    T.GroupNorm(4, 4, affine=False, dtype=torch.float64),
    T.InstanceNorm2d(4, 0.1),
    T.InstanceNorm2d(4, affine=True),
    T.LayerNorm((4, 9, 8), 0.1),
    T.LayerNorm(8, bias=False),
    T.LayerNorm((9, 8), elementwise_affine=False),
    T.MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2), False, True),
    T.MaxPool2d(3),
    T.AvgPool2d((3, 2), (2, 3), (1, 0), True, False),
    T.AvgPool2d(2, divisor_override=-3),
    T.AdaptiveAvgPool2d((3, None)),
    T.AdaptiveAvgPool2d(1),
    T.AdaptiveMaxPool2d((2, 3)),
    T.Upsample(scale_factor=2),
    T.Upsample((5, 12)),
    T.Upsample(None, (1.5, 2), "bilinear", True),
    T.ReLU(inplace=True),
    T.LeakyReLU(0.3),
    T.GELU("tanh"),
    T.ELU(0.7),
    T.Softplus(2.0, 0.5),
    T.PReLU(),
    T.PReLU(4, 0.5, dtype=torch.float64),
    *(getattr(T, kind.__name__)() for kind in activations.LAYERS.values() if hasattr(T, kind.__name__)),
    T.Softmax(1),
    T.Softmax(-1),
    T.Dropout(0.25),
    T.Dropout(1.0),
    T.Dropout2d(0.25),
    T.Dropout(0.25, inplace=True),
    T.LeakyReLU(0.3, inplace=True),
    T.ELU(0.7, inplace=True),
    T.SiLU(inplace=True),
    T.ReflectionPad2d((1, 2, 0, 1)),
    T.ReplicationPad2d((1, 2, 0, 1)),
    T.CircularPad2d((1, 2, 0, 1)),
    T.ConstantPad2d((1, -2, 0, 1), 2.5),
    T.ZeroPad2d(2),
    T.Flatten(),
    T.Unflatten(1, (3, 2, 2)),
    T.Unflatten(-1, (-1, 2, 3)),
    T.Identity(3, anything="goes"),
    *SIGNALS,
]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("layer", SAMPLES, ids=str)
def test_layers(layer, training, rng):
    dtype = next((p.dtype for p in layer.parameters()), torch.float32)
    with torch.no_grad():
        for array in (*layer.parameters(), *(buffer for buffer in layer.buffers() if buffer.is_floating_point())):
            array.uniform_(0.5, 2, generator=torch.Generator().manual_seed(0))
    module = T.Sequential(layer).train(training)
    model = interop.from_torch(module)
    assert type(model[0]).__name__ == type(layer).__name__
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, module.state_dict()[name].numpy(), strict=True)
    assert model.state_dict().keys() == module.state_dict().keys()
    shape = (5, 12) if isinstance(layer, T.Linear | T.BatchNorm1d | T.Unflatten) else (5, 4, 9, 8)
    shape = (5, 4, 9) if layer in SIGNALS else shape
    x = torch.tensor(rng.standard_normal(shape), dtype=dtype, requires_grad=True)
    if isinstance(layer, T.Dropout | T.Dropout2d) and training and layer.p < 1:
        assert model[0].p == 0.25
        return
    module.zero_grad()
    y = module(x.clone())
    dy = torch.tensor(rng.standard_normal(y.shape), dtype=dtype)
    y.backward(dy)
    rounded(model(x.detach().numpy()), y)
    rounded(model.backward(dy.numpy()), x.grad)
    for name, parameter in model.named_parameters():
        rounded(parameter.grad, module.get_parameter(name).grad)


def test_every_layer_of_both_is_taken():
    containers = {"Module", "ModuleDict", "ModuleList", "Sequential"}
    named = {name for name in nn.__all__ if hasattr(T, name)} - containers - {"Parameter", "Buffer", "init"}
    assert set(layers(torch)) == {name for name in named if not name.endswith("Loss")}
    assert {type(layer).__name__ for layer in SAMPLES} == set(layers(torch))


def test_nested_with_names_and_modes(rng):
    module = T.Sequential(
        OrderedDict(
            stem=T.Sequential(OrderedDict(conv=T.Conv2d(3, 8, 3), norm=T.BatchNorm2d(8), act=T.ReLU())),
            drop=T.Dropout(0.5),
            head=T.Sequential(T.AdaptiveAvgPool2d(1), T.Flatten(), T.Linear(8, 4)),
        )
    )
    module.stem.norm.eval()  # as in fine-tuning
    model = interop.from_torch(module)
    assert [name for name, _ in model.named_parameters()] == [
        "stem.conv.weight", "stem.conv.bias", "stem.norm.weight", "stem.norm.bias", "head.2.weight", "head.2.bias",
    ]  # fmt: skip
    assert model.state_dict().keys() == module.state_dict().keys()
    assert model.stem.conv is model[0][0]
    with pytest.raises(ValueError, match=r"stem: 'summary' cannot be the name of a layer: Sequential\.summary ex"):
        interop.from_torch(T.Sequential(OrderedDict(stem=T.Sequential(OrderedDict(summary=T.ReLU())))))
    assert model.training
    assert model[0].training
    assert model[0][0].training
    assert not model[0][1].training
    x = rng.standard_normal((6, 3, 9, 9)).astype(np.float32)
    rounded(model.eval()(x), module.eval()(torch.tensor(x)))
    assert not any(part.training for part in interop.from_torch(module).modules())


def test_arrays_are_copies(rng):
    module = T.Sequential(T.Linear(3, 2), T.BatchNorm1d(2))
    model = interop.from_torch(module)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for array in (*model.parameters(), *(buffer for _, buffer in model.named_buffers())):
        array.data[...] = 7
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_memory_formats_and_a_single_layer(rng):
    layer = T.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
    model = interop.from_torch(layer)
    assert isinstance(model, nn.Conv2d)
    np.testing.assert_array_equal(model.weight.data, layer.weight.detach().numpy())
    x = rng.standard_normal((2, 4, 5, 5)).astype(np.float32)
    rounded(model(x), layer(torch.tensor(x)))


def test_what_is_frozen_stays_so():
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    net[0].weight.requires_grad_(False)
    net[1].requires_grad_(False)
    flags = {name: parameter.requires_grad for name, parameter in net.named_parameters()}
    model = interop.from_torch(net)
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == flags
    again = interop.to_torch(model)
    assert {name: parameter.requires_grad for name, parameter in again.named_parameters()} == flags


def test_dropout_draws_from_the_given_generator():
    x = np.ones((4, 50), np.float32)
    masks = [interop.from_torch(T.Dropout(), rng=np.random.default_rng(seed))(x) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_a_layer_twice_without_parameters_becomes_two():
    act = T.ReLU()
    model = interop.from_torch(T.Sequential(T.Linear(2, 2), act, T.Linear(2, 2), act))
    assert model[1] is not model[3]


def test_a_subclass_of_sequential_that_only_arranges_is_one():
    class Block(T.Sequential):
        def __init__(self):
            super().__init__(T.Linear(3, 2), T.ReLU())

    assert repr(interop.from_torch(Block())) == repr(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))


class Doubled(T.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


class OwnConv(T.Conv2d):
    pass


def own(name):
    """Make a custom layer with the name of a layer of PyTorch."""
    return type(name, (T.Module,), {"forward": lambda self, x: x + 1})()


def inside(layer):
    """Put a layer at 1.conv1 of a net."""
    return T.Sequential(T.Identity(), T.Sequential(OrderedDict(conv1=layer)))


def hooked(layer):
    layer.register_forward_hook(lambda module, x, y: 2 * y)
    return layer


TIED = T.Linear(3, 3)
LIKE = T.Linear(3, 3)
LIKE.weight = TIED.weight
NORM = T.BatchNorm1d(3, affine=False)


@pytest.mark.parametrize(
    ("module", "error", "text"),
    [
        pytest.param(3, TypeError, "`module` must be a torch.nn.Sequential, not int.", id="no module"),
        pytest.param(inside(T.RMSNorm(3)), TypeError,
                     "1.conv1: fastcnn has no layer for torch.nn.modules.normalization.RMSNorm; it has A", id="kind"),
        pytest.param(inside(T.InstanceNorm2d(3, track_running_stats=True)), ValueError,
                     "1.conv1: InstanceNorm2d has track_running_stats=True, but fastcnn's has False", id="tracked"),
        pytest.param(inside(OwnConv(1, 1, 1)), TypeError, "1.conv1: fastcnn has no layer for ", id="subclass"),
        pytest.param(inside(own("ReLU")), TypeError, "1.conv1: fastcnn has no layer for ", id="same name"),
        pytest.param(Doubled(T.ReLU()), TypeError, "`module`: fastcnn has no layer for ", id="own forward"),
        pytest.param(inside(hooked(T.ReLU())), ValueError, "1.conv1: it has forward hooks, which", id="hooks"),
        pytest.param(hooked(T.Sequential()), ValueError, "`module`: it has forward hooks, which", id="outer hooks"),
        pytest.param(inside(T.MaxPool2d(2, return_indices=True)), ValueError,
                     "1.conv1: MaxPool2d has return_indices=True, but fastcnn's has False only.", id="indices"),
        pytest.param(inside(T.Flatten(2)), ValueError, "1.conv1: `start_dim` and `end_dim` are 2", id="start_dim"),
        pytest.param(inside(T.Flatten(1, 2)), ValueError, "1.conv1: `start_dim` and `end_dim` are 1", id="end_dim"),
        pytest.param(inside(T.Softmax()), TypeError, "1.conv1: `dim` must be a whole number, not None", id="no dim"),
        pytest.param(inside(T.Softmax(0)), ValueError, "1.conv1: `dim` must not be 0, the batch axis", id="batch axis"),
        pytest.param(inside(T.Linear(2, 2).half()), TypeError,
                     "1.conv1.weight: it is torch.float16, but fastcnn has float32 and float64", id="half"),
        pytest.param(T.Sequential(T.Linear(2, 2), T.Linear(2, 2).double()), ValueError,
                     "1: The state does not fit this Linear: `weight` is float64 but must be float32", id="mixed"),
        pytest.param(T.Sequential(TIED, inside(TIED)), ValueError,
                     "1.1.conv1: it shares `weight` with 0.weight, but in fastcnn each", id="a layer twice"),
        pytest.param(T.Sequential(TIED, inside(LIKE)), ValueError,
                     "1.1.conv1: it shares `weight` with 0.weight, but in fastcnn each", id="a parameter twice"),
        pytest.param(T.Sequential(NORM, inside(NORM)), ValueError,
                     "1.1.conv1: it shares `running_mean` with 0.running_mean, but in fast", id="a buffer twice"),
    ],
)  # fmt: skip
def test_what_fastcnn_has_not_is_named_with_its_place(module, error, text):
    with pytest.raises(error) as raised:
        interop.from_torch(module)
    assert str(raised.value).startswith(text)


def test_parametrized_layers_are_refused():
    layer = torch.nn.utils.parametrizations.weight_norm(T.Linear(3, 3))
    with pytest.raises(TypeError, match=r"^0: fastcnn has no layer for .*ParametrizedLinear"):
        interop.from_torch(T.Sequential(layer))


def test_fixed_options_are_those_that_fastcnn_has_not():
    for name, options in FIXED.items():
        layer = getattr(nn, name)
        assert not set(options) & set(vars(layer)), name


def test_there_and_back_again():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=(1, 0)), nn.BatchNorm2d(4), nn.GELU("tanh"), nn.AvgPool2d(2))
    assert repr(interop.from_torch(twin(model))) == repr(model)


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"needs PyTorch: pip install torch\."):
        interop.from_torch(T.Sequential())


def test_its_example_runs():
    text = interop.from_torch.__doc__.replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(text, {}, "from_torch", None, None)
    assert doctest.DocTestRunner().run(example) == doctest.TestResults(failed=0, attempted=4)
