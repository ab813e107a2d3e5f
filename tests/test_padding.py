"""Padding: values computed by hand, comparison with PyTorch, and the layers."""

import re

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import interop, nn
from fastcnn.functional.padding import MODES
from fastcnn.testing import PAD_CASES, PadCase, assert_close

LAYERS = {
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
    "circular": nn.CircularPad2d,
    "constant": nn.ConstantPad2d,
}
cases = pytest.mark.parametrize("case", PAD_CASES, ids=lambda case: case.reason)


def layer(case: PadCase):
    options = {"value": case.value} if case.mode == "constant" else {}
    return LAYERS[case.mode](case.pad, **options)


def test_by_hand(backend):
    x = np.arange(1.0, 7.0).reshape(1, 1, 2, 3)
    by_hand = {
        "constant": [[7, 7, 7, 7, 7], [7, 7, 1, 2, 3], [7, 7, 4, 5, 6]],
        "reflect": [[6, 5, 4, 5, 6], [3, 2, 1, 2, 3], [6, 5, 4, 5, 6]],
        "replicate": [[1, 1, 1, 2, 3], [1, 1, 1, 2, 3], [4, 4, 4, 5, 6]],
        "circular": [[5, 6, 4, 5, 6], [2, 3, 1, 2, 3], [5, 6, 4, 5, 6]],
    }
    for mode, expected in by_hand.items():
        value = 7 if mode == "constant" else None
        np.testing.assert_array_equal(F.pad(x, (2, 0, 1, 0), mode, value, backend=backend)[0, 0], expected)
    dx = F.pad_backward(np.ones((1, 1, 3, 5)), x.shape, (2, 0, 1, 0), "replicate", backend=backend)
    np.testing.assert_array_equal(dx[0, 0], [[6, 2, 2], [3, 1, 1]])


@cases
def test_beside_pytorch(backend, dtype, case, rng):
    torch = pytest.importorskip("torch")
    x, dy = case.arrays(rng, dtype)
    tx = torch.tensor(x, requires_grad=True)
    ty = torch.nn.functional.pad(tx, case.pad, case.mode, *[case.value] * (case.mode == "constant"))
    ty.backward(torch.tensor(dy))
    value = case.value if case.mode == "constant" else None
    y = F.pad(x, case.pad, case.mode, value, backend=backend)
    np.testing.assert_array_equal(y, ty.detach().numpy(), strict=True)
    dx = F.pad_backward(dy, x.shape, case.pad, case.mode, backend=backend)
    assert_close(dx, tx.grad.numpy(), 49, np.full(x.shape, np.abs(dy).max()))


@cases
def test_layers_are_the_functions_and_pytorchs(backend, case, rng):
    x, dy = case.arrays(rng, np.float32)
    with fastcnn.use_backend(backend):
        model = nn.Sequential(layer(case), nn.Identity())
        for _ in range(2):  # on numba, first recorded, then replayed
            y = model(x)
            np.testing.assert_array_equal(y, F.pad(x, case.pad, case.mode, case.value))
            np.testing.assert_array_equal(model.backward(dy), F.pad_backward(dy, x.shape, case.pad, case.mode))
        np.testing.assert_array_equal(model.compile_inference()(x), y)
        np.testing.assert_array_equal(model.compile_inference()(x[:1]), y[:1])
    assert nn.unrecorded(model) == {}


def test_the_number_of_threads_changes_no_bit(rng):
    case = PadCase("many images", (100, 6, 9, 9), (3, 4, 5, 6), "reflect")
    x, dy = case.arrays(rng, np.float32)
    before, results = fastcnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            fastcnn.set_num_threads(threads)
            arrays = F.pad(x, case.pad, "reflect"), F.pad_backward(dy, x.shape, case.pad, "reflect")
            results.append(tuple(array.tobytes() for array in arrays))
    finally:
        fastcnn.set_num_threads(before)
    assert len(set(results)) == 1


@cases
def test_there_and_back_from_pytorch(case, rng):
    torch = pytest.importorskip("torch")
    model = nn.Sequential(layer(case), nn.ZeroPad2d(1))
    module = interop.to_torch(model)
    x, _ = case.arrays(rng, np.float32)
    np.testing.assert_array_equal(module(torch.tensor(x)).numpy(), model(x))
    assert repr(interop.from_torch(module)) == repr(model)


@cases
def test_onnx_runtime_pads_alike(case, tmp_path, rng):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    x, _ = case.arrays(rng, np.float32)
    model = layer(case)
    interop.to_onnx(model, tmp_path / "a.onnx", x.shape[1:])
    (y,) = ort.InferenceSession(tmp_path / "a.onnx").run(None, {"input": x})
    np.testing.assert_array_equal(y, model(x))


X = np.zeros((1, 2, 3, 4))
BAD = {
    "mode": (lambda: F.pad(X, (1, 1), "mirror"), ValueError, "`mode` is 'mirror' but must be one of 'constant', 'refl"),
    "number": (lambda: F.pad(X, 1), TypeError, "`pad` must be (left, right, top, bottom) or (left, right), not 1"),
    "three": (lambda: F.pad(X, (1, 1, 1)), TypeError, "or (left, right), not (1, 1, 1)"),
    "channels": (lambda: F.pad(X, (0, 0, 0, 0, 1, 1)), TypeError, "or (left, right), not (0, 0, 0, 0, 1, 1)"),
    "fraction": (lambda: F.pad(X, (1, 0.5)), TypeError, "`pad[1]` must be a whole number, not 0.5"),
    "rows": (lambda: F.pad(X[0, 0], (1, 1)), ValueError, "`x` must have 4 dimensions"),
    "too far mirrored": (lambda: F.pad(X, (0, 0, 3, 0), "reflect"), ValueError,
                         "along the height, 3 and 0, must be at most 2 pixels in mode 'reflect': the image has 3"),
    "too far round": (lambda: F.pad(X, (0, 5), "circular"), ValueError, "along the width, 0 and 5, must be at most 4"),
    "nothing left": (lambda: F.pad(X, (-2, -2)), ValueError, "must leave at least one pixel in mode 'constant'"),
    "cut off": (lambda: F.pad(X, (-1, 0), "reflect"), ValueError, "but only mode 'constant' can remove pixels"),
    "value": (lambda: F.pad(X, (1, 1), value="0"), TypeError, "`value` must be a number, not str"),
    "no value": (lambda: F.pad(X, (1, 1), "reflect", 3), ValueError,
                 "`value` is 3, but `mode` is 'reflect', and only mode 'constant' takes a value."),
    "dy": (lambda: F.pad_backward(X, (1, 2, 3, 3), (1, 1)), ValueError, "`dy` has shape (1, 2, 3, 4) but must have"),
    "x_shape": (lambda: F.pad_backward(X, (3, 4), (1, 1)), ValueError, "`x_shape` must be (N, C, H, W)"),
    "a layer's": (lambda: nn.ZeroPad2d("1"), TypeError, "`padding` must be (left, right, top, bottom)"),
    "a layer of rows": (lambda: nn.ZeroPad2d(1)(X[0, 0]), ValueError, "ZeroPad2d((1, 1, 1, 1)) needs images (N"),
    "a layer's image": (lambda: nn.ReflectionPad2d(3)(X), ValueError, "ReflectionPad2d((3, 3, 3, 3)) cannot"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), BAD.values(), ids=BAD)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_every_mode_has_cases():
    assert {case.mode for case in PAD_CASES} == set(MODES)


@pytest.mark.parametrize("mode", MODES[1:])
def test_convolutions(backend, mode, rng):
    """A convolution with a padding mode equals a padding layer and a convolution."""
    padding = (1, 2, 0, 1)  # top, bottom, left, right
    conv = nn.Conv2d(2, 3, 3, padding=padding, padding_mode=mode, rng=np.random.default_rng(0), dtype=np.float64)
    bare = nn.Conv2d(2, 3, 3, rng=np.random.default_rng(0), dtype=np.float64)
    others = nn.ReLU(), nn.MaxPool2d(2)
    model, apart = nn.Sequential(conv, *others), nn.Sequential(LAYERS[mode]((0, 1, 1, 2)), bare, *others)
    x = rng.standard_normal((5, 2, 5, 6))
    with fastcnn.use_backend(backend):
        dy = rng.standard_normal(apart(x).shape)
        for _ in range(2):
            for net in (model, apart):
                net.zero_grad()
            np.testing.assert_allclose(model(x), apart(x), rtol=1e-12)
            np.testing.assert_allclose(model.backward(dy), apart.backward(dy), rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(conv.weight.grad, bare.weight.grad, rtol=1e-12, atol=1e-13)
        assert model.backward(dy, input_grad=False) is None
        np.testing.assert_allclose(model.compile_inference()(x[:1]), apart(x[:1]), rtol=1e-12)
    assert nn.unrecorded(model) == {}
    assert f"padding=(1, 2, 0, 1), padding_mode={mode!r}" in repr(conv)
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"^0: PyTorch pads opposite sides alike"):
        interop.to_torch(model)


def test_convolutions_refuse(rng):
    with pytest.raises(ValueError, match="`padding_mode` is 'constant' but must be one of 'zeros', 'reflect', 'replic"):
        nn.Conv2d(1, 1, 3, padding_mode="constant")
    conv = nn.Conv2d(1, 1, 3, padding=2, padding_mode="reflect", rng=rng)
    with pytest.raises(ValueError, match=r"cannot take an input of shape \(1, 1, 2, 5\). The padding along the height"):
        conv(np.zeros((1, 1, 2, 5), np.float32))
