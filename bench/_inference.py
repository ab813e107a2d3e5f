"""LeNet-5 and ResNet-20 as each library would run them: the same weights and images."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import _lenet5
import numpy as np

from fastcnn import interop, models, nn, use_backend


def model(name: str) -> nn.Module:
    """The net with its first weights, its batch normalizations as if it had been trained, in evaluation mode."""
    net, rng = models.build(name, rng=np.random.default_rng(0)), np.random.default_rng(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.data[...] = rng.normal(0, 0.1, module.num_features)
            module.running_var.data[...] = rng.uniform(0.5, 1.5, module.num_features)
    return net.eval()


def images(name: str, N: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((N, *model(name).input_shape), np.float32)


def compiled(name: str, N: int):
    """Logits of N images by compiled inference."""
    infer, x = model(name).compile_inference(), images(name, N)
    return lambda: infer(x)


def as_it_is(name: str, N: int):
    """Logits of N images by the model itself."""
    net, x = model(name), images(name, N)
    return lambda: net(x)


def pytorch(name: str, N: int):
    """The same in PyTorch, eager."""
    import torch

    net, x = twin(name), torch.from_numpy(images(name, N))

    def infer():
        with torch.inference_mode():
            return net(x)

    return infer


def pytorch_optimized(name: str, N: int):
    """The same in PyTorch, traced, frozen and by its own word optimized for inference."""
    import torch

    x = torch.from_numpy(images(name, N))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(twin(name), x)))

    def infer():
        with torch.inference_mode():
            return net(x)

    return infer


def onnx_runtime(name: str, N: int, threads: int):
    """The same in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx(name), options, providers=["CPUExecutionProvider"])
    x = images(name, N)
    return lambda: session.run(None, {"input": x})


def numpy_logits(name: str, N: int) -> np.ndarray:
    """The logits that every library must find: those of the "numpy" backend."""
    with use_backend("numpy"):
        return as_it_is(name, N)()


def twin(name: str):
    """The net in PyTorch, with the same weights, in evaluation mode."""
    import torch

    net = {"lenet5": _lenet5.torch_lenet5, "resnet20": torch_resnet20}[name]()
    net.load_state_dict({key: torch.from_numpy(array) for key, array in model(name).state_dict().items()})
    return net.eval()


def torch_resnet20():
    """`fastcnn.models.ResNet20` in PyTorch, with the names of its weights."""
    import torch
    from torch.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Identity, Linear, ReLU, Sequential

    class Residual(torch.nn.Module):
        def __init__(self, body, shortcut):
            super().__init__()
            self.body, self.shortcut = body, shortcut

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    class Pad(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))

    def block(C, O):
        stride = O // C
        body = Sequential(
            Conv2d(C, O, 3, stride, 1, bias=False), BatchNorm2d(O), ReLU(),
            Conv2d(O, O, 3, 1, 1, bias=False), BatchNorm2d(O),
        )  # fmt: skip
        return Sequential(Residual(body, Pad() if stride > 1 else Identity()), ReLU())

    return Sequential(
        Conv2d(3, 16, 3, 1, 1, bias=False), BatchNorm2d(16), ReLU(),
        block(16, 16), block(16, 16), block(16, 16), block(16, 32), block(32, 32), block(32, 32),
        block(32, 64), block(64, 64), block(64, 64),
        Sequential(AdaptiveAvgPool2d(1), Flatten()), Linear(64, 10),
    )  # fmt: skip


def onnx(name: str) -> bytes:
    """The net as an ONNX model, as fastcnn exports it."""
    with TemporaryDirectory() as folder:
        interop.to_onnx(model(name), Path(folder, "net.onnx"))
        return Path(folder, "net.onnx").read_bytes()
