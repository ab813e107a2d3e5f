"""All options of the package accept the same values as integers, numbers, pairs and flags.

The options are found by the annotations of all public functions and classes, so none can be left out.
"""

import importlib
import inspect
import re

import numpy as np
import pytest

from fastcnn import data, functional, interop, models, nn, optim, training
from fastcnn._geometry import OutputLength, OutputSize, Padding, Pair, Sides, Single
from fastcnn.data import augment
from fastcnn.testing import optimizers

MODULES = ("nn", "nn.init", "functional", "optim", "data", "data.augment", "models", "training", "interop")


def images(*shape):
    return np.random.default_rng(0).standard_normal(shape)


X, ROWS, WEIGHT = images(2, 4, 6, 6), images(4, 5), images(4, 4, 3, 3)
PLACES = np.zeros((2, 4, 1, 1), np.int64)
SIGNALS, TAPS = images(2, 4, 6), images(4, 4, 3)
LABELS = np.array([0, 1, 2, 3])
PIXELS = np.full((4, 1, 8, 8), 9, np.uint8)
STATISTICS = {"mean": np.zeros(4), "invstd": np.ones(4)}
GREY = data.Preprocessing(8, (0.5,), (0.5,))


def rng():
    return np.random.default_rng(0)


def parameters():
    weight = nn.Parameter(np.ones(3))
    weight.grad = np.ones(3)
    return [weight]


def sgd():
    return optim.SGD(parameters(), 0.1)


def sequence():
    optimizer = sgd()
    return {"optimizer": optimizer, "schedulers": [optim.LinearLR(optimizer)], "milestones": []}


def drawn(**options):
    return lambda: {"rng": rng(), **options}


def trainer():
    model = nn.Linear(5, 5, rng=rng())
    return {"model": model, "optimizer": optim.SGD(model.parameters(), 0.1), "loss": nn.CrossEntropyLoss()}


def on(make, **options):
    return lambda: {make.__name__.replace("sgd", "optimizer").replace("parameters", "params"): make(), **options}


CONV = {"in_channels": 4, "out_channels": 4, "kernel_size": 3}
BY_SIGNALS = {"dy": images(2, 4, 1), "x_shape": (2, 4, 6)}
BY_X = {"dy": images(2, 4, 1, 1), "x_shape": (2, 4, 6, 6)}
CLASSES, DIGITS = {"logits": ROWS, "target": LABELS}, {"x": ROWS, "target": LABELS}
PAIR = {"x": ROWS, "target": -ROWS}

CALLS = {
    nn.ELU: {}, nn.LeakyReLU: {}, nn.ScaledTanh: {}, nn.Softmax: {}, nn.Softplus: {}, nn.PReLU: {}, nn.Dropout: {},
    nn.Dropout2d: {},
    nn.AdaptiveAvgPool1d: {"output_size": 1}, nn.AdaptiveMaxPool1d: {"output_size": 1},
    nn.AvgPool1d: {"kernel_size": 2}, nn.MaxPool1d: {"kernel_size": 2},
    nn.Conv1d: drawn(**CONV), nn.ConvTranspose1d: drawn(**CONV),
    nn.ReLU: {}, nn.SiLU: {}, nn.Hardswish: {}, nn.Mish: {}, nn.Flatten: {},
    nn.Unflatten: {"dim": 1, "unflattened_size": (2, 3, 4)},
    nn.AdaptiveAvgPool2d: {"output_size": 1}, nn.AdaptiveMaxPool2d: {"output_size": 1},
    nn.AvgPool2d: {"kernel_size": 2}, nn.MaxPool2d: {"kernel_size": 2},
    nn.BatchNorm1d: {"num_features": 4}, nn.BatchNorm2d: {"num_features": 4},
    nn.GroupNorm: {"num_groups": 1, "num_channels": 4}, nn.InstanceNorm2d: {"num_features": 4},
    nn.LayerNorm: {"normalized_shape": 4},
    nn.Conv2d: drawn(**CONV), nn.ConvTranspose2d: drawn(**CONV),
    nn.DepthwiseSeparableConv2d: drawn(in_channels=4, out_channels=4),
    nn.Linear: drawn(in_features=4, out_features=4), nn.ResizeChannels: {"channels": 4},
    nn.CrossEntropyLoss: {}, nn.NLLLoss: {}, nn.SmoothL1Loss: {}, nn.HuberLoss: {}, nn.Inference: {"model": nn.ReLU()},
    nn.init.kaiming_normal_: drawn(parameter=nn.Parameter(np.ones((2, 3)))),
    nn.init.kaiming_uniform_: drawn(parameter=nn.Parameter(np.ones((2, 3)))),
    nn.init.xavier_normal_: drawn(parameter=nn.Parameter(np.ones((2, 3)))),
    nn.init.xavier_uniform_: drawn(parameter=nn.Parameter(np.ones((2, 3)))),
    nn.init.normal_: drawn(parameter=nn.Parameter(np.ones((2, 3)))),
    nn.init.uniform_: drawn(parameter=nn.Parameter(np.ones((2, 3))), a=-9.0, b=9.0),
    nn.init.constant_: {"parameter": nn.Parameter(np.ones((2, 3))), "val": 1.0},
    nn.init.calculate_gain: {"nonlinearity": "leaky_relu"},
    functional.adaptive_avg_pool1d: {"x": SIGNALS, "output_size": 1},
    functional.adaptive_max_pool1d: {"x": SIGNALS, "output_size": 1},
    functional.avg_pool1d: {"x": SIGNALS, "kernel_size": 6}, functional.max_pool1d: {"x": SIGNALS, "kernel_size": 6},
    functional.avg_pool1d_backward: {**BY_SIGNALS, "kernel_size": 6},
    functional.max_pool1d_backward: {**BY_SIGNALS, "indices": PLACES[..., 0], "kernel_size": 6},
    functional.conv1d: {"x": SIGNALS, "weight": TAPS},
    functional.conv1d_backward: {"dy": images(2, 4, 4), "x": SIGNALS, "weight": TAPS},
    functional.conv_transpose1d: {"x": SIGNALS, "weight": TAPS},
    functional.conv_transpose1d_backward: {"dy": images(2, 4, 8), "x": SIGNALS, "weight": TAPS},
    functional.adaptive_avg_pool2d: {"x": X, "output_size": 1},
    functional.adaptive_max_pool2d: {"x": X, "output_size": 1},
    functional.avg_pool2d: {"x": X, "kernel_size": 6}, functional.max_pool2d: {"x": X, "kernel_size": 6},
    functional.avg_pool2d_backward: {**BY_X, "kernel_size": 6},
    functional.max_pool2d_backward: {**BY_X, "indices": PLACES, "kernel_size": 6},
    functional.batch_norm: {"x": X, "running_mean": np.zeros(4), "running_var": np.ones(4)},
    functional.batch_norm_backward: {"dy": X, "x": X, **STATISTICS},
    functional.group_norm: {"x": X, "num_groups": 2}, functional.layer_norm: {"x": X, "normalized_shape": 6},
    functional.group_norm_backward: {"dy": X, "x": X, "num_groups": 2},
    functional.layer_norm_backward: {"dy": X, "x": X, "normalized_shape": 6},
    functional.conv2d: {"x": X, "weight": WEIGHT},
    functional.conv2d_backward: {"dy": images(2, 4, 4, 4), "x": X, "weight": WEIGHT},
    functional.conv_transpose2d: {"x": X, "weight": WEIGHT},
    functional.conv_transpose2d_backward: {"dy": images(2, 4, 8, 8), "x": X, "weight": WEIGHT},
    functional.cross_entropy: CLASSES, functional.cross_entropy_backward: CLASSES,
    functional.nll_loss: DIGITS, functional.nll_loss_backward: DIGITS,
    functional.smooth_l1_loss: PAIR, functional.smooth_l1_loss_backward: PAIR,
    functional.huber_loss: PAIR, functional.huber_loss_backward: PAIR,
    functional.dropout: drawn(x=X), functional.dropout2d: drawn(x=X),
    functional.elu: {"x": X}, functional.elu_backward: {"dy": X, "x": X},
    functional.pad: {"x": X, "pad": (1, 1)}, nn.ConstantPad2d: {"padding": 1, "value": 1},
    functional.leaky_relu: {"x": X}, functional.leaky_relu_backward: {"dy": X, "x": X},
    functional.prelu_backward: {"dy": X, "x": X, "weight": np.ones(4)},
    functional.softplus: {"x": X}, functional.softplus_backward: {"dy": X, "x": X},
    functional.scaled_tanh: {"x": X}, functional.scaled_tanh_backward: {"dy": X, "y": X},
    functional.linear_backward: {"dy": images(4, 3), "x": ROWS, "weight": images(3, 5)},
    functional.softmax: {"x": ROWS}, functional.softmax_backward: {"dy": ROWS, "y": ROWS},
    functional.log_softmax: {"x": ROWS}, functional.log_softmax_backward: {"dy": ROWS, "y": ROWS},
    **dict.fromkeys(optimizers.CLASSES, on(parameters, lr=0.1)),
    optim.ExponentialMovingAverage: on(parameters),
    optim.CosineAnnealingLR: on(sgd, T_max=3), optim.ExponentialLR: on(sgd, gamma=0.5), optim.LinearLR: on(sgd),
    optim.MultiStepLR: on(sgd, milestones=[2]), optim.StepLR: on(sgd, step_size=2),
    optim.Schedule: on(sgd, every="batch"), optim.SequentialLR: sequence, nn.Parameter: {"data": np.ones(3)},
    optim.OneCycleLR: on(sgd, max_lr=0.1, total_steps=9), optim.ReduceLROnPlateau: on(sgd),
    optim.clip_grad_norm: on(parameters, max_norm=1), optim.clip_grad_value: on(parameters, clip_value=1),
    data.DataLoader: drawn(dataset=PIXELS, labels=LABELS, batch_size=2),
    data.Preprocessing: {"size": 8, "mean": (0.5,), "std": (0.5,)},
    data.waveforms: drawn(n=2),
    data.shapes: drawn(n=2, size=16),
    data.digits: {"n_train": 2, "n_test": 2}, data.pad_images: {"images": PIXELS, "padding": 2},
    augment.Cutout: {"size": 2}, augment.Elastic: {}, augment.HorizontalFlip: {}, augment.Rotation: {"degrees": 10},
    augment.PadAndCrop: {"padding": 2, "size": 8}, augment.Scale: {"low": 1, "high": 1}, augment.Shift: {"pixels": 1},
    nn.Concat: {}, nn.Parallel: {}, nn.Upsample: {"size": 2, "mode": "bilinear"},
    functional.interpolate: {"x": X, "size": 2, "mode": "bilinear"},
    functional.interpolate_backward: {"dy": X, "x_shape": X.shape, "mode": "bilinear"},
    models.residual_block: drawn(in_channels=4, out_channels=4),
    **{
        getattr(models, name): drawn()
        for name in ("MLP", "UNet", "VGG7", "Conv4Conv8", "Conv8", "LeNet5", "LeNet5Classic", "ResNet20",
                     "SignalNet", "SmallMobileNet")
    },
    training.Checkpoint: {"folder": "never made"}, training.ClipGradients: {"max_norm": 1},
    training.Metric: {"name": "accuracy"}, training.MultiLabel: {}, training.Trainer: trainer,
    training.EarlyStopping: {"patience": 3}, training.evaluate: {"model": nn.Linear(5, 5, rng=rng(), dtype=np.float64),
                                                    "images": ROWS, "labels": LABELS},
    interop.to_c: None, interop.to_onnx: None,  # they write files
    data.mnist: None, data.fashion_mnist: None, data.kmnist: None, data.cifar10: None,
    data.image_folder: None, data.ImageFolder: None,  # they access files; their flags and channels are tested below
    data.read_image: None,
}  # fmt: skip
"""The other arguments of each call, or a function that returns them."""

RECORDS = {
    nn.Step, nn.Summary, training.Epoch, training.Evaluation, training.History, training.MultiLabelScores,
    training.Scores, training.SegmentationScores,
}  # fmt: skip
"""Classes that only the package itself constructs."""

ONES = [
    np.int64(1), np.uint8(1), np.array(1), True, np.True_, 1.0, np.float32(1), np.array(1.0), "1", None,
    [1, 1], np.array([1, 1]), [1, [1]], [[1, 1], [1, 1]], (1.0, 1), (True, 1), [None, 1], np.timedelta64(1), 1 + 0j,
    (1,), [np.int32(1)], (None,),
]  # fmt: skip
WHOLE, PAIRS, SINGLES = {0: 1, 1: 1}, {10: (1, 1)}, {19: (1,), 20: (1,)}
KINDS = {  # kind of option: indices of the values above that are accepted, and their Python form
    int: WHOLE,
    float: {**WHOLE, 5: 1.0, 6: 1.0},
    bool: {3: True, 4: True},
    Pair: {**WHOLE, **PAIRS},
    Padding: {**WHOLE, **PAIRS},
    OutputSize: {**WHOLE, **PAIRS, 16: (None, 1)},
    Single: {**WHOLE, **SINGLES},
    Sides: {**WHOLE, **SINGLES, **PAIRS},
    OutputLength: {**WHOLE, **SINGLES, 21: (None,)},
}
NONE = {9: None}
KINDS |= {kind | None: {**counts, **NONE} for kind, counts in KINDS.items()}


def options(function):
    """Return the names and kinds of the options."""
    found = {name: p.annotation for name, p in inspect.signature(function).parameters.items()}
    return {name: kind for name, kind in found.items() if kind in KINDS}


def public():
    for module in MODULES:
        namespace = importlib.import_module(f"fastcnn.{module}")
        for name in getattr(namespace, "__all__", vars(namespace)):
            value = getattr(namespace, name)
            if callable(value) and value.__module__.startswith("fastcnn.") and not name.startswith("_"):
                yield value


def has_options(function) -> bool:
    errors = inspect.isclass(function) and issubclass(function, Exception)
    return not errors and bool(options(function))


OPTIONS = [
    pytest.param(function, option, kind, id=f"{function.__name__}: {option}")
    for function, given in CALLS.items()
    for option, kind in options(function).items()
    if given is not None
]


def outcome(function, option, value):
    """Return the outcome of a call: arrays as bytes, an object as its public attributes, an error with its message."""
    given = CALLS[function]
    arguments = given() if callable(given) else given
    try:
        return described(function(**{**arguments, option: value}))
    except (TypeError, ValueError) as error:
        return type(error), str(error)


PLAIN = bool, int, float, str, np.generic, type(None)


def described(result):
    if isinstance(result, np.ndarray):
        return result.dtype.str, result.shape, result.tobytes()
    if isinstance(result, tuple | list):
        return tuple(map(described, result))
    if isinstance(result, dict):
        return {name: described(item) for name, item in result.items()}
    if isinstance(result, PLAIN):
        return repr(result)
    words = repr(result) if type(result).__repr__ is not object.__repr__ else ""
    return type(result), words, {
        name: described(item) for name, item in vars(result).items()
        if not name.startswith("_") and isinstance(item, (*PLAIN, tuple, dict))
    }  # fmt: skip


def test_no_option_is_left_out():
    missing = {function for function in public() if has_options(function)} - CALLS.keys() - RECORDS
    assert not missing


@pytest.mark.parametrize(("function", "option", "kind"), OPTIONS)
def test_what_counts_is_taken_as_its_python_form_and_all_else_gets_a_sentence(function, option, kind):
    for place, value in enumerate(ONES):
        found = outcome(function, option, value)
        if place in KINDS[kind]:
            wanted = outcome(function, option, KINDS[kind][place])
            assert found == wanted or (found[0] is wanted[0] is ValueError and f"`{option}`" in found[1]), repr(value)
        else:
            assert found[0] in (TypeError, ValueError), f"{value!r} was accepted"
            assert re.search(rf"`{option}(\[\d\])?`", found[1]), f"{value!r}: {found[1]}"


@pytest.mark.parametrize("value", ["False", 1, 0, None, np.array(True), [True]], ids=repr)
@pytest.mark.parametrize("load", [data.mnist, data.fashion_mnist, data.kmnist, data.cifar10])
def test_download_is_a_flag(load, value, tmp_path):
    with pytest.raises(TypeError, match=re.escape(f"`download` must be True or False, not {value!r}.")):
        load(tmp_path, download=value)


@pytest.mark.parametrize("value", ["True", 1, None, np.array(True)], ids=repr)
def test_other_flags(value, tmp_path):
    layer = nn.Linear(2, 2, dtype=np.float64)
    with pytest.raises(TypeError, match="`mode` must be True or False, not "):
        layer.train(value)
    pytest.importorskip("onnx")
    with pytest.raises(TypeError, match="`fold_batch_norm` must be True or False, not "):
        interop.to_onnx(layer, tmp_path / "layer.onnx", (2,), fold_batch_norm=value)


@pytest.mark.parametrize("value", [True, 1.0, np.array(1), "1", [1]], ids=repr)
def test_channels_of_pictures_are_a_whole_number(value, tmp_path):
    with pytest.raises(ValueError, match=r"`channels` is .* but must be 1"):
        data.read_image(tmp_path / "none.png", channels=value)


@pytest.mark.parametrize("before", [1, True, 1.0], ids=repr)
@pytest.mark.parametrize("option", ["padding", "stride"])
@pytest.mark.parametrize(("layer", "given"), [(nn.Conv2d, (1, 1, 3)), (nn.MaxPool2d, (3,))])
def test_what_ran_before_changes_nothing(layer, given, option, before):
    for value in (1, before, 1.0, True):
        if type(value) is int:
            assert getattr(layer(*given, **{option: value}), option) in (1, (1, 1))
        else:
            with pytest.raises(ValueError, match=re.escape(f"not {value!r}.")):
                layer(*given, **{option: value})
    changed = layer(*given)
    setattr(changed, option, before)
    if type(before) is not int:
        with pytest.raises(ValueError, match=f"`{option}` must be"):
            changed(np.ones((1, 1, 6, 6), np.float32))


def test_numpy_numbers_leave_no_trace_in_words():
    one, two = np.int64(1), np.uint8(2)
    assert repr(nn.Conv2d(one, two, (two, np.int8(3)), padding=one)) == "Conv2d(1, 2, kernel_size=(2, 3), padding=1)"
    assert repr(nn.MaxPool2d(two, padding=[one, one])) == "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(1, 1))"
    assert repr(nn.AdaptiveAvgPool2d([None, two])) == "AdaptiveAvgPool2d(output_size=(None, 2))"
    sentence = "Conv2d(1, 1, kernel_size=(3, 3), padding=1) needs 1 input channels"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        nn.Conv2d(1, 1, 3, padding=one)(np.zeros((1, 2, 5, 5), np.float32))


@pytest.mark.parametrize("option", ["stride", "dilation", "padding"])
def test_no_option_is_beyond_what_kernels_count_with(option):
    with pytest.raises(ValueError, match=f"`{option}` is {2**63} but must be at most {2**31 - 1}."):
        nn.Conv2d(1, 1, 1, **{option: 2**63})
