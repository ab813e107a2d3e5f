"""Models from ONNX files of other programs, in all their forms; see test_onnx.py for our own files."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn import interop, models, nn, optim, training, use_backend
from fastcnn.interop.onnx.alike import Operator
from fastcnn.interop.onnx.operators import READERS, _alike
from fastcnn.testing import assert_close

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402


@pytest.fixture(autouse=True)
def numpy_backend():
    """Use the numpy backend, so that nothing is compiled."""
    with use_backend("numpy"):
        yield


def save(path, nodes, shapes, arrays=None, opset=17, y="y", kind=TensorProto.FLOAT):
    """Write a graph of nodes ``(operator, inputs, output, attributes)``; ``output`` may be a list."""
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]
    made = [
        helper.make_node(operator, names, np.atleast_1d(output).tolist(), **attributes)
        for operator, names, output, attributes in nodes
    ]
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in (arrays or {}).items()]
    outputs = [helper.make_empty_tensor_value_info(name) for name in y.split()]
    graph = helper.make_graph(made, "graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    graph = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    onnx.save(graph, path)
    return path


def runtime(path, *xs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, xs, strict=True)))[0]


def rounded(actual, expected):
    assert_close(actual, expected, 64, np.full(expected.shape, np.abs(expected).max()))


def assert_read(path, *xs):
    """Read a file, check that the model computes what ONNX Runtime computes, and return it."""
    model = interop.from_onnx(path)
    rounded(model(*xs), runtime(path, *xs))
    return model


LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


@pytest.mark.parametrize("name", ["squeezenet", "inception_v2", "resnet50"])
def test_public_nets(name, rng):
    """Well-known nets, as the onnx package includes them, with simplified weights."""
    path = LIGHT / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip(f"this version of onnx has no {path.name}")
    assert_read(path, rng.standard_normal((1, 3, 224, 224)).astype(np.float32))


IMAGE = {"x": ["N", 3, 6, 7]}


def forms(rng):
    """Return nodes, arrays and expected layers for operators that fastcnn writes differently or not at all."""

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    row, kernel, bias = draw(5), draw(4, 3, 3, 2), draw(4)
    pads = np.array([0, 0, 1, 0, 0, 0, 2, 1])
    convolution = ("Conv", ["p", "k", "b"], "y", {"strides": [2, 1]})
    norm = {name: np.abs(draw(3)) for name in ("scale", "offset", "mean", "var")}
    yield (
        "a matrix product and a sum",
        [
            ("Flatten", ["x"], "f", {}),
            ("MatMul", ["f", "w"], "m", {}),
            ("Add", ["v", "m"], "y", {}),
        ],
        {"w": draw(126, 5), "v": row},
        ["Flatten", "Linear"],
    )
    yield (
        "a matrix product alone",
        [("Flatten", ["x"], "f", {}), ("MatMul", ["f", "w"], "y", {})],
        {"w": draw(126, 5)},
        ["Flatten", "Linear"],
    )
    yield (
        "Gemm, not transposed, one bias for all",
        [("Flatten", ["x"], "f", {}), ("Gemm", ["f", "w", "v"], "y", {})],
        {"w": draw(126, 5), "v": row[:1]},
        ["Flatten", "Linear"],
    )
    for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        yield (
            f"auto_pad {auto}",
            [("Conv", ["x", "k", "b"], "y", {"strides": [2, 1], "auto_pad": auto})],
            {"k": kernel, "b": bias},
            ["Conv2d"],
        )
    yield (
        "padding before a convolution",
        [("Pad", ["x", "p8"], "p", {}), convolution],
        {"p8": pads, "k": kernel, "b": bias},
        ["Conv2d"],
    )
    yield (
        "padding with a zero",
        [("Pad", ["x", "p8", "zero"], "p", {}), convolution],
        {"p8": pads, "k": kernel, "b": bias, "zero": np.float32(0)},
        ["Conv2d"],
    )
    yield (
        "a shape that is computed",
        [
            ("Shape", ["x"], "s", {}),
            ("Gather", ["s", "zero"], "n", {}),
            ("Unsqueeze", ["n", "zero1"], "n1", {}),
            ("Concat", ["n1", "rest"], "shape", {"axis": 0}),
            ("Reshape", ["x", "shape"], "y", {}),
        ],
        {"zero": np.array(0), "zero1": np.array([0]), "rest": np.array([-1])},
        ["Flatten"],
    )
    yield "a shape with -1", [("Reshape", ["x", "shape"], "y", {})], {"shape": np.array([0, -1])}, ["Flatten"]
    yield (
        "global poolings",
        [("GlobalMaxPool", ["x"], "m", {}), ("GlobalAveragePool", ["m"], "y", {})],
        {},
        [
            "AdaptiveMaxPool2d",
            "AdaptiveAvgPool2d",
        ],
    )
    yield (
        "a global pooling and Squeeze",
        [("GlobalAveragePool", ["x"], "m", {}), ("Squeeze", ["m", "a"], "y", {})],
        {"a": np.array([2, 3])},
        ["GlobalAvgPool2d"],
    )
    yield (
        "a global pooling and Reshape",
        [("GlobalAveragePool", ["x"], "m", {}), ("Reshape", ["m", "a"], "y", {})],
        {"a": np.array([-1, 3])},
        ["GlobalAvgPool2d"],
    )
    yield "means", [("ReduceMean", ["x"], "y", {"axes": [-1, 2], "keepdims": 0})], {}, ["GlobalAvgPool2d"]
    yield "means that keep their axes", [("ReduceMean", ["x"], "y", {"axes": [2, 3]})], {}, ["AdaptiveAvgPool2d"]
    yield (
        "GELU with a quotient",
        [
            ("Div", ["x", "q"], "d", {}),
            ("Erf", ["d"], "e", {}),
            ("Add", ["e", "one"], "s", {}),
            ("Mul", ["x", "s"], "m", {}),
            ("Mul", ["m", "half"], "y", {}),
        ],
        {"q": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)},
        ["GELU"],
    )
    yield "Clip from below", [("Clip", ["x", "zero"], "y", {})], {"zero": np.float32(0)}, ["ReLU"]
    yield (
        "a norm with factors behind it",
        [
            ("BatchNormalization", ["x", *norm], "n", {"epsilon": 0.01}),
            ("Mul", ["n", "w"], "m", {}),
            ("Add", ["m", "v"], "y", {}),
        ],
        norm | {"w": draw(3, 1, 1), "v": draw(3, 1, 1)},
        ["BatchNorm2d"],
    )
    yield "nothing", [("Identity", ["x"], "i", {}), ("Dropout", ["i"], "y", {})], {}, ["Dropout"]
    yield (
        "a pooling that rounds up",
        [
            ("MaxPool", ["x"], "y", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        ],
        {},
        ["MaxPool2d"],
    )
    yield (
        "an average that counts padding",
        [
            ("AveragePool", ["x"], "y", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        ],
        {},
        ["AvgPool2d"],
    )
    yield (
        "resized to a size",
        [("Resize", ["x", "", "", "size"], "y", {"mode": "linear"})],
        {"size": np.array([1, 3, 9, 7])},
        ["Upsample"],
    )
    yield "a sum of two", [("Relu", ["x"], "r", {}), ("Sum", ["x", "r"], "y", {})], {}, ["Residual"]
    yield "one thing joined", [("Concat", ["x"], "c", {"axis": 1}), ("Relu", ["c"], "y", {})], {}, ["ReLU"]
    yield (
        "branches of which two have something in common",
        [
            ("Relu", ["x"], "r", {}),
            ("Tanh", ["r"], "t", {}),
            ("Sigmoid", ["r"], "s", {}),
            ("Concat", ["x", "t", "s"], "y", {"axis": 1}),
        ],
        {},
        ["Concat"],
    )
    yield (
        "padding that a convolution has not, and its own",
        [("Pad", ["x", "p8"], "p", {"mode": "reflect"}), ("Conv", ["p", "k"], "y", {"pads": [1, 1, 1, 1]})],
        {"p8": pads, "k": kernel},
        ["ReflectionPad2d", "Conv2d"],
    )
    yield (
        "padding with zeros before an image of a transposed convolution",
        [("Pad", ["x", "p8"], "p", {}), ("ConvTranspose", ["p", "k"], "y", {})],
        {"p8": pads, "k": draw(3, 4, 3, 2)},
        ["ConstantPad2d", "ConvTranspose2d"],
    )
    yield (
        "padding with ones",
        [("Pad", ["x", "p8", "one"], "p", {}), ("Conv", ["p", "k"], "y", {})],
        {"p8": pads, "k": kernel, "one": np.float32(1)},
        ["ConstantPad2d", "Conv2d"],
    )
    yield (
        "probabilities of all numbers of an image",
        [("Flatten", ["x"], "f", {}), ("Softmax", ["f"], "s", {}), ("Reshape", ["s", "shape"], "y", {})],
        {"shape": np.array([0, 3, 6, 7])},
        ["Flatten", "Softmax", "Unflatten"],
    )
    yield "the same shape", [("Reshape", ["x", "shape"], "y", {})], {"shape": np.array([0, 3, 6, 7])}, []
    yield (
        "all that came before, once more and more",
        [
            ("Conv", ["x", "k1"], "a", {}),
            ("Concat", ["x", "a"], "xa", {"axis": 1}),
            ("Conv", ["xa", "k2"], "b", {}),
            ("Concat", ["x", "a", "b"], "y", {"axis": 1}),
        ],
        {"k1": draw(2, 3, 1, 1), "k2": draw(2, 5, 1, 1)},
        ["Concat", "Concat"],
    )


FORMS = [pytest.param(*rest, id=name) for name, *rest in forms(np.random.default_rng(3))]


@pytest.mark.parametrize(("nodes", "arrays", "kinds"), FORMS)
def test_forms(nodes, arrays, kinds, tmp_path, rng):
    path = save(tmp_path / "a.onnx", nodes, IMAGE, arrays)
    model = assert_read(path, rng.standard_normal((1, 3, 6, 7)).astype(np.float32))
    assert [type(layer).__name__ for layer in model] == kinds
    assert model.input_shape == (3, 6, 7)


@pytest.mark.parametrize("opset", [9, 12, 20])
def test_older_and_newer_files(opset, tmp_path, rng):
    nodes = [
        ("Conv", ["x", "k"], "c", {}), ("Relu", ["c"], "r", {}), ("MaxPool", ["r"], "p", {"kernel_shape": [2, 2]}),
        ("Dropout", ["p"], "d", {}), ("Flatten", ["d"], "f", {}), ("Gemm", ["f", "w", "b"], "y", {"transB": 1}),
    ]  # fmt: skip
    arrays = {"k": rng.standard_normal((2, 3, 3, 3)), "w": rng.standard_normal((5, 24)), "b": np.ones(5)}
    path = save(tmp_path / "a.onnx", nodes, IMAGE, {k: v.astype(np.float32) for k, v in arrays.items()}, opset)
    assert_read(path, rng.standard_normal((1, 3, 6, 7)).astype(np.float32))


def test_several_inputs(tmp_path, rng):
    nodes = [
        ("Flatten", ["x0"], "f", {}), ("Relu", ["x1"], "r", {}), ("Concat", ["f", "r"], "c", {"axis": 1}),
        ("Gemm", ["c", "w"], "y", {"transB": 1}),
    ]  # fmt: skip
    weight = rng.standard_normal((4, 15)).astype(np.float32)
    path = save(tmp_path / "a.onnx", nodes, {"x0": ["N", 3, 2, 2], "x1": ["N", 3]}, {"w": weight})
    xs = [rng.standard_normal(shape).astype(np.float32) for shape in ((5, 3, 2, 2), (5, 3))]
    model = assert_read(path, *xs)
    assert model.input_shape == ((3, 2, 2), (3,))
    assert repr(model[0]).startswith("Parallel(")


def test_it_can_be_trained_further(tmp_path, rng):
    model = nn.Sequential(nn.Conv2d(1, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    interop.to_onnx(model, tmp_path / "a.onnx", (1, 6, 6), fold_batch_norm=False)
    other = interop.from_onnx(tmp_path / "a.onnx")
    assert not other.training
    x, labels = rng.standard_normal((8, 1, 6, 6)).astype(np.float32), np.arange(8) % 3
    losses = []
    for net in (model, other):
        step = training.TrainStep(net.train(), optim.SGD(net.parameters(), lr=0.1), nn.CrossEntropyLoss())
        losses.append([step(x, labels) for _ in range(3)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("padding", ["same", 2])
def test_signals_in_a_circle(padding, tmp_path, rng):
    layer = nn.Conv1d(3, 4, 4 if padding == "same" else 3, padding=padding, padding_mode="circular", rng=rng)
    interop.to_onnx(layer, tmp_path / "a.onnx", (3, 9))
    read = interop.from_onnx(tmp_path / "a.onnx")
    assert repr(read[0]).startswith("Conv1d(3, 4, ")
    x = rng.standard_normal((2, 3, 9)).astype(np.float32)
    np.testing.assert_array_equal(read(x), layer(x))


def test_dropout_draws_from_the_given_generator(tmp_path):
    path = save(tmp_path / "a.onnx", [("Dropout", ["x", "r"], "y", {})], IMAGE, {"r": np.float32(0.4)})
    masks = [interop.from_onnx(path, rng=np.random.default_rng(seed)).train()(X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()
    assert interop.from_onnx(path)[0].p == 0.4


X = np.ones((2, 3, 6, 7), np.float32)


def test_what_pytorch_writes(tmp_path, rng):
    torch = pytest.importorskip("torch")
    T = torch.nn
    torch.manual_seed(0)
    net = T.Sequential(
        T.Conv2d(3, 8, 3, 2, 1, bias=False), T.BatchNorm2d(8), T.SiLU(), T.MaxPool2d(2, ceil_mode=True), T.GELU(),
        T.AdaptiveAvgPool2d(1), T.Flatten(), T.Dropout(), T.Linear(8, 5), T.Softmax(1),
    ).eval()  # fmt: skip
    x = torch.tensor(rng.standard_normal((2, 3, 9, 9)), dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning that there is a new exporter
        torch.onnx.export(net, (x,), tmp_path / "a.onnx", dynamo=False, dynamic_axes={"x": [0]}, input_names=["x"])
    rounded(assert_read(tmp_path / "a.onnx", x.numpy())(x.numpy()), net(x).detach().numpy())


def scaled(rng):
    """Nodes that multiply an image by a computed factor for each channel."""
    return [("GlobalAveragePool", ["x"], "g", {}), ("Mul", ["x", "g"], "y", {})]


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        pytest.param([("LRN", ["x"], "y", {"size": 3})], "LRN ('y') has no layer in fastcnn. Supported", id="operator"),
        pytest.param(scaled(None), "Mul ('y') has no layer in fastcnn", id="product of two ways"),
        pytest.param([("Relu", ["x"], "r", {}), ("Tanh", ["r"], "t", {}), ("Concat", ["t", "x"], "c", {"axis": 1}),
                      ("Conv", ["c", "k6"], "d", {}), ("Add", ["d", "r"], "y", {})],
                     "is part of two branches, which no layer of fastcnn allows", id="crossing ways"),
        pytest.param([("Conv", ["x", "x"], "y", {})], "Conv ('y') has computed filters; only constant", id="filters"),
        pytest.param([("Reshape", ["x", "s"], "y", {})], "Reshape ('y') reshapes (1, 3, 6, 7) to (1, 3, 42), but",
                     id="reshape"),
        pytest.param([("ReduceMean", ["x"], "y", {"axes": [1]})], "ReduceMean ('y') has axes [1], but", id="axes"),
        pytest.param([("Clip", ["x", "zero", "six"], "y", {})], "Clip ('y') clips to 0.0 and 5.0, for whi", id="clip"),
        pytest.param([("Relu", ["x"], "a", {}), ("Tanh", ["x"], "b", {}), ("Sum", ["x", "a", "b"], "y", {})],
                     "Sum ('y') adds 3 branches, but a Residual adds two", id="three ways"),
        pytest.param([("Flatten", ["x"], "f", {"axis": 1}), ("Gemm", ["f", "v"], "y", {"alpha": 2.0})],
                     "Gemm ('y') has alpha=2.0, but fastcnn has 1.0 only", id="attribute"),
    ],
)  # fmt: skip
def test_what_fastcnn_has_not_is_named(nodes, text, tmp_path):
    arrays = {
        "k6": np.ones((3, 6, 1, 1), np.float32), "s": np.array([0, 3, 42]), "zero": np.float32(0),
        "six": np.float32(5), "v": np.ones((126, 4), np.float32),
    }  # fmt: skip
    path = save(tmp_path / "a.onnx", nodes, IMAGE, arrays)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        interop.from_onnx(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert text in str(raised.value)


PLACES = np.array([7, 0, 1, 2, 3, 4, 5, 6, 7, 0])
SIGNAL, SQUARE = {"x": ["N", 8, 8]}, {"x": ["N", 3, 3, 3]}
THREE, FOUR = np.array([1, 2, 3], np.float32), np.ones((4, 3, 3), np.float32)


def normalized(axes, **options):
    """Nodes that normalize by mean and variance over some axes, then scale and shift."""
    mean = {"axes": axes, **options}
    return [
        ("ReduceMean", ["x"], "m", mean), ("Sub", ["x", "m"], "c", {}), ("Mul", ["c", "c"], "q", {}),
        ("ReduceMean", ["q"], "v", mean), ("Add", ["v", "eps"], "e", {}), ("Sqrt", ["e"], "d", {}),
        ("Div", ["c", "d"], "n", {}), ("Mul", ["n", "w"], "s", {}), ("Add", ["s", "w"], "y", {}),
    ]  # fmt: skip


def grouped(ones, *more):
    """Nodes of a group normalization with other factors or with more behind it."""
    return [
        ("Reshape", ["x", "g"], "r", {}),
        ("InstanceNormalization", ["r", ones, "zeros"], "i", {}),
        ("Reshape", ["i", "image"], "n" if more else "y", {}),
        *more,
    ]


def chosen(places, *axes):
    """Nodes that select pixels and take the maximum of each group of them."""
    return [("Gather", ["x", places], "t", {"axis": axes[0]}), ("ReduceMax", ["t"], "y", {"axes": axes[1:]})]


OTHERS = {
    "tanh with factors for each channel": (
        [("Mul", ["x", "c"], "a", {}), ("Tanh", ["a"], "b", {}), ("Mul", ["b", "two"], "y", {})],
        {"c": THREE.reshape(3, 1, 1), "two": np.float32(2)}, IMAGE, "Mul ('y') has no layer",
    ),
    "softplus with factors for each channel": (
        [("Mul", ["x", "c"], "a", {}), ("Softplus", ["a"], "b", {}), ("Div", ["b", "c"], "y", {})],
        {"c": THREE.reshape(3, 1, 1)}, IMAGE, "Div ('y') has no layer",
    ),
    "group normalization that scales groups": (
        grouped("w"), {"w": THREE}, IMAGE, "Reshape ('y') reshapes (1, 3, 42) to (1, 3, 6, 7), but",
    ),
    "group normalization that scales columns": (
        grouped("ones", ("Mul", ["n", "w"], "s", {}), ("Add", ["s", "w"], "y", {})),
        {"w": THREE, "image": np.array([0, 3, 3, 3])}, SQUARE, "Add ('y') has no layer",
    ),
    "means with another shape": (
        [("GlobalAveragePool", ["x"], "m", {}), ("Reshape", ["m", "s"], "y", {})],
        {"s": np.array([1, 1, 3])}, IMAGE, "Reshape ('y') reshapes (1, 3, 1, 1) to (1, 1, 3), but",
    ),
    "softmax over the batch": (
        [("Flatten", ["x"], "f", {}), ("Softmax", ["f"], "p", {"axis": 0}), ("Reshape", ["p", "s"], "y", {})],
        {"s": np.array([0, 3, 1, 1])}, {"x": ["N", 3, 1, 1]}, "`dim` must not be 0, the batch axis",
    ),
    "layer normalization of images, by hand": (
        normalized([1, 2, 3]), {"w": THREE.reshape(3, 1, 1)}, IMAGE, "Add ('y') has no layer",
    ),
    "layer normalization of rows, by hand": (
        normalized([-1]), {"w": THREE}, SQUARE, "Add ('y') has no layer",
    ),
    "batch normalization of columns, by hand": (
        normalized([0, 2, 3]), {"w": THREE}, SQUARE, "Add ('y') has no layer",
    ),
    "batch normalization with factors for columns": (
        [("BatchNormalization", ["x", *["w"] * 4], "n", {}), ("Mul", ["n", "w"], "s", {}),
         ("Add", ["s", "w"], "y", {})],
        {"w": THREE}, SQUARE, "Add ('y') has no layer",
    ),
    "batch normalization with factors for columns, then numbers for channels": (
        [("BatchNormalization", ["x", *["w"] * 4], "n", {}), ("Mul", ["n", "w"], "s", {}),
         ("Add", ["s", "c"], "y", {})],
        {"w": THREE, "c": THREE.reshape(3, 1, 1)}, SQUARE, "Add ('y') has no layer",
    ),
    "averages that count padding, with factors": (
        [("AveragePool", ["x"], "a", {"kernel_shape": [2, 2], "count_include_pad": 1}), ("Mul", ["a", "c"], "y", {})],
        {"c": THREE.reshape(3, 1, 1)}, IMAGE, "Mul ('y') has no layer",
    ),
    "averages with factors for each channel": (
        [("AveragePool", ["x"], "a", {"kernel_shape": [2, 2]}), ("Mul", ["a", "c"], "y", {})],
        {"c": THREE.reshape(3, 1, 1)}, IMAGE, "Mul ('y') has no layer",
    ),
    "averages of signals, doubled": (
        [("AveragePool", ["x"], "a", {"kernel_shape": [2]}), ("Mul", ["a", "two"], "y", {})],
        {"two": np.float32(2)}, SIGNAL, "Mul ('y') has no layer",
    ),
    "averages of volumes": (
        [("AveragePool", ["x"], "y", {"kernel_shape": [2, 2, 2]})],
        {}, {"x": ["N", 3, 4, 4, 4]}, "takes an input of shape (1, 3, 4, 4, 4), but fastcnn reads it only for signals",
    ),
    "averages with unusual padding": (
        [("AveragePool", ["x"], "y",
          {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [0, 0, 2, 2], "ceil_mode": 1})],
        {}, IMAGE, "AveragePool ('y') has pads (0, 0, 2, 2), which no layer of fastcnn has",
    ),
    "maxima with unusual padding": (
        [("MaxPool", ["x"], "y", {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [0, 0, 1, 2]})],
        {}, IMAGE, "MaxPool ('y') has pads (0, 0, 1, 2), which no layer of fastcnn has",
    ),
    "products of rows and columns": (
        [("MatMul", ["r", "x"], "a", {}), ("MatMul", ["a", "w"], "y", {})],
        {"r": np.ones((2, 6), np.float32), "w": np.ones((7, 3), np.float32)}, IMAGE,
        "MatMul ('y') multiplies (1, 3, 2, 7) by (7, 3), but",
    ),
    "products of signals": (
        [("MatMul", ["x", "w"], "y", {})], {"w": np.ones((8, 3), np.float32)}, SIGNAL,
        "MatMul ('y') multiplies (1, 8, 8) by (8, 3), but",
    ),
    "rows, with a bias that makes them signals": (
        [("Flatten", ["x"], "f", {}), ("MatMul", ["f", "w"], "m", {}), ("Add", ["m", "b"], "y", {})],
        {"w": np.ones((126, 4), np.float32), "b": np.ones((1, 1, 4), np.float32)}, IMAGE, "Add ('y') has no layer",
    ),
    "maxima of pixels that no layer takes": (
        chosen("p", 2, 3), {"p": np.array([[0, 7], [1, 2]])}, SIGNAL, "ReduceMax ('y') has no layer",
    ),
    "maxima of channels": (
        chosen("p", 1, 2), {"p": np.array([[0, 1, 2], [2, 3, 4], [5, 6, 7]])}, SIGNAL, "ReduceMax ('y') has no layer",
    ),
    "maxima of rows and columns that no layer takes": (
        [*chosen("p", 2, 3)[:1], ("ReduceMax", ["t"], "a", {"axes": [3], "keepdims": 0}),
         ("Gather", ["a", "p"], "b", {"axis": 3}), ("ReduceMax", ["b"], "y", {"axes": [4], "keepdims": 0})],
        {"p": np.array([[0, 5], [1, 2]])}, IMAGE, "ReduceMax ('y') has no layer",
    ),
    "signals that are not continued from the other end": (
        [("Gather", ["x", "p"], "t", {"axis": 2}), ("Conv", ["t", "k"], "y", {})],
        {"p": np.where(np.arange(10) == 9, 1, PLACES), "k": np.ones((4, 8, 3), np.float32)}, SIGNAL,
        "Gather ('t') has no layer",
    ),
    "channels that are repeated": (
        [("Gather", ["x", "p"], "t", {"axis": 1}), ("Conv", ["t", "k"], "y", {})],
        {"p": PLACES, "k": np.ones((4, 10, 3), np.float32)}, SIGNAL, "Gather ('t') has no layer",
    ),
    "columns before rows": (
        [("Gather", ["x", "p"], "t", {"axis": 3}), ("Gather", ["t", "p"], "y", {"axis": 2})],
        {"p": np.array([0, 0, 1, 1, 2, 2])}, SQUARE, "Gather ('y') has no layer",
    ),
    "channels on both sides": (
        [("Pad", ["x", "p"], "y", {})], {"p": np.array([0, 1, 0, 0, 0, 0, 0, 0])}, IMAGE,
        "Pad ('y') turns (1, 3, 6, 7) into (1, 4, 6, 7), but",
    ),
    "channels of ones": (
        [("Pad", ["x", "p", "one"], "y", {})],
        {"p": np.array([0, 0, 0, 0, 0, 1, 0, 0]), "one": np.float32(1)}, IMAGE,
        "Pad ('y') turns (1, 3, 6, 7) into (1, 4, 6, 7), but",
    ),
    "more channels by repeating them": (
        [("Resize", ["x", "", "s"], "y", {})], {"s": np.array([1, 2, 1, 1], np.float32)}, IMAGE,
        "Resize ('y') resizes (1, 3, 6, 7) to (1, 6, 6, 7), but",
    ),
    "pixels between others, counted from a corner": (
        [("Resize", ["x", "", "s"], "y", {"mode": "linear", "coordinate_transformation_mode": "asymmetric"})],
        {"s": np.array([1, 1, 2, 2], np.float32)}, IMAGE, "has coordinate_transformation_mode 'asymmetric', which",
    ),
    "nearest pixels, rounded otherwise": (
        [("Resize", ["x", "", "s"], "y", {})], {"s": np.array([1, 1, 2, 2], np.float32)}, IMAGE,
        "Resize ('y') takes other pixels than fastcnn",
    ),
    "nearest pixels, from the middle": (
        [("Resize", ["x", "", "s"], "y", {"nearest_mode": "floor"})], {"s": np.array([1, 1, 2, 2], np.float32)}, IMAGE,
        "Resize ('y') takes other pixels than fastcnn",
    ),
    "nearest pixels by a factor that is not whole": (
        [("Resize", ["x", "", "s"], "y", {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"})],
        {"s": np.array([1, 1, 1.5, 2], np.float32)}, IMAGE, "Resize ('y') takes other pixels than fastcnn",
    ),
    "inputs that are added": (
        [("Add", ["x0", "x1"], "y", {})], {}, {"x0": ["N", 3], "x1": ["N", 3]},
        "each of several inputs needs its own branch to a Concat, but 'x0' has none",
    ),
    "an input in two branches": (
        [("Relu", ["x0"], "r", {}), ("Concat", ["r", "x1", "x0"], "y", {"axis": 1})], {},
        {"x0": ["N", 3], "x1": ["N", 3]}, "Concat ('y') joins 3 branches of 2 inputs, not one of each",
    ),
}  # fmt: skip
COMMON = {
    "eps": np.float32(1e-5), "g": np.array([0, 3, -1]), "image": np.array([0, 3, 6, 7]),
    "ones": np.ones(3, np.float32), "zeros": np.zeros(3, np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_looks_like_a_layer_is_refused(name, tmp_path):
    nodes, arrays, shapes, text = OTHERS[name]
    path = save(tmp_path / "a.onnx", nodes, shapes, COMMON | arrays)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        interop.from_onnx(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert text in str(raised.value)


def test_an_unknown_attribute_is_refused(tmp_path):
    nodes = [("Conv", ["x", "k"], "y", {"stride": [2, 2]})]
    path = save(tmp_path / "a.onnx", nodes, IMAGE, {"k": np.ones((4, 3, 1, 1))})
    with pytest.raises(fastcnn.FileError, match="is not an ONNX model: Unrecognized attribute: stride for operator"):
        interop.from_onnx(path)


@pytest.mark.parametrize("options", [{}, {"keepdims": 1}], ids=str)
def test_statistics_of_the_batch(options, tmp_path, rng):
    weight = rng.uniform(0.5, 2, (3, 1, 1)).astype(np.float32)
    path = save(tmp_path / "a.onnx", normalized([0, -1, 2], **options), IMAGE, COMMON | {"w": weight})
    (layer,) = assert_read(path, rng.standard_normal((4, 3, 6, 7)).astype(np.float32))
    assert (layer.eps, layer.running_mean, layer.momentum) == (1e-5, None, 0.1)


def test_an_attribute_that_the_layer_has_not(tmp_path, monkeypatch):
    alike = Operator("HardSigmoid", alpha=(0.2, 0.2), beta=(0.5, 0.5))
    monkeypatch.setitem(READERS, "HardSigmoid", _alike(nn.Sigmoid, alike))
    path = save(tmp_path / "a.onnx", [("HardSigmoid", ["x"], "y", {})], IMAGE)
    assert type(interop.from_onnx(path)[0]) is nn.Sigmoid
    save(path, [("HardSigmoid", ["x"], "y", {"alpha": 0.25})], IMAGE)
    with pytest.raises(ValueError, match=r"HardSigmoid \('y'\) has alpha=0.25, but fastcnn's Sigmoid has 0.2 only"):
        interop.from_onnx(path)


def test_other_files(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(fastcnn.FileError, match=r"a\.onnx is not an ONNX model: "):
        interop.from_onnx(path)
    path.write_bytes(b"")
    with pytest.raises(fastcnn.FileError, match=r"a\.onnx is not an ONNX model: "):
        interop.from_onnx(path)
    with pytest.raises(FileNotFoundError):
        interop.from_onnx(tmp_path / "b.onnx")
    save(path, [("Relu", ["x"], "y", {}), ("Tanh", ["x"], "z", {})], IMAGE, y="y z")
    with pytest.raises(ValueError, match="has the outputs y, z, but a model of fastcnn has one output"):
        interop.from_onnx(path)
    save(path, [("Cast", ["x"], "c", {"to": 1}), ("Relu", ["c"], "y", {})], IMAGE, kind=TensorProto.UINT8)
    with pytest.raises(ValueError, match=r"takes uint8, but fastcnn's layers take float32 or float64\. If it starts"):
        interop.from_onnx(path)
    foreign = onnx.load(save(path, [("FusedConv", ["x"], "y", {"domain": "com.microsoft"})], IMAGE))
    foreign.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2, 4, 4)))
    onnx.save(foreign, path)
    with pytest.raises(ValueError, match=r"has FusedConv of com\.microsoft, but only ONNX's own operators are read"):
        interop.from_onnx(path)
    save(path, [("Split", ["x"], ["a", "b"], {"axis": 1}), ("Add", ["a", "b"], "y", {})], {"x": (1, 2, 4, 4)})
    with pytest.raises(ValueError, match="uses several outputs of Split, but a layer has only one output"):
        interop.from_onnx(path)


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"Reading ONNX needs the onnx package: pip install onnx\."):
        interop.from_onnx(tmp_path / "a.onnx")


def test_normalizations_and_slopes_of_others(tmp_path, rng):
    x = rng.standard_normal((2, 3, 6, 7)).astype(np.float32)
    arrays = {name: rng.uniform(0.5, 2, size).astype(np.float32) for name, size in (("w", 3), ("b", 3), ("v", 7))}
    slopes = {"s": np.full((1, 3, 1, 1), 0.3, np.float32)}
    for operator, given, options, kind in (
        ("InstanceNormalization", ["x", "w", "b"], {}, nn.InstanceNorm2d),
        ("LayerNormalization", ["x", "v"], {"epsilon": 0.1}, nn.LayerNorm),
        ("LayerNormalization", ["x", "v", "v"], {"axis": 2}, nn.LayerNorm),
        ("PRelu", ["x", "s"], {}, nn.PReLU),
        ("HardSwish", ["x"], {}, nn.Hardswish),
        ("Softplus", ["x"], {}, nn.Softplus),
    ):
        path = save(tmp_path / "a.onnx", [(operator, given, "y", options)], IMAGE, arrays | slopes)
        assert type(assert_read(path, x)) is kind or type(assert_read(path, x)[0]) is kind


def test_normalizations_and_slopes_that_are_none_of_ours(tmp_path, rng):
    arrays = {"w": np.ones((2, 3, 6, 7), np.float32), "s": np.ones((3, 6, 1), np.float32), "v": np.ones(7, np.float32)}
    path = save(
        tmp_path / "a.onnx", [("LayerNormalization", ["x", "w"], "y", {"axis": 0})], {"x": [2, 3, 6, 7]}, arrays
    )
    with pytest.raises(ValueError, match=r"includes the batch axis, but in fastcnn"):
        interop.from_onnx(path)
    for slopes, shape in (("s", r"\(3, 6, 1\)"), ("v", r"\(7,\)")):
        path = save(tmp_path / "a.onnx", [("PRelu", ["x", slopes], "y", {})], IMAGE, arrays)
        with pytest.raises(ValueError, match=rf"has slopes of shape {shape}, but fastcnn has one slope, or"):
            interop.from_onnx(path)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Upsample(scale_factor=(2, 3)),
        nn.Upsample((12, 14)),
        nn.Upsample((4, 10)),
        nn.Upsample(scale_factor=(1.7, 2.3)),
        nn.Upsample(scale_factor=0.5),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Upsample((9, 4), mode="bilinear", align_corners=True),
    ],
    ids=repr,
)
def test_upsampling_comes_back(layer, tmp_path, rng):
    interop.to_onnx(layer, tmp_path / "a.onnx", (3, 6, 7))
    model = assert_read(tmp_path / "a.onnx", rng.standard_normal((2, 3, 6, 7)).astype(np.float32))
    assert [type(module) for module in model.modules()][-1] is nn.Upsample


@pytest.mark.parametrize("image", [(5, 4), (6, 7), (20, 31)], ids=str)
def test_a_factor_that_is_not_whole_is_found(image, tmp_path, rng):
    """Several factors may select the same pixels; a short one that does is found."""
    x, several = rng.standard_normal((2, 3, *image)).astype(np.float32), 0
    for factor in (0.3, 0.45, 0.75, 1.1, 1.25, 1.7, 2.3, 2.5, 10 / 3):
        layer = nn.Upsample(scale_factor=factor)
        interop.to_onnx(layer, tmp_path / "a.onnx", x.shape[1:])
        if any(node.op_type == "Gather" for node in onnx.load(tmp_path / "a.onnx").graph.node):
            back, several = interop.from_onnx(tmp_path / "a.onnx"), several + 1
            np.testing.assert_array_equal(back(x), layer(x))
    assert several > 6


def test_pixels_that_no_resizing_takes_are_refused(tmp_path):
    nodes = [("Gather", ["x", "rows"], "r", {"axis": 2}), ("Gather", ["r", "columns"], "y", {"axis": 3})]
    path = save(tmp_path / "a.onnx", nodes, IMAGE, {"rows": np.array([3, 0, 5]), "columns": np.arange(7)})
    with pytest.raises(ValueError, match=r"Gather .* has no layer in fastcnn"):
        interop.from_onnx(path)


def test_a_u_net_comes_back(tmp_path, rng):
    model = models.UNet(3, 2, 8, (4, 6), rng=rng)
    interop.to_onnx(model, tmp_path / "a.onnx", fold_batch_norm=False)
    read = assert_read(tmp_path / "a.onnx", rng.standard_normal((2, 2, 8, 8)).astype(np.float32))
    assert sum(isinstance(module, nn.Concat) for module in read.modules()) == 1
