"""Summaries of models compared with numbers computed by hand, and traces."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fastcnn import models, nn, use_backend


def test_multiply_adds_of_lenet5_by_hand():
    summary = nn.summarize(models.LeNet5())
    costs = {row.name: row.multiply_adds for row in summary.rows if row.multiply_adds}
    assert costs == {
        "0": 28 * 28 * 6 * 25,
        "3": 10 * 10 * 16 * 6 * 25,
        "6": 120 * 16 * 25,
        "9": 120 * 84,
        "11": 84 * 10,
    }
    assert (summary.parameters, summary.multiply_adds) == (61_706, 416_520)
    assert summary.memory == 4 * (2 * 6 * 28 * 28 + 6 * 14 * 14 + 2 * 16 * 100 + 16 * 25 + 2 * 120 + 2 * 84 + 10)


@pytest.mark.parametrize(
    ("layer", "shape", "cost"),
    [
        pytest.param(nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (4, 9, 8), 5 * 4 * 6 * 2 * 9, id="groups"),
        pytest.param(nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 3), 5 * 3 * 4 * 3 * 9, id="transposed"),
        pytest.param(nn.Linear(7, 3), (7,), 21, id="linear"),
        pytest.param(nn.BatchNorm2d(4), (4, 5, 3), 0, id="normalization has no multiply-adds"),
        pytest.param(nn.AvgPool2d(2), (4, 6, 6), 0, id="pooling has no multiply-adds"),
    ],
)
def test_multiply_adds_of_a_layer(layer, shape, cost):
    assert nn.summarize(layer, shape).multiply_adds == cost


def block() -> nn.Sequential:
    return nn.Sequential(
        nn.Residual(
            nn.DepthwiseSeparableConv2d(2, 4, stride=2), nn.Sequential(nn.AvgPool2d(1, 2), nn.ResizeChannels(4))
        ),
        nn.Dropout(0.5),
        nn.Flatten(),
    )


def test_the_table():
    assert str(nn.summarize(block(), (2, 4, 4))).splitlines() == [
        "layer                                  output  parameters  multiply-adds  memory, kB",
        "------------------------------------------------------------------------------------",
        "Sequential                                 16",
        "  0: Residual                       4 x 2 x 2                                   0.06",
        "    body: DepthwiseSeparableConv2d  4 x 2 x 2",
        "      0: Conv2d                     2 x 2 x 2          18             72        0.03",
        "      1: BatchNorm2d                2 x 2 x 2           4                       0.03",
        "      2: ReLU                       2 x 2 x 2                                   0.03",
        "      3: Conv2d                     4 x 2 x 2           8             32        0.06",
        "      4: BatchNorm2d                4 x 2 x 2           8                       0.06",
        "      5: ReLU                       4 x 2 x 2                                   0.06",
        "    shortcut: Sequential            4 x 2 x 2",
        "      0: AvgPool2d                  2 x 2 x 2                                   0.03",
        "      1: ResizeChannels             4 x 2 x 2                                   0.06",
        "  1: Dropout                        4 x 2 x 2                                   0.06",
        "  2: Flatten                               16",
        "------------------------------------------------------------------------------------",
        "total                                                  38            104        0.51",
    ]


def test_summary_prints_and_takes_the_models_own_shape(capsys):
    models.Conv8().summary()
    assert capsys.readouterr().out == f"{nn.summarize(models.Conv8(), (1, 28, 28))}\n"


@pytest.mark.parametrize("mode", [True, False])
def test_the_model_stays_as_it_is(mode, rng):
    model = nn.Sequential(nn.BatchNorm2d(2, dtype=np.float64), nn.Dropout(0.5, rng=rng)).train(mode)
    x = np.random.default_rng(1).standard_normal((3, 2, 2, 2))
    with use_backend("numpy"):
        y = model(x)
        state, draws = model.state_dict(), rng.bit_generator.state
        nn.summarize(model, (2, 5, 5))
        nn.trace(model, x)
        assert rng.bit_generator.state == draws
        assert model.training == mode
        assert model.backward(np.ones_like(y)).shape == x.shape  # still for the last batch
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_a_parameter_in_two_layers_counts_once():
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    summary = nn.summarize(nn.Sequential(first, second), (3,))
    assert [row.parameters for row in summary.rows] == [0, 9, 0]
    assert (summary.parameters, summary.multiply_adds) == (9, 18)


@pytest.mark.parametrize(
    ("model", "shape", "error", "text"),
    [
        pytest.param(nn.ReLU(), None, ValueError, "`input_shape` must be given, as (C, H, W): this ReLU has",
                     id="no shape"),
        pytest.param(nn.ReLU(), (1, 0, 3), ValueError, "`input_shape[1]` is 0 but must be at least 1", id="no row"),
        pytest.param(nn.ReLU(), (1, 2.5), TypeError, "`input_shape[1]` must be a whole number", id="half a row"),
        pytest.param(nn.ReLU(), 28, TypeError, "`input_shape` must be a sequence of whole numbers, (C, H, W), not 28",
                     id="a number"),
        pytest.param(nn.Conv2d(3, 4, 5), (1, 8, 8), ValueError, "needs 3 input channels", id="channels"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(model, shape, error, text):
    with pytest.raises(error) as raised:
        model.summary(shape)
    assert text in str(raised.value)


def test_trace_gives_every_output(backend, rng):
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()).eval()
    x = rng.standard_normal((3, 1, 6, 6)).astype(np.float32)
    with use_backend(backend):
        steps = nn.trace(model, x)
        assert [step.name for step in steps] == ["", "0", "1", "2", "3"]
        assert [step.module for step in steps] == [model, *model.layers]
        for step, layer in zip(steps[1:], model, strict=True):
            np.testing.assert_array_equal(step.x, x)
            x = layer(x)
            np.testing.assert_array_equal(step.y, x)
        np.testing.assert_array_equal(steps[0].y, x)


def test_the_table_in_a_notebook(monkeypatch, capsys):
    class Own(nn.Module):
        def forward_native(self, x, backend):
            return x

    model = nn.Sequential({"a<b": nn.Residual(nn.Linear(3, 3)), "own": Own()})
    summary = nn.summarize(model, (3,))
    rows = [re.findall(r">([^<]*)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", summary._repr_html_())]
    assert rows[0] == ["layer", "output", "parameters", "multiply-adds", "memory, kB"]
    assert [row[0] for row in rows[1:]] == [
        "Sequential", "a&lt;b: Residual", "body: Linear", "shortcut: Identity", "own: Own", "total",
    ]  # fmt: skip
    assert rows[-1][2:4] == ["12", "9"]
    assert "<p>layer by layer: own (Own is a user-defined class)</p>" in summary._repr_html_()
    assert repr(summary) == str(summary)
    shown = []
    ipython = SimpleNamespace(get_ipython=lambda: True, display=SimpleNamespace(display=shown.append))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    model.summary((3,))
    ipython.get_ipython = lambda: None  # imported, but not in an IPython shell
    assert capsys.readouterr().out == ""
    model.summary((3,))
    assert capsys.readouterr().out == f"{summary}\n"
    assert shown == [summary]
