"""A name that is looked up in vain is answered with the known names, and with the one that was probably meant."""

import re

import numpy as np
import pytest

import fastcnn
from fastcnn import data, models, nn, optim, plotting, training
from fastcnn._names import similar

IMAGES = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32)
MODEL = nn.Sequential({"conv": nn.Conv2d(1, 2, 3), "flatten": nn.Flatten(), "head": nn.Linear(8, 2)})


@pytest.fixture(autouse=True)
def _backend():
    with fastcnn.use_backend("numpy"):
        yield


def fit(callback: training.Callback) -> None:
    optimizer = optim.SGD(MODEL.parameters(), lr=0.1)
    loader = data.DataLoader(IMAGES, np.zeros(2, int), 2)
    training.Trainer(MODEL, optimizer, nn.CrossEntropyLoss(), callbacks=[callback]).fit(loader, epochs=1)


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("vgg", ["vgg7", "vgg_16"], ["vgg7"]),
        ("Image_Size", ["batch-size", "image-size"], ["image-size"]),
        ("AvgPool3d", ["AvgPool1d", "AvgPool2d", "MaxPool2d"], ["AvgPool1d", "AvgPool2d"]),
        ("opt", ["optimizer", "lr"], ["optimizer"]),
        ("op", ["optimizer", "lr"], []),
        ("9.weight", ["0.weight", "3.weight", "6.weight"], []),
        ("weight-decay", ["weights", "epochs"], []),
        ("_epochs", ["epochs"], []),
        ("2", [1, 3], []),
        (None, ["none", "mean"], ["none"]),
        ("name", [], []),
    ],
)
def test_similar_names(name, known, meant):
    assert similar(name, known) == meant


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: models.build("LeNet6"), "'lenet5'"),
        (lambda: models.build("lenet5", poolin="avg"), "pooling"),
        (lambda: models.LeNet5(activation="Relu"), "'relu'"),
        (lambda: fastcnn.set_backend("nunba"), "'numba'"),
        (lambda: fastcnn.set_convolution("directly"), "'direct'"),
        (lambda: data.load("fashionmnist"), "fashion-mnist"),
        (lambda: nn.Sequential(nn.Residual(nn.ReLU())).get_submodule("0.boddy"), "'0.body'"),
        (lambda: nn.grad_cam(MODEL, IMAGES, layer="convv"), "'conv'"),
        (lambda: plotting.plot_feature_maps(MODEL, IMAGES[0], "convv"), "'conv'"),
        (lambda: nn.init.calculate_gain("rellu"), "'relu'"),
        (lambda: optim.SGD([{"params": MODEL.parameters(), "momentm": 1}], lr=1), "'momentum'"),
        (lambda: training.Scores(2, 0.5, {"recall": 0.5}, ()).recal, "recall"),
        (lambda: fit(training.EarlyStopping(1, "train_acuracy")), "'train_accuracy'"),
    ],
)
def test_it_is_suggested(call, meant):
    with pytest.raises((AttributeError, ValueError), match=rf" \(did you mean {re.escape(meant)}\?\)"):
        call()
