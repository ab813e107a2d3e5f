"""Which consecutive layers are computed as one."""

import pytest

from fastcnn import nn
from fastcnn.nn import fusion

CONV, POOL, RELU, LINEAR, NORM = nn.Conv2d(2, 2, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Linear(2, 2), nn.BatchNorm2d(2)
CHAINS = {
    "a pooling": ([CONV, POOL, LINEAR], ["ConvMaxPool", "Linear"]),
    "ReLU and a pooling": ([CONV, RELU, POOL, LINEAR], ["ConvMaxPool", "Linear"]),
    "ReLU": ([CONV, RELU, LINEAR, RELU, LINEAR], ["WithReLU", "WithReLU", "Linear"]),
    "ReLU at the end": ([LINEAR, RELU], ["WithReLU"]),
    "two ReLUs": ([CONV, RELU, RELU, POOL], ["WithReLU", "ReLU", "MaxPool2d"]),
    "a normalization": ([CONV, NORM, RELU, POOL], ["Conv2d", "NormReLU", "MaxPool2d"]),
    "a normalization of rows": ([LINEAR, nn.BatchNorm1d(2), RELU, LINEAR], ["Linear", "NormReLU", "Linear"]),
    "a normalization of images": ([nn.GroupNorm(1, 2), RELU, CONV], ["WithReLU", "Conv2d"]),
    "signals": ([nn.Conv1d(2, 2, 3), RELU, nn.MaxPool1d(2)], ["ConvMaxPool"]),
    "a pooling of other axes": ([CONV, nn.MaxPool1d(2)], ["Conv2d", "MaxPool1d"]),
    "another padding": ([nn.Conv2d(2, 2, 3, padding_mode="reflect"), RELU, POOL], ["WithReLU", "MaxPool2d"]),
    "another activation": ([CONV, nn.Tanh(), POOL], ["Conv2d", "Tanh", "MaxPool2d"]),
    "nothing before ReLU": ([RELU, CONV], ["ReLU", "Conv2d"]),
}


@pytest.mark.parametrize(("layers", "expected"), CHAINS.values(), ids=CHAINS)
def test_units(layers, expected):
    assert [type(unit).__name__ for unit in fusion.fuse(tuple(layers))] == expected
