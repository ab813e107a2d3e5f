"""Single operations of fastcnn, as they run in training: layers in the native layout, losses and optimizers.

They use only what a custom layer or a training loop may use, so that revisions can be compared.
"""

from collections.abc import Callable

import numpy as np

from fastcnn import backends, models, nn, optim

LAYERS: dict[str, tuple[Callable, tuple[int, ...]]] = {  # name: how to make it from a Generator; shape of the input
    "conv2d 3x3, Winograd": (lambda rng: nn.Conv2d(32, 32, 3, padding=1, rng=rng), (64, 32, 16, 16)),
    "conv2d 3x3, stride 2": (lambda rng: nn.Conv2d(16, 32, 3, 2, padding=1, rng=rng), (64, 16, 32, 32)),
    "conv2d 5x5": (lambda rng: nn.Conv2d(6, 16, 5, rng=rng), (128, 6, 14, 14)),
    "conv2d 5x5, one channel": (lambda rng: nn.Conv2d(1, 6, 5, rng=rng), (128, 1, 32, 32)),
    "conv2d 1x1": (lambda rng: nn.Conv2d(64, 64, 1, rng=rng), (64, 64, 14, 14)),
    "conv2d 3x3, depthwise": (lambda rng: nn.Conv2d(32, 32, 3, padding=1, groups=32, rng=rng), (64, 32, 32, 32)),
    "conv_transpose2d 4x4": (lambda rng: nn.ConvTranspose2d(16, 8, 4, 2, padding=1, rng=rng), (64, 16, 14, 14)),
    "linear": (lambda rng: nn.Linear(400, 120, rng=rng), (512, 400)),
    "max_pool2d 2x2": (lambda _: nn.MaxPool2d(2), (128, 16, 28, 28)),
    "max_pool2d 3x3, stride 2": (lambda _: nn.MaxPool2d(3, 2, padding=1), (128, 16, 28, 28)),
    "avg_pool2d 2x2": (lambda _: nn.AvgPool2d(2), (128, 16, 28, 28)),
    "adaptive_avg_pool2d": (lambda _: nn.AdaptiveAvgPool2d(1), (128, 64, 16, 16)),
    "upsample": (lambda _: nn.Upsample(scale_factor=2), (64, 16, 14, 14)),
    "batch_norm": (lambda _: nn.BatchNorm2d(32), (64, 32, 32, 32)),
    "group_norm": (lambda _: nn.GroupNorm(8, 32), (64, 32, 32, 32)),
    "layer_norm": (lambda _: nn.LayerNorm(256), (512, 256)),
    "dropout": (lambda rng: nn.Dropout(rng=rng), (128, 1024)),
    **{
        name.lower(): (lambda _, name=name: getattr(nn, name)(), (128, 16, 28, 28))
        for name in (
            "ReLU", "LeakyReLU", "PReLU", "ELU", "SiLU", "GELU", "Mish", "Hardswish", "Softplus", "Tanh", "Sigmoid",
            "Softmax",
        )
    },
}  # fmt: skip
PASSES = "forward", "backward"
CLASSES = "CrossEntropyLoss", "NLLLoss"  # losses whose targets are classes; those of the others are numbers
LOSSES = *CLASSES, "MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCEWithLogitsLoss"
OPTIMIZERS: dict[str, Callable] = {
    "SGD": lambda parameters: optim.SGD(parameters, 1e-3, momentum=0.9, weight_decay=1e-4),
    "Adam": lambda parameters: optim.Adam(parameters, 1e-3),
    "AdamW": lambda parameters: optim.AdamW(parameters, 1e-3),
    "RMSprop": lambda parameters: optim.RMSprop(parameters, 1e-3, momentum=0.9),
    "Muon": lambda parameters: optim.Muon(parameters, 1e-3),
}


def layer(name: str, which: str):
    """Make a pass of a layer; the backward pass returns the gradients of the input and of all parameters."""
    make, shape = LAYERS[name]
    rng, backend = np.random.default_rng(0), backends.load("numba")
    module, x = make(rng), backend.pack(rng.standard_normal(shape, np.float32))

    def forward():
        return module.forward_native(x, backend)

    y = backend.unpack(forward())
    dy = backend.pack(rng.standard_normal(y.shape, np.float32))

    def backward():
        module.zero_grad()
        dx = module.backward_native(dy, backend, True)
        return dx, *(parameter.grad for parameter in module.parameters())

    return forward if which == "forward" else backward


def loss(name: str, which: str):
    """Make a loss or its gradient."""
    rng, criterion = np.random.default_rng(0), getattr(nn, name)()
    shape = (512, 100) if name in CLASSES else (512, 1024)
    x = rng.standard_normal(shape, np.float32)
    target = rng.integers(100, size=512) if name in CLASSES else rng.random(shape, np.float32)
    criterion(x, target)
    return (lambda: criterion(x, target)) if which == "forward" else criterion.backward


def update(name: str):
    """Make a step of an optimizer on the parameters of ResNet-20; it returns them."""
    rng = np.random.default_rng(0)
    parameters = [*models.build("resnet20", rng=rng).parameters()]
    optimizer = OPTIMIZERS[name](parameters)
    for parameter in parameters:
        parameter.grad = rng.standard_normal(parameter.data.shape, np.float32)

    def step():
        optimizer.step()
        return [parameter.data for parameter in parameters]

    return step
