"""Initial values: their spread and their generator; nothing else draws random numbers."""

import math

import numpy as np
import pytest

from fastcnn import models, nn


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        pytest.param(lambda rng: nn.Conv2d(4, 50, (3, 5), rng=rng), 60, id="convolution"),
        pytest.param(lambda rng: nn.Conv2d(4, 50, (3, 5), groups=2, rng=rng), 30, id="groups see fewer channels"),
        pytest.param(lambda rng: nn.ConvTranspose2d(4, 50, (3, 5), rng=rng), 750, id="transposed: the outputs count"),
        pytest.param(lambda rng: nn.ConvTranspose2d(4, 50, (3, 5), groups=2, rng=rng), 375, id="transposed, groups"),
        pytest.param(lambda rng: nn.Linear(40, 80, rng=rng), 40, id="linear"),
    ],
)
def test_default_is_pytorchs(layer, fan_in, rng):
    layer, bound = layer(rng), 1 / math.sqrt(fan_in)
    for parameter in (layer.weight, layer.bias):
        assert np.abs(parameter.data).max() == pytest.approx(bound, rel=0.1)
        assert np.abs(parameter.data).max() <= bound
    assert layer.weight.data.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_default_agrees_with_torch_in_distribution(rng):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs, ours = torch.nn.Conv2d(8, 64, 5), nn.Conv2d(8, 64, 5, rng=rng)
    quantiles = np.linspace(0, 1, 21)
    np.testing.assert_allclose(
        np.quantile(ours.weight.data, quantiles), np.quantile(theirs.weight.detach().numpy(), quantiles), atol=0.005
    )


@pytest.mark.parametrize(
    ("fill", "spread"),
    [
        pytest.param(nn.init.kaiming_uniform_, math.sqrt(2 / 75), id="uniform"),
        pytest.param(nn.init.kaiming_normal_, math.sqrt(2 / 75), id="normal"),
        pytest.param(lambda p, rng: nn.init.kaiming_normal_(p, rng, a=1.0), math.sqrt(1 / 75), id="slope 1 is linear"),
    ],
)
def test_kaiming_spread(fill, spread, rng):
    parameter = nn.Parameter(np.zeros((200, 3, 5, 5)))
    fill(parameter, rng)
    assert parameter.data.std() == pytest.approx(spread, rel=0.03)
    assert parameter.data.mean() == pytest.approx(0, abs=0.05 * spread)


def test_constants():
    parameter = nn.Parameter(np.zeros((2, 3), np.float32))
    for fill, value in ((nn.init.ones_, 1), (lambda p: nn.init.constant_(p, -2.5), -2.5), (nn.init.zeros_, 0)):
        fill(parameter)
        np.testing.assert_array_equal(parameter.data, np.full((2, 3), value))


def test_he_fills_weights_and_zeroes_biases(rng):
    model = models.LeNet5(rng=rng)
    nn.init.he_(model, rng)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.data.any()
    c5 = model.state_dict()["6.weight"]
    assert c5.std() == pytest.approx(math.sqrt(2 / 400), rel=0.03)


def test_same_generator_same_parameters_in_both_dtypes():
    single = nn.Conv2d(2, 3, 5, rng=np.random.default_rng(5))
    double = nn.Conv2d(2, 3, 5, rng=np.random.default_rng(5), dtype=np.float64)
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data.astype(np.float32))


def test_without_a_generator_layers_differ():
    assert not np.array_equal(nn.Linear(3, 3).weight.data, nn.Linear(3, 3).weight.data)


def test_bad_arguments(rng):
    weight, bias = nn.Parameter(np.ones((2, 2))), nn.Parameter(np.ones(2))
    with pytest.raises(TypeError, match=r"`rng` must be a numpy.random.Generator, not int"):
        nn.init.he_(nn.Linear(2, 2), 0)
    with pytest.raises(ValueError, match=r"fan_in needs a parameter with at least 2 dimensions; its shape is \(2,\)"):
        nn.init.kaiming_normal_(bias, rng)
    assert weight.data.all()
    assert bias.data.all()


TORCHS = {
    "kaiming_normal_": [{"mode": "fan_out", "nonlinearity": "relu"}, {"a": 0.3}, {"nonlinearity": "tanh"}],
    "kaiming_uniform_": [{"mode": "fan_out"}, {"a": 1, "nonlinearity": "leaky_relu"}, {"nonlinearity": "linear"}],
    "xavier_normal_": [{}, {"gain": 2.0}],
    "xavier_uniform_": [{}, {"gain": nn.init.calculate_gain("relu")}],
    "normal_": [{"mean": 1.0, "std": 0.2}, {}],
    "uniform_": [{"a": -2.0, "b": 0.5}, {}],
    "constant_": [{"val": 0.1}],
    "ones_": [{}],
    "zeros_": [{}],
}


@pytest.mark.parametrize(("name", "options"), [(name, options) for name in TORCHS for options in TORCHS[name]])
def test_spreads_are_torchs(name, options, rng):
    torch = pytest.importorskip("torch")
    theirs, ours = torch.empty(120, 30, 3, 5), nn.Parameter(np.empty((120, 30, 3, 5), np.float32))
    draws = name not in ("constant_", "ones_", "zeros_")
    getattr(torch.nn.init, name)(
        theirs, **options, **({"generator": torch.Generator().manual_seed(0)} if draws else {})
    )
    getattr(nn.init, name)(ours, **options, **({"rng": rng} if draws else {}))
    quantiles = np.linspace(0.05, 0.95, 19)
    spread = float(theirs.std())
    np.testing.assert_allclose(
        np.quantile(ours.data, quantiles), np.quantile(theirs.numpy(), quantiles), atol=0.03 * spread + 1e-7
    )


def test_gains_are_torchs():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv1d", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_settings_of_spreads_are_checked(rng):
    weight = nn.Parameter(np.zeros((2, 3)))
    for call, message in [
        (lambda: nn.init.kaiming_normal_(weight, rng, mode="fan_avg"), r'`mode` is \'fan_avg\' but must be "fan_in"'),
        (
            lambda: nn.init.calculate_gain("gelu"),
            "`nonlinearity` is 'gelu' but must be one of 'linear', .*'leaky_relu'",
        ),
        (lambda: nn.init.uniform_(weight, rng, 2, 1), "`a` is 2 but must be at most `b`, 1"),
        (lambda: nn.init.normal_(weight, rng, 0, -1), "`std` is -1 but must be at least 0"),
        (
            lambda: nn.init.xavier_normal_(nn.Parameter(np.zeros(3)), rng),
            "needs a parameter with at least 2 dimensions",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    assert not weight.data.any()
