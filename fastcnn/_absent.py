"""What PyTorch has under a name that fastcnn has not, and what does it here."""

from collections.abc import Callable
from typing import Any

_NUMPY = "what it takes and returns are NumPy arrays, so NumPy's own functions make and join them"
_PROCESSOR = "it computes on the processor's threads, so leave it out"
_IMAGES = "its networks are of images and signals: convolutions, poolings, normalizations and linear layers"
_OWN_LAYER = "a layer of one's own, `forward` and `backward` in NumPy, does it; see `fastcnn.nn.Module`"
_INDEX = "arrays are indexed: `order = rng.permutation(len(x))`, `x[order[:800]]`, `labels[order[:800]]`"

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
        ): "nothing is kept for a gradient but what `model.backward` needs, so "
        "leave it out; `model.compile_inference()` makes a trained model ready to answer",
        ("Generator", "manual_seed"): "what draws takes `rng=np.random.default_rng(0)`",
        ("autograd",): "gradients are explicit: `model.backward(loss.backward())`",
        ("cuda", "device"): _PROCESSOR,
        ("compile", "jit"): "all passes are compiled when they first run",
        ("load",): "`fastcnn.training.load_weights(model, path)` does it",
        ("save",): "`fastcnn.training.save_weights(model, path)` does it",
        ("onnx",): "`fastcnn.interop.to_onnx(model, path)` does it",
        ("utils",): "`DataLoader` and `Dataset` are in `fastcnn.data`",
    },
    "fastcnn.nn": {
        ("functional",): "it is `fastcnn.functional`: `from fastcnn import functional as F`",
        (
            "utils",
        ): "`fastcnn.optim.clip_grad_norm(parameters, max_norm)` and `clip_grad_value` are with the optimizers",
        ("BCELoss",): "`BCEWithLogitsLoss` takes what stands before the sigmoid, and loses no digits",
        (
            "LogSoftmax",
        ): "`CrossEntropyLoss` takes what stands before it; `fastcnn.functional.log_softmax` is the operation",
        ("KLDivLoss",): "`CrossEntropyLoss` of probabilities has the same gradient",
        ("DataParallel",): "`Trainer(..., distributed=MPI.COMM_WORLD)` shares out each batch",
        ("SyncBatchNorm",): "`fastcnn.distributed.convert_sync_batch_norm(model)` does it",
        ("InstanceNorm1d",): "`GroupNorm(C, C)` does it",
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
        ("LazyConv2d", "LazyLinear"): "sizes are given; `model.summary((C, H, W))` shows what each layer makes",
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
        ): "a loss is any object whose call returns a number and whose `backward()` returns its gradient",
    },
    "fastcnn.functional": {
        ("one_hot",): "targets are classes; `np.eye(C, dtype=np.float32)[labels]` makes probabilities of them",
        ("binary_cross_entropy",): "`binary_cross_entropy_with_logits` takes what stands before the sigmoid",
        ("unfold",): "`np.lib.stride_tricks.sliding_window_view` does it",
    },
    "fastcnn.optim": {
        ("lr_scheduler",): "schedules are beside the optimizers: `optim.StepLR`",
        ("LambdaLR", "LRScheduler", "MultiplicativeLR"): "a class derived from `optim.Schedule` defines `_rate(first)`",
        ("swa_utils",): "`optim.ExponentialMovingAverage` averages weights",
        ("Adadelta", "Adagrad", "Adamax", "LBFGS", "NAdam", "RAdam"): "there are SGD, Adam, AdamW and RMSprop",
    },
    "fastcnn.data": {
        ("TensorDataset",): "`DataLoader(x, labels, batch_size)` takes arrays",
        ("ConcatDataset",): "`np.concatenate` joins arrays",
        ("Subset", "random_split"): _INDEX,
        ("CIFAR10", "FashionMNIST", "KMNIST", "MNIST"): "the sets are functions: `data.mnist()`, `data.cifar10()`, or "
        '`data.load("mnist")`',
    },
}

ABSENT = {
    module: {name: sentence for names, sentence in named.items() for name in names}
    for module, named in _BY_MODULE.items()
}
"""By module and name, the rest of the sentence."""


def say(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module: an error that says what does what PyTorch's name does."""

    def __getattr__(name: str) -> Any:
        why = ABSENT[module].get(name)
        said = f"{module} has no `{name}`: {why}." if why else f"module {module!r} has no attribute {name!r}"
        raise AttributeError(said, name=name)

    return __getattr__
