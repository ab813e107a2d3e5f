"""The nets of `_nets` in PyTorch, with the same names of weights; imports only PyTorch, so that starts can be timed."""

from torch.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    Identity,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from torch.nn.functional import pad


def lenet5() -> Sequential:
    return Sequential(
        Conv2d(1, 6, 5), ReLU(), MaxPool2d(2),
        Conv2d(6, 16, 5), ReLU(), MaxPool2d(2),
        Conv2d(16, 120, 5), ReLU(), Flatten(),
        Linear(120, 84), ReLU(), Linear(84, 10),
    )  # fmt: skip


def conv8_conv16() -> Sequential:
    return Sequential(
        Conv2d(1, 8, 3, padding=1), ReLU(), MaxPool2d(2),
        Conv2d(8, 16, 3, padding=1), ReLU(), MaxPool2d(2),
        Flatten(), Linear(16 * 49, 10),
    )  # fmt: skip


def resnet20() -> Sequential:
    return Sequential(
        Conv2d(3, 16, 3, 1, 1, bias=False), BatchNorm2d(16), ReLU(),
        _block(16, 16), _block(16, 16), _block(16, 16), _block(16, 32), _block(32, 32), _block(32, 32),
        _block(32, 64), _block(64, 64), _block(64, 64),
        Sequential(AdaptiveAvgPool2d(1), Flatten()), Linear(64, 10),
    )  # fmt: skip


def vgg_batch_norm() -> Sequential:
    layers: list[Module] = []
    for C, O in ((3, 32), (32, 64), (64, 128)):
        for before in (C, O):
            layers += Conv2d(before, O, 3, padding=1, bias=False), BatchNorm2d(O), ReLU()
        layers.append(MaxPool2d(2))
    return Sequential(*layers, Flatten(), Linear(128 * 16, 10))


def six_layers() -> Sequential:
    layers: list[Module] = []
    for C in (3, 32, 32, 32, 32, 32):
        layers += Conv2d(C, 32, 3, padding=1), ReLU()
    return Sequential(*layers, AdaptiveAvgPool2d(1), Flatten(), Linear(32, 10))


def separable() -> Sequential:
    layers: list[Module] = [Conv2d(3, 32, 3, padding=1, bias=False), BatchNorm2d(32), ReLU()]
    for _ in range(4):
        layers += _separable(32, 32, 1)
    return Sequential(*layers, AdaptiveAvgPool2d(1), Flatten(), Linear(32, 10))


def small_mobilenet() -> Sequential:
    return Sequential(
        Conv2d(3, 32, 3, padding=1, bias=False), BatchNorm2d(32), ReLU(),
        _separable(32, 64, 1), _separable(64, 128, 2), _separable(128, 128, 1), _separable(128, 256, 2),
        _separable(256, 256, 1), Sequential(AdaptiveAvgPool2d(1), Flatten()), Linear(256, 10),
    )  # fmt: skip


class _Residual(Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class _Pad(Module):
    def forward(self, x):
        return pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))


def _separable(C, O, stride):
    return Sequential(
        Conv2d(C, C, 3, stride, 1, groups=C, bias=False), BatchNorm2d(C), ReLU(),
        Conv2d(C, O, 1, bias=False), BatchNorm2d(O), ReLU(),
    )  # fmt: skip


def _block(C, O):
    stride = O // C
    body = Sequential(
        Conv2d(C, O, 3, stride, 1, bias=False), BatchNorm2d(O), ReLU(),
        Conv2d(O, O, 3, 1, 1, bias=False), BatchNorm2d(O),
    )  # fmt: skip
    return Sequential(_Residual(body, _Pad() if stride > 1 else Identity()), ReLU())
