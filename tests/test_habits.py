"""Code that PyTorch users would write either works as in PyTorch or raises an error that names the alternative."""

import importlib
import inspect
import re

import numpy as np
import pytest

import fastcnn
from fastcnn import _absent, nn, optim, use_backend
from fastcnn.nn.habits import ABSENT, ABSENT_OF_PARAMETERS


@pytest.fixture(autouse=True)
def numpy_backend():
    with use_backend("numpy"):
        yield


def net():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=rng), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.Flatten(1), nn.Linear(18, 3, rng=rng)
    )


X = np.random.default_rng(1).standard_normal((4, 1, 5, 5)).astype(np.float32)


def test_apply_calls_those_inside_first_and_each_once():
    torch = pytest.importorskip("torch")
    orders = []
    for n in (nn, torch.nn):
        tanh, seen = n.Tanh(), []
        model = n.Sequential(tanh, n.Sequential(n.ReLU()), tanh)
        assert model.apply(lambda module, seen=seen: seen.append(type(module).__name__)) is model
        orders.append(seen)
    assert orders[0] == orders[1] == ["Tanh", "ReLU", "Sequential", "Sequential"]


def test_get_submodule():
    model = nn.Sequential(nn.Residual(nn.Sequential({"act": nn.ReLU()})))
    assert model.get_submodule("0.body.act") is model[0].body[0]
    assert model.get_submodule("") is model
    with pytest.raises(AttributeError, match=r"This Sequential has no module named '0.head'"):
        model.get_submodule("0.head")


class Registered(nn.Module):
    def __init__(self):
        self.add_module("inner", nn.Tanh())
        self.register_parameter("weight", nn.Parameter(np.ones(3)))
        self.register_parameter("bias", None)
        self.register_buffer("seen", np.zeros((), np.int64))
        self.register_buffer("mean", None)


def test_registered_members_are_attributes():
    layer = Registered()
    assert list(layer.state_dict()) == ["weight", "seen"]
    assert [name for name, _ in layer.named_children()] == ["inner"]
    assert layer.bias is layer.mean is None
    layer.register_parameter("weight", nn.Parameter(np.zeros(2)))  # replaces a parameter
    assert layer.weight.shape == (2,)


@pytest.mark.parametrize(
    ("register", "error", "text"),
    [
        (lambda m: m.register_buffer("x", np.zeros(2), persistent=False), ValueError, "self.x = array"),
        (lambda m: m.register_buffer("x", [1.0]), TypeError, "`data` must be a numpy array, not list"),
        (
            lambda m: m.register_parameter("x", np.zeros(2)),
            TypeError,
            "`param` must be a Parameter or None, not",
        ),
        (lambda m: m.add_module("x", nn.ReLU), TypeError, "`module` must be a Module or None, not type"),
        (
            lambda m: m.add_module("a.b", nn.ReLU()),
            ValueError,
            "`name` is 'a.b' but must be the name of a public attribute",
        ),
        (lambda m: m.add_module("_x", nn.ReLU()), ValueError, "`name` is '_x'"),
        (lambda m: m.add_module("train", nn.ReLU()), ValueError, "`name` is 'train', but that is another attribute"),
    ],
)
def test_what_cannot_be_registered(register, error, text):
    with pytest.raises(error, match=re.escape(text)):
        register(Registered())


@pytest.mark.parametrize(
    "convert",
    [
        nn.Module.double,
        lambda m: m.to(np.float64),
        lambda m: m.to("cpu", "float64"),
        lambda m: m.to(device="cpu", dtype=np.dtype("float64")),
    ],
)
def test_dtypes(convert, fast_backend):
    with use_backend(fast_backend):
        model = net()
        for _ in range(2):
            y = model(X)
        model.backward(y)
        assert convert(model) is model.cpu()
        assert {value.dtype.name for _, value in model.named_state()} == {"float64", "int64"}
        assert {parameter.grad.dtype.name for parameter in model.parameters()} == {"float64"}
        model.zero_grad()
        found = model.eval()(X.astype(np.float64))
        np.testing.assert_allclose(found, model.float()(X), rtol=1e-4, atol=1e-5)
        assert {value.dtype.name for _, value in model.named_state()} == {"float32", "int64"}
        model.train()(X)
        model.backward(y)
        optim.Adam(model.parameters(), lr=0.1).step()


def test_pytorchs_dtypes_and_device():
    torch = pytest.importorskip("torch")
    assert net().to(torch.float64).to(torch.device("cpu")).cpu()[0].weight.dtype == np.float64


@pytest.mark.parametrize("what", ["cuda", "cuda:0", "mps", np.float16, "half", 0, np.int64])
def test_to_elsewhere_is_refused_and_changes_nothing(what):
    model = net()
    with pytest.raises(TypeError, match=r'`to` takes "cpu" and the dtypes float32 and float64, not .*processor'):
        model.to(np.float64, what)
    assert model[0].weight.dtype == np.float32


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_not_there_names_what_is(name):
    for model in (nn.ReLU(), net()):
        with pytest.raises(AttributeError, match=rf"A Module of fastcnn has no `{name}`: .*"):
            getattr(model, name)
        assert not hasattr(model, name)
    torch = pytest.importorskip("torch")
    assert hasattr(torch.nn.Module(), name)


def test_what_the_sentences_name_is_there():
    for sentence in ABSENT.values():
        for name in re.findall(r"`(?:dict\(model\.)?(\w+)\(", sentence):
            assert hasattr(net(), name), name


def test_every_public_method_of_pytorch_is_there_or_named():
    torch = pytest.importorskip("torch")
    theirs = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    left_out = {  # internals that only PyTorch has
        "T_destination", "call_super_init", "dump_patches", "get_extra_state", "set_extra_state", "to_empty",
        "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook", "register_module",
        "register_state_dict_post_hook", "register_state_dict_pre_hook", "requires_grad_",
    }  # fmt: skip
    assert theirs - set(dir(nn.Module())) - set(ABSENT) <= left_out


def has_inplace(kind):
    return "inplace" in inspect.signature(kind).parameters


def test_inplace_is_where_pytorch_has_it():
    torch = pytest.importorskip("torch")
    for name, kind in nn.LAYERS.items():
        if twin := getattr(torch.nn, name, None):
            assert has_inplace(kind) == has_inplace(twin), name


@pytest.mark.parametrize("kind", [kind for kind in nn.LAYERS.values() if has_inplace(kind)])
def test_inplace_changes_no_result_and_no_input(kind, backend):
    options = {"rng": np.random.default_rng(0)} if issubclass(kind, nn.Dropout) else {}
    layer = kind(inplace=True, **options)
    assert "inplace=True" in repr(layer)
    assert "inplace" not in repr(kind())
    options = {"rng": np.random.default_rng(0)} if issubclass(kind, nn.Dropout) else {}
    other, before = kind(**options), X.copy()
    with use_backend(backend):
        for model in (nn.Sequential(nn.Identity(), layer), layer):
            y, dx = model(X), model.backward(X)
            np.testing.assert_array_equal(X, before)
            if not issubclass(kind, nn.Dropout):
                np.testing.assert_array_equal(y, other(X))
                np.testing.assert_array_equal(dx, other.backward(X))


@pytest.mark.parametrize("layer", [nn.Conv2d(1, 2, 3), nn.Linear(5, 2), nn.BatchNorm2d(1)])
def test_float64_images_for_float32_weights(layer):
    x = X.astype(np.float64)
    x = x[:, 0, 0] if isinstance(layer, nn.Linear) else x
    with pytest.raises(TypeError, match=r"float32.* but its input is float64; convert it with .astype\(np.float32\)"):
        layer(x)
    with pytest.raises(TypeError, match=r"float64.* but its input is float32; convert it with .astype\(np.float64\)"):
        layer.double()(x.astype(np.float32))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: nn.Flatten(0), ValueError, "`start_dim` and `end_dim` are 0 and -1 but must be 1 and -1"),
        (lambda: nn.Flatten("1"), TypeError, "`start_dim` must be a whole number"),
        (lambda: nn.Unflatten(0, (1, 2, 3)), ValueError, "`dim` is 0 but must be 1"),
        (lambda: nn.Unflatten(1, 6), TypeError, "`unflattened_size` must be (C, H, W), not 6"),
        (lambda: nn.Unflatten(1, (2, 3)), TypeError, "`unflattened_size` must be (C, H, W)"),
        (lambda: nn.Unflatten(1, (-1, -1, 3)), ValueError, "one of which may be -1"),
        (lambda: nn.Unflatten(1, (0, -1, 3)), ValueError, "must be sizes of at least 1"),
        (lambda: nn.Unflatten(1, (2, -1, 5))(np.zeros((2, 12))), ValueError, "cannot take an input of shape (2, 12)"),
        (
            lambda: nn.Unflatten(1, (1, 3, 4))(np.zeros((2, 12, 1, 1))),
            ValueError,
            "cannot take an input of",
        ),
    ],
)
def test_reshaping_is_checked(make, error, text):
    with pytest.raises(error, match=re.escape(text)):
        make()


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in _absent.ABSENT for name in _absent.ABSENT[module]]
)
def test_what_a_module_has_not_names_what_does_it(module, name):
    with pytest.raises(AttributeError, match=rf"{module} has no `{name}`: .+[^.]\.$"):
        getattr(importlib.import_module(module), name)


def test_what_modules_name_is_there():
    """All names of fastcnn that error messages mention in full exist."""
    said = " ".join(sentence for named in _absent.ABSENT.values() for sentence in named.values())
    found = re.findall(r"`(?:fastcnn\.)?((?:data|distributed|functional|interop|nn|optim|training)\.\w+)", said)
    assert len(found) > 10
    for name in found:
        module, attribute = name.split(".")
        assert hasattr(getattr(fastcnn, module), attribute), name


@pytest.mark.parametrize(
    ("module", "name", "meant"),
    [
        ("nn", "Conv2D", "Conv2d"),
        ("nn", "MaxPool2D", "MaxPool2d"),
        ("nn", "BatchNorm", "BatchNorm1d or BatchNorm2d"),
        ("nn", "Linaer", "Linear"),
        ("optim", "ADAM", "Adam"),
        ("functional", "ReLU", "relu"),
        ("data", "dataloader", "DataLoader"),
        ("nn", "Batch_norm_2d", "BatchNorm2d"),
        ("sklearn", "CnnClassifier", "CNNClassifier"),
    ],
)
def test_a_misspelled_name_is_answered_with_the_name_that_was_meant(module, name, meant):
    with pytest.raises(AttributeError) as error:
        getattr(importlib.import_module(f"fastcnn.{module}"), name)
    assert str(error.value) == f"module 'fastcnn.{module}' has no attribute {name!r} (did you mean {meant}?)"


@pytest.mark.parametrize("name", ["Zebra", "_Conv2D", "__conv2d__"])
def test_a_name_like_no_other_is_answered_without_a_guess(name):
    with pytest.raises(AttributeError) as error:
        getattr(nn, name)
    assert str(error.value) == f"module 'fastcnn.nn' has no attribute {name!r}"


@pytest.mark.parametrize("module", _absent.ABSENT)
def test_other_names_are_not_there_as_in_any_module(module):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nonsense'"):
        importlib.import_module(module).nonsense  # noqa: B018


def test_what_modules_have_not_pytorch_has():
    torch = pytest.importorskip("torch")
    places = {
        "fastcnn": [torch],
        "fastcnn.nn": [torch.nn],
        "fastcnn.functional": [torch.nn.functional],
        "fastcnn.optim": [torch.optim, torch.optim.lr_scheduler],
    }
    for module, theirs in places.items():
        for name in _absent.ABSENT[module]:
            assert any(hasattr(place, name) for place in theirs), name


def test_a_parameter_is_an_array_for_numpy():
    weight = nn.Parameter(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert np.asarray(weight) is weight.data
    assert np.array(weight) is not weight.data
    assert np.asarray(weight, np.float64).dtype == np.float64
    assert np.linalg.norm(weight) == np.linalg.norm(weight.data)
    assert sum(parameter.numel() for parameter in net().parameters()) == 20 + 4 + 57


@pytest.mark.parametrize("name", [*ABSENT_OF_PARAMETERS, "mean", "sum", "max", "reshape"])
def test_what_a_parameter_has_not_names_what_has(name):
    with pytest.raises(AttributeError, match=rf"A Parameter of fastcnn has no `{name}`: .+[^.]\.$"):
        getattr(nn.Parameter(np.zeros(3)), name)
    torch = pytest.importorskip("torch")
    assert hasattr(torch.nn.Parameter(torch.zeros(3)), name)


def test_a_parameter_without_what_nobody_has_says_so_plainly():
    with pytest.raises(AttributeError, match="'Parameter' object has no attribute 'nonsense'"):
        nn.Parameter(np.zeros(3)).nonsense  # noqa: B018
