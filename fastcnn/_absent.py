"""Names of PyTorch that fastcnn does not have, and what to use instead."""

import sys
from collections.abc import Callable
from typing import Any

from fastcnn._names import did_you_mean

_NUMPY = "it works on NumPy arrays, so create and join them with NumPy's own functions"
PROCESSOR = "it computes on CPU threads, so leave it out"
_IMAGES = "its layers are for images and signals: convolution, pooling, normalization and linear layers"
_OWN_LAYER = "write a layer of your own, with `forward` and `backward` in NumPy; see `fastcnn.nn.Module`"
_INDEX = "index the arrays instead: `order = rng.permutation(len(x))`, `x[order[:800]]`, `labels[order[:800]]`"

_BY_MODULE: dict[str, dict[tuple[str, ...], str]] = {
    "fastcnn": {
        (
            "Tensor",
            "arange",
            "as_tensor",
            "cat",
            "from_numpy",
            "ones",
            "rand",
            "randn",
            "stack",
            "tensor",
            "zeros",
        ): _NUMPY,
        ("float", "float32", "float64", "int64", "long"): "dtypes are NumPy's: `np.float32`, `np.float64`, `np.int64`",
        (
            "enable_grad",
            "inference_mode",
            "no_grad",
        ): "only `model.backward` computes gradients, so leave it out; "
        "`model.compile_inference()` prepares a trained model for inference",
        ("Generator", "manual_seed"): "pass `rng=np.random.default_rng(0)` to whatever draws random numbers",
        ("autograd",): "gradients are explicit: `model.backward(loss.backward())`",
        ("cuda", "device"): PROCESSOR,
        ("compile", "jit"): "every pass is compiled when it first runs",
        ("load",): "use `fastcnn.training.load_weights(model, path)`",
        ("save",): "use `fastcnn.training.save_weights(model, path)`",
        ("onnx",): "use `fastcnn.interop.to_onnx(model, path)`",
        ("utils",): "`DataLoader` and `Dataset` are in `fastcnn.data`",
    },
    "fastcnn.nn": {
        ("functional",): "use `fastcnn.functional`: `from fastcnn import functional as F`",
        (
            "utils",
        ): "gradients are clipped by `fastcnn.optim.clip_grad_norm(parameters, max_norm)` and `clip_grad_value`",
        ("BCELoss",): "use `BCEWithLogitsLoss` on the logits, without the sigmoid; it is more accurate",
        (
            "LogSoftmax",
        ): "`CrossEntropyLoss` takes the logits themselves; the operation is `fastcnn.functional.log_softmax`",
        ("KLDivLoss",): "`CrossEntropyLoss` with probabilities as targets has the same gradient",
        ("DataParallel",): "`Trainer(..., distributed=MPI.COMM_WORLD)` divides each batch among processes",
        ("SyncBatchNorm",): "use `fastcnn.distributed.convert_sync_batch_norm(model)`",
        ("InstanceNorm1d",): "use `GroupNorm(C, C)`",
        (
            "PixelShuffle",
            "UpsamplingBilinear2d",
            "UpsamplingNearest2d",
        ): "`Upsample` and `ConvTranspose2d` make images larger",
        (
            "Conv3d",
            "MaxPool3d",
            "BatchNorm3d",
            "Embedding",
            "GRU",
            "LSTM",
            "MultiheadAttention",
            "RNN",
            "Transformer",
        ): _IMAGES,
        ("LazyConv2d", "LazyLinear"): "give the sizes; `model.summary((C, H, W))` shows the output shape of each layer",
        (
            "AlphaDropout",
            "CELU",
            "Hardsigmoid",
            "Hardtanh",
            "LogSigmoid",
            "ReLU6",
            "SELU",
            "Softsign",
            "Threshold",
        ): _OWN_LAYER,
        (
            "CTCLoss",
            "CosineEmbeddingLoss",
            "PoissonNLLLoss",
            "TripletMarginLoss",
        ): "write a loss of your own: an object that returns a number when called, and its gradient from `backward()`",
    },
    "fastcnn.functional": {
        ("one_hot",): "targets are class indices; `np.eye(C, dtype=np.float32)[labels]` turns them into probabilities",
        ("binary_cross_entropy",): "use `binary_cross_entropy_with_logits` on the logits, without the sigmoid",
        ("unfold",): "use `np.lib.stride_tricks.sliding_window_view`",
    },
    "fastcnn.optim": {
        ("lr_scheduler",): "schedules are in `fastcnn.optim` itself, for example `optim.StepLR`",
        ("LambdaLR", "LRScheduler", "MultiplicativeLR"): "derive from `optim.Schedule` and define `_rate(first)`",
        ("swa_utils",): "`optim.ExponentialMovingAverage` averages weights",
        (
            "Adadelta",
            "Adagrad",
            "Adamax",
            "LBFGS",
            "NAdam",
            "RAdam",
        ): "its optimizers are SGD, Adam, AdamW, RMSprop and Muon",
    },
    "fastcnn.data": {
        ("TensorDataset",): "`DataLoader(x, labels, batch_size)` takes arrays",
        ("ConcatDataset",): "join the arrays with `np.concatenate`",
        ("Subset", "random_split"): _INDEX,
        ("CIFAR10", "FashionMNIST", "KMNIST", "MNIST"): "functions load the data sets: `data.mnist()`, "
        '`data.cifar10()`, or `data.load("mnist")`',
    },
}

ABSENT = {
    module: {name: sentence for names, sentence in named.items() for name in names}
    for module, named in _BY_MODULE.items()
}
"""For each module and missing name, the end of the error message."""


def say(module: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a module; its error says what to use instead of the missing name."""

    def __getattr__(name: str) -> Any:
        why = ABSENT.get(module, {}).get(name)
        if why:
            raise AttributeError(f"{module} has no `{name}`: {why}.", name=name)
        meant = did_you_mean(name, sys.modules[module].__all__)
        raise AttributeError(f"module {module!r} has no attribute {name!r}{meant}", name=name)

    return __getattr__
