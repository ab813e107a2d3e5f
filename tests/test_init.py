"""Initial values: their spread, their source, and that nothing else draws."""

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
    with pytest.raises(ValueError, match=r"fan_in needs a parameter of 2 dimensions or more; its shape is \(2,\)"):
        nn.init.kaiming_normal_(bias, rng)
    assert weight.data.all()
    assert bias.data.all()
