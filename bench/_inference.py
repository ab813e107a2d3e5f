"""Inference of LeNet-5 and ResNet-20 in each library, with the same weights and images."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import _nets
import numpy as np

from fastcnn import interop, models, nn, use_backend


def model(name: str) -> nn.Module:
    """Make the net in evaluation mode: initial weights, and running statistics as if it had been trained."""
    net, rng = models.build(name, rng=np.random.default_rng(0)), np.random.default_rng(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.data[...] = rng.normal(0, 0.1, module.num_features)
            module.running_var.data[...] = rng.uniform(0.5, 1.5, module.num_features)
    return net.eval()


def images(name: str, N: int) -> np.ndarray:
    """Draw N random images for the net."""
    return np.random.default_rng(2).standard_normal((N, *model(name).input_shape), np.float32)


def compiled(name: str, N: int):
    """Make a function that computes the logits of N images by compiled inference."""
    infer, x = model(name).compile_inference(), images(name, N)
    return lambda: infer(x)


def as_it_is(name: str, N: int):
    """Make a function that computes the logits of N images by calling the model."""
    net, x = model(name), images(name, N)
    return lambda: net(x)


def pytorch(name: str, N: int):
    """Make the same function in PyTorch, eager."""
    import torch

    net, x = twin(name), torch.from_numpy(images(name, N))

    def infer():
        with torch.inference_mode():
            return net(x)

    return infer


def pytorch_optimized(name: str, N: int):
    """Make the same function in PyTorch, traced, frozen and passed to ``optimize_for_inference``."""
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
    """Make the same function in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx(name), options, providers=["CPUExecutionProvider"])
    x = images(name, N)
    return lambda: session.run(None, {"input": x})


def numpy_logits(name: str, N: int) -> np.ndarray:
    """Compute the expected logits with the "numpy" backend."""
    with use_backend("numpy"):
        return as_it_is(name, N)()


def twin(name: str):
    """Make the net in PyTorch, with the same weights, in evaluation mode."""
    return _nets.twin(name, model(name).state_dict()).eval()


def onnx(name: str) -> bytes:
    """Export the net as an ONNX model."""
    with TemporaryDirectory() as folder:
        interop.to_onnx(model(name), Path(folder, "net.onnx"))
        return Path(folder, "net.onnx").read_bytes()
