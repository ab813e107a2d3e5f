"""Nets with branches: results of `Concat` and `Parallel` in all ways of running them, and their errors."""

import copy
import pickle
import re

import numpy as np
import pytest

import fastcnn
from fastcnn import interop, models, nn, optim, training
from fastcnn.testing import assert_close, central_difference

N, CLASSES = 21, 3  # the last block of lanes is not full


def conv(rng, dtype, *options, **more):
    return nn.Conv2d(*options, **more, rng=rng, dtype=dtype)


def unit(rng, dtype, *options, **more):
    """Make a convolution with batch normalization and ReLU."""
    return conv(rng, dtype, *options, **more, bias=False), nn.BatchNorm2d(options[1], dtype=dtype), nn.ReLU()


def inception(rng, dtype):
    """Make two blocks of four branches each, as in GoogLeNet."""

    def block(C):
        return nn.Concat(
            nn.Sequential(conv(rng, dtype, C, 4, 1), nn.ReLU()),
            nn.Sequential(*unit(rng, dtype, C, 3, 1), *unit(rng, dtype, 3, 5, 3, padding=1)),
            nn.Sequential(conv(rng, dtype, C, 2, 1), nn.ReLU(), conv(rng, dtype, 2, 3, 5, padding=2), nn.ReLU()),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(rng, dtype, C, 4, 1)),
        )

    head = nn.GlobalAvgPool2d(), nn.Linear(16, CLASSES, rng=rng, dtype=dtype)
    return nn.Sequential(block(2), nn.MaxPool2d(2), block(16), *head)


def dense(rng, dtype):
    """Make a block of three layers, each of which gets the outputs of all previous ones."""

    def layer(C):
        return nn.Concat(
            nn.Identity(),
            nn.Sequential(nn.BatchNorm2d(C, dtype=dtype), nn.ReLU(), conv(rng, dtype, C, 4, 3, padding=1, bias=False)),
        )

    head = nn.GlobalAvgPool2d(), nn.Linear(14, CLASSES, rng=rng, dtype=dtype)
    return nn.Sequential(layer(2), layer(6), nn.AvgPool2d(2), layer(10), *head)


def two_inputs(rng, dtype):
    """Make a net for images and rows."""
    look = nn.Sequential(*unit(rng, dtype, 2, 5, 3), nn.MaxPool2d(2), nn.Flatten())
    ask = nn.Sequential(nn.Linear(4, 6, rng=rng, dtype=dtype), nn.ReLU())
    return nn.Sequential(nn.Parallel(look, ask), nn.Linear(45 + 6, CLASSES, rng=rng, dtype=dtype))


def two_images(rng, dtype):
    """Make a net that passes two images through shared layers, whose gradients add up, and a residual connection."""
    same = nn.Sequential(*unit(rng, dtype, 2, 4, 3, padding=1), nn.MaxPool2d(2))
    both = nn.Residual(nn.Parallel(same, same), nn.Parallel(*(conv(rng, dtype, 2, 4, 2, 2) for _ in range(2))))
    head = nn.GlobalAvgPool2d(), nn.Linear(8 + 3, CLASSES, rng=rng, dtype=dtype)
    more = nn.Parallel(*(conv(rng, dtype, 2, c, 2, 2) for c in (1, 2)))
    return nn.Sequential(nn.Concat(both, more), *head)


def unet(rng, dtype):
    """Make a U-Net with skip connections past a pooled level."""
    return nn.Sequential(
        models.UNet(CLASSES, 2, 4, (4, 6), rng=rng, dtype=dtype), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.GlobalAvgPool2d(), nn.Linear(CLASSES, CLASSES, rng=rng, dtype=dtype),
    )  # fmt: skip


NETS = {
    "unet": (unet, [(2, 4, 4)]),
    "inception": (inception, [(2, 8, 8)]),
    "dense": (dense, [(2, 6, 6)]),
    "two inputs": (two_inputs, [(2, 8, 8), (4,)]),
    "two images": (two_images, [(2, 6, 6), (2, 6, 6)]),
}
nets = pytest.mark.parametrize("name", NETS)


def net(name, dtype=np.float32):
    return NETS[name][0](np.random.default_rng(0), dtype)


def batch(name, dtype=np.float32, images=N, seed=1):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((images, *shape)).astype(dtype) for shape in NETS[name][1])


def labels(images=N):
    return np.random.default_rng(2).integers(0, CLASSES, images)


def gradients(model):
    return [parameter.grad for parameter in model.parameters()]


def tupled(dx):
    return dx if isinstance(dx, tuple) else (dx,)


def passes(model, inputs, times=1):
    """Return the output and the gradients of all inputs and parameters, from the last of several passes."""
    for _ in range(times):
        model.zero_grad()
        y = model(*inputs)
        dx = tupled(model.backward(np.cos(np.arange(y.size, dtype=y.dtype)).reshape(y.shape)))
    return [y, *dx, *gradients(model)]


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def assert_rounded(found, expected, length=256):
    for a, b in zip(found, expected, strict=True):
        assert_close(a, np.asarray(b), length, np.full(np.shape(b), max(1e-3, np.abs(b).max())))


@nets
def test_every_pass_is_that_of_pytorch(name, backend, dtype):
    torch = pytest.importorskip("torch")
    from tests.torch_twins import twin

    model, inputs = net(name, dtype), batch(name, dtype)
    theirs = twin(model)
    state = zip(theirs.state_dict(), model.state_dict().values(), strict=True)
    theirs.load_state_dict({key: torch.tensor(array) for key, array in state})
    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    with fastcnn.use_backend(backend):
        found = passes(model, inputs)
    ty = theirs(*tensors)
    ty.backward(torch.tensor(np.cos(np.arange(found[0].size, dtype=dtype)).reshape(found[0].shape)))
    expected = [ty.detach(), *(x.grad for x in tensors), *(p.grad for p in theirs.parameters())]
    assert_rounded(found, [tensor.numpy() for tensor in expected], 2048)


@nets
def test_gradients_are_central_differences(name, fast_backend):
    with fastcnn.use_backend(fast_backend):
        model, inputs, rng = net(name, np.float64), batch(name, np.float64, 5), np.random.default_rng(3)
        dy = rng.standard_normal(model(*inputs).shape)
        dxs = tupled(model.backward(dy))
        assert [dx.shape for dx in dxs] == [x.shape for x in inputs]
        for i, (x, dx) in enumerate(zip(inputs, dxs, strict=True)):
            direction = rng.standard_normal(x.shape) / np.sqrt(x.size)

            def loss(x, i=i):
                return (copy.deepcopy(model)(*inputs[:i], x, *inputs[i + 1 :]) * dy).sum()

            assert (dx * direction).sum() == pytest.approx(central_difference(loss, x, direction, 1e-6), rel=1e-5)
        for key, parameter in model.named_parameters():
            direction = rng.standard_normal(parameter.shape) / np.sqrt(parameter.size)

            def loss(values, key=key):
                moved = copy.deepcopy(model)
                dict(moved.named_parameters())[key].data = values
                return (moved(*inputs) * dy).sum()

            slope = central_difference(loss, parameter.data, direction, 1e-6)
            assert (parameter.grad * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-8)


@nets
def test_recorded_passes_are_those_of_the_layers_one_by_one(name, dtype):
    assert nn.unrecorded(net(name)) == {}
    inputs = batch(name, dtype)
    with fastcnn.use_backend("numba"):
        with nn.recording.layer_by_layer():
            expected = passes(net(name, dtype), inputs, 3)
        model = net(name, dtype)
        assert_equal(passes(model, inputs, 3), expected)
        assert [len(programs) for programs in model.programs().values()] == [1, 1]


@nets
def test_the_bits_do_not_depend_on_the_threads(name):
    inputs, found, before = batch(name), [], fastcnn.get_num_threads()
    try:
        for threads in (1, 2, 3):
            fastcnn.set_num_threads(threads)
            with fastcnn.use_backend("numba"):
                found.append(passes(net(name), inputs, 2))
    finally:
        fastcnn.set_num_threads(before)
    assert_equal(found[1], found[0])
    assert_equal(found[2], found[0])


@nets
def test_a_training_step_is_that_of_the_calls(name, backend):
    def trained(step):
        model = net(name)
        optimizer, loss = optim.SGD(model.parameters(), 0.1, momentum=0.9), nn.CrossEntropyLoss()
        take, losses = training.TrainStep(model, optimizer, loss), []
        for seed in range(2 if backend == "naive" else 4):
            x = batch(name, images=4 if backend == "naive" else N, seed=seed)
            target = labels(len(x[0]))
            if step:
                losses.append(take(x if len(x) > 1 else x[0], target))
                continue
            losses.append(loss(model(*x), target))
            optimizer.zero_grad()
            model.backward(loss.backward(), input_grad=False)
            optimizer.step()
        return [np.array(losses), *model.state_dict().values()], take

    with fastcnn.use_backend(backend):
        (found, take), (expected, _) = trained(step=True), trained(step=False)
    assert_equal(found, expected)
    if backend == "numba" and name != "two images":
        assert len(take.programs) == 1
        assert take.unrecorded is None


@nets
@pytest.mark.parametrize("images", [1, 2, N, 2 * N])
def test_inference_is_evaluation(name, fast_backend, images):
    """Normalizations are folded in every branch; for few images, lanes are channels."""
    with fastcnn.use_backend(fast_backend):
        model = net(name)
        passes(model, batch(name))  # updates the running statistics
        infer = model.eval().compile_inference(batch_size=N)
        inputs = batch(name, images=images)
        expected = model(*inputs)
        assert_rounded([infer(*inputs), infer(inputs)], [expected] * 2)
    kinds = [type(layer).__name__ for layer in infer.layers.modules()]
    assert "BatchNorm2d" not in kinds
    assert kinds.count("FixedBatchNorm") == (3 if name == "dense" else 0)  # in which ReLU comes first


@nets
@pytest.mark.parametrize("fold", [True, False])
def test_onnx_computes_the_same(name, fold, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    with fastcnn.use_backend("numpy"):
        model, inputs = net(name), batch(name)
        passes(model, inputs)
        shapes = NETS[name][1]
        interop.to_onnx(model, tmp_path / "a.onnx", shapes if len(shapes) > 1 else shapes[0], fold_batch_norm=fold)
        session = runtime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]
        assert names == (["input"] if len(shapes) == 1 else ["input0", "input1"])
        (found,) = session.run(["output"], dict(zip(names, inputs, strict=True)))
        assert_rounded([found], [model.eval()(*inputs)])


@nets
def test_the_way_to_pytorch_and_back(name):
    torch = pytest.importorskip("torch")
    model, inputs = net(name), batch(name)
    theirs = interop.to_torch(model)
    assert [*theirs.state_dict()] == [*model.state_dict()]
    y = theirs(tuple(map(torch.tensor, inputs)) if len(inputs) > 1 else torch.tensor(inputs[0]))
    with fastcnn.use_backend("numpy"):
        assert_rounded([y.detach().numpy()], [model(*inputs)])
        if name != "two images":  # shared layers do not come back as shared
            assert_equal(passes(interop.from_torch(interop.to_torch(model)), inputs), passes(model, inputs))


@nets
def test_copies_and_states(name):
    model, inputs = net(name), batch(name, images=3)
    with fastcnn.use_backend("numpy"):
        expected = passes(copy.deepcopy(model), inputs)
        assert_equal(passes(pickle.loads(pickle.dumps(model)), inputs), expected)
        other = NETS[name][0](np.random.default_rng(9), np.float32)
        other.load_state_dict(model.state_dict())
        assert_equal(passes(other, inputs), expected)


def test_names_are_places():
    assert list(net("dense").state_dict())[:2] == ["0.1.0.weight", "0.1.0.bias"]
    assert [key for key in net("two inputs").state_dict() if "weight" in key] == [
        "0.0.0.weight", "0.0.1.weight", "0.1.0.weight", "1.weight",
    ]  # fmt: skip


def test_summary_of_several_inputs(capsys):
    model = net("two inputs")
    summary = nn.summarize(model, NETS["two inputs"][1])
    assert summary.multiply_adds == 5 * 2 * 9 * 36 + 4 * 6 + 51 * 3
    assert summary.parameters == sum(parameter.size for parameter in model.parameters())
    model.summary([(2, 8, 8), (4,)])
    assert "0: Parallel" in capsys.readouterr().out
    steps = nn.trace(model, batch("two inputs", images=2))
    assert [x.shape for x in steps[0].x] == [(2, 2, 8, 8), (2, 4)]
    assert steps[1].y.shape == (2, 51)


def test_one_array_may_be_several_inputs(backend):
    """A program recorded with the same array as both inputs does not treat two different arrays as the same."""
    with fastcnn.use_backend(backend):
        model = nn.Sequential(nn.Parallel(nn.Identity(), nn.LeakyReLU(2.0)))
        a, b = np.array([[-1.0, 2.0]]), np.array([[-3.0, 5.0]])
        for x, other in ((a, a), (a, b), (b, a), (b, b)):
            np.testing.assert_array_equal(
                model(x, other), np.concatenate([x, np.where(other < 0, 2 * other, other)], 1)
            )
            dx = model.backward(np.ones((1, 4)))
            np.testing.assert_array_equal(dx[1], np.where(other < 0, 2.0, 1.0))
        infer = model.compile_inference()
        for x, other in ((a, a), (a, b)):
            np.testing.assert_array_equal(infer(x, other), model(x, other))


class Difference(nn.Module):
    """A custom layer with two inputs."""

    several_inputs = True

    def forward_native(self, x, backend):
        a, b = x
        self._shape = a.shape
        return backend.pack(backend.unpack(a) - backend.unpack(b))

    def backward_native(self, dy, backend, input_grad):
        return dy, backend.pack(-backend.unpack(dy))


def test_a_layer_of_ones_own_takes_several(backend):
    with fastcnn.use_backend(backend):
        model = nn.Sequential(Difference(), nn.LeakyReLU(0.5))
        a, b = np.array([[4.0, 1.0]]), np.array([[1.0, 5.0]])
        for _ in range(2):
            np.testing.assert_array_equal(model((a, b)), [[3.0, -2.0]])
            assert_equal(model.backward(np.ones((1, 2))), ([[1.0, 0.5]], [[-1.0, -0.5]]))
        np.testing.assert_array_equal(model.compile_inference()((a, b)), [[3.0, -2.0]])


class OneGradient(Difference):
    def backward_native(self, dy, backend, input_grad):
        return dy


def test_a_gradient_for_each_input_is_needed():
    model = OneGradient()
    y = model(np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"returned a gradient of shape \(1, 2\).*but the input.*a tuple of shape"):
        model.backward(y)


ROWS, IMAGES = np.ones((2, 3)), np.ones((2, 3, 4, 5))
BOTH = nn.Parallel(nn.ReLU(), nn.ReLU())
FAULTS = {
    "one of two inputs": (lambda: BOTH(ROWS), "Parallel has 2 branches and needs one input for each, not 1."),
    "three of two": (lambda: BOTH(ROWS, ROWS, ROWS), "Parallel has 2 branches and needs one input for each, not 3."),
    "two of one": (lambda: nn.Sequential(nn.Linear(3, 2))(ROWS, ROWS), "Sequential takes one input but was given 2;"),
    "two for a layer": (lambda: nn.ReLU()((ROWS, ROWS)), "ReLU takes one input but was given 2;"),
    "two for branches of one": (lambda: nn.Concat(nn.ReLU())(ROWS, ROWS), "Concat takes one input but was given 2;"),
    "no input": (lambda: nn.ReLU()(()), "`x` holds no input."),
    "other batches": (lambda: BOTH(ROWS, ROWS[:1]), "`x[1]` has batch size 1, but `x[0]` has batch size 2."),
    "other sizes": (
        lambda: nn.Concat(nn.Identity(), nn.MaxPool2d(2))(IMAGES),
        "Concat concatenates the outputs of its branches along axis 1, so their other axes must match; the shapes are "
        "(2, 3, 4, 5), (2, 3, 2, 2).",
    ),
    "rows beside images": (
        lambda: nn.Concat(nn.Identity(), nn.Flatten())(IMAGES),
        "their other axes must match; the shapes are (2, 3, 4, 5), (2, 60).",
    ),
    "no such axis": (
        lambda: nn.Concat(nn.ReLU(), dim=2)(ROWS),
        "Concat needs an axis 2 after the batch axis, but its branches return shapes (2, 3).",
    ),
    "the axis of the batch": (lambda: nn.Concat(nn.ReLU(), dim=-2)(ROWS), "needs an axis -2 after the batch axis"),
    "dim 0": (lambda: nn.Concat(nn.ReLU(), dim=0), "`dim` must not be 0, the batch axis"),
    "no branch": (lambda: nn.Concat(), "Concat needs at least one branch."),
    "one branch": (lambda: nn.Parallel(nn.ReLU()), "Parallel needs at least two branches."),
}


@pytest.mark.parametrize(("call", "text"), FAULTS.values(), ids=FAULTS)
def test_faults_have_a_sentence(call, text, backend):
    with fastcnn.use_backend(backend), pytest.raises(ValueError, match=re.escape(text)):
        call()


def test_faults_of_types():
    with pytest.raises(TypeError, match="Branch 1 of Concat must be a Module, not list"):
        nn.Concat(nn.ReLU(), [nn.ReLU()])
    with pytest.raises(TypeError, match=re.escape("`x[1]` is float64 but `x[0]` is float32")):
        nn.Parallel(nn.ReLU(), nn.ReLU())(ROWS.astype(np.float32), ROWS)
    with pytest.raises(TypeError, match=re.escape("`x[1]` must be a numpy array, not tuple")):
        nn.Parallel(nn.ReLU(), nn.ReLU())(ROWS, (ROWS,))


def test_branches_may_be_assigned(backend):
    with fastcnn.use_backend(backend):
        block = nn.Concat(nn.Identity(), nn.ReLU())
        assert block(ROWS).shape == (2, 6)
        block.branches = [*block.branches, nn.Linear(3, 5, dtype=np.float64)]
        assert block(ROWS).shape == block.compile_inference()(ROWS).shape == (2, 11)
        assert [*block.state_dict()] == ["2.weight", "2.bias"]
        assert len(block) == len([*block]) == 3
        assert isinstance(block[-1], nn.Linear)
