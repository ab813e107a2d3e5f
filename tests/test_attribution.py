"""Saliency and Grad-CAM, held against central differences and PyTorch; and the model stays as it was."""

import copy

import numpy as np
import pytest

from fastcnn import interop, models, nn, use_backend
from fastcnn.nn.attribution import explain_by_maps
from fastcnn.testing import central_difference


class Nudge(nn.Module):
    """Adds what a test wants to see the effect of."""

    def __init__(self):
        self.shift = 0.0

    def forward(self, x):
        return x + np.asarray(self.shift, x.dtype)

    def backward(self, dy):
        return dy


class Scaled(nn.Module):
    """A layer in NumPy with a parameter, and other layers inside."""

    def __init__(self, rng, dtype):
        self.conv, self.probe = nn.Conv2d(3, 4, 3, padding=1, rng=rng, dtype=dtype), Nudge()
        self.factor = nn.Parameter(rng.uniform(0.5, 1.5, (4, 1, 1)).astype(dtype))

    def forward(self, x):
        self._y = self.probe(self.conv(x))
        return self.factor.data * self._y

    def backward(self, dy):
        self.factor.accumulate((dy * self._y).sum(axis=(0, 2, 3)).reshape(4, 1, 1))
        return self.conv.backward(self.probe.backward(self.factor.data * dy))


def chain(rng, dtype):
    start = {"rng": rng, "dtype": dtype}
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, **start), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2, **start), nn.Tanh(),
        Nudge(), nn.Dropout(0.5, rng=rng), nn.Flatten(), nn.Linear(4 * 4, 3, **start),
    )  # fmt: skip


def residual(rng, dtype):
    start = {"rng": rng, "dtype": dtype}
    body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, **start), nn.BatchNorm2d(3, dtype=dtype), Nudge(), nn.Sigmoid())
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, **start), nn.Residual(body), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(3, 3, **start)
    )


def branches(rng, dtype):
    start = {"rng": rng, "dtype": dtype}
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, **start),
        Nudge(),  # all branches are given what it makes
        nn.Concat(nn.Identity(), nn.Sequential(nn.Conv2d(3, 2, 1, **start), nn.Tanh()), nn.SiLU()),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 3 * 2, 3, **start),
    )


def separable(rng, dtype):
    return nn.Sequential(
        nn.DepthwiseSeparableConv2d(2, 3, rng=rng, dtype=dtype), Nudge(), nn.GlobalAvgPool2d(),
        nn.Linear(3, 3, rng=rng, dtype=dtype),
    )  # fmt: skip


def own(rng, dtype):
    start = {"rng": rng, "dtype": dtype}
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, **start), Scaled(rng, dtype), nn.SiLU(), nn.GlobalAvgPool2d(), nn.Linear(4, 3, **start)
    )


def signal(rng, dtype):
    start = {"rng": rng, "dtype": dtype}
    return nn.Sequential(
        nn.Conv1d(2, 3, 5, **start), nn.Tanh(), nn.AvgPool1d(2), Nudge(), nn.Flatten(), nn.Linear(3 * 6, 3, **start)
    )


NETS = {
    "chain": (chain, "5", (2, 8, 8)),
    "residual": (residual, "1.body.2", (2, 7, 6)),
    "branches": (branches, "1", (2, 8, 7)),
    "separable": (separable, "1", (2, 5, 6)),
    "own": (own, "1.probe", (2, 7, 6)),
    "signal": (signal, "3", (2, 16)),
}


def built(name, dtype, images=3):
    """A net, the name of its Nudge, and a batch."""
    make, layer, shape = NETS[name]
    rng = np.random.default_rng(5)
    model, x = make(rng, dtype), rng.standard_normal((images, *shape)).astype(dtype)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.data[:] = rng.normal(size=norm.running_mean.shape)
            norm.running_var.data[:] = rng.uniform(0.5, 2, norm.running_var.shape)
    return model, layer, x


def resized(maps, size):
    """Bilinear, the corners of both images at one place; one axis after the other."""
    for axis, new in enumerate(size, 1):
        old = maps.shape[axis]
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high, share = np.minimum(low + 1, old - 1), at - low
        share = share.reshape(-1, *[1] * (maps.ndim - axis - 1))
        maps = maps.take(low, axis) * (1 - share) + maps.take(high, axis) * share
    return maps


def cam_of(maps, gradients, size):
    """Equations (1) and (2) of the paper, and the resizing."""
    weights = gradients.reshape(*gradients.shape[:2], -1).mean(axis=2)
    return resized(np.maximum(np.einsum("nc,nc...->n...", weights, maps), 0), size)


@pytest.mark.parametrize("name", NETS)
def test_saliency_is_the_derivative(name):
    model, _, x = built(name, np.float64)
    classes = np.array([2, 0, 1])
    with use_backend("numpy"):
        found = nn.saliency(model, x, classes)
        model.eval()
        expected = np.empty_like(x)
        for place in np.ndindex(x.shape):
            direction = np.zeros_like(x)
            direction[place] = 1
            n = place[0]
            expected[place] = central_difference(lambda x, n=n: model(x)[n, classes[n]], x, direction)
    np.testing.assert_allclose(found, np.abs(expected).max(axis=1), rtol=1e-6, atol=1e-9)
    assert (found > 0).any(axis=tuple(range(1, found.ndim))).all()


@pytest.mark.parametrize("name", NETS)
def test_grad_cam_weighs_by_the_derivatives(name):
    model, layer, x = built(name, np.float64)
    classes = np.array([2, 0, 1])
    with use_backend("numpy"):
        found = nn.grad_cam(model, x, classes, layer)
        model.eval()
        (maps,) = [step.y for step in nn.trace(model, x) if step.name == layer]
        nudge, gradients = model.get_submodule(layer), np.empty_like(maps)

        def score(shift, n):
            nudge.shift = shift
            return model(x)[n, classes[n]]

        for place in np.ndindex(maps.shape):
            direction = np.zeros_like(maps)
            direction[place] = 1
            gradients[place] = central_difference(lambda s, n=place[0]: score(s, n), np.zeros_like(maps), direction)
    np.testing.assert_allclose(found, cam_of(maps, gradients, x.shape[2:]), rtol=1e-6, atol=1e-9)
    assert found.any()


@pytest.mark.parametrize("name", NETS)
def test_backends_agree(name, dtype):
    model, layer, x = built(name, dtype, images=2)
    found = {}
    for backend in ("naive", "numpy", "numba"):
        with use_backend(backend):
            slopes = nn.saliency(model, x), nn.saliency(model, x, 1)
            found[backend] = [*slopes, nn.grad_cam(model, x, 1), nn.grad_cam(model, x, 2, layer)]
    rtol = 1e-4 if dtype is np.float32 else 1e-10
    for maps in found.values():
        for one, expected in zip(maps, found["naive"], strict=True):
            assert one.dtype == dtype
            assert one.shape == (2, *x.shape[2:])
            np.testing.assert_allclose(one, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


CLASSIFIERS = (*models.NAMES, "signals")


def classifier(name, dtype=np.float32):
    rng = np.random.default_rng(1)
    model = models.SignalNet(rng=rng, dtype=dtype) if name == "signals" else models.build(name, rng=rng, dtype=dtype)
    return model, rng.standard_normal((3, *model.input_shape)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_they_are_pytorchs(name, dtype):
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, x = classifier(name, dtype)
    classes = np.array([1, 4, 2])
    net = interop.to_torch(model).eval()
    caught = {}

    def catch(module, given, made):
        caught["maps"] = made

    try:
        with use_backend("numpy"):
            found = nn.saliency(model, x, classes)
            explained = None if name == "mlp" else explain_by_maps(model, x, classes, None)
        if explained:
            net.get_submodule(explained.layer).register_forward_hook(catch)
        given = torch.tensor(x, requires_grad=True)
        scores = net(given.clone())[np.arange(3), classes].sum()
        maps = [caught["maps"]] if explained else []
        dx, *dmaps = torch.autograd.grad(scores, [given, *maps])
        expected = dx.abs().amax(dim=1).numpy()
        rtol = 1e-4 if dtype is np.float32 else 1e-10
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * expected.max())
        if explained:
            weights = dmaps[0].mean(dim=tuple(range(2, dmaps[0].ndim)), keepdim=True)
            cam = torch.relu((weights * maps[0]).sum(dim=1, keepdim=True))
            mode = "bilinear" if cam.ndim == 4 else "linear"
            cam = torch.nn.functional.interpolate(cam, x.shape[2:], mode=mode).detach().numpy()[:, 0]
            np.testing.assert_allclose(explained.maps, cam, rtol=rtol, atol=rtol * np.abs(cam).max())
            assert cam.any()
    finally:
        torch.set_num_threads(threads)


LAST = {"lenet5": "5", "lenet5_classic": "5", "resnet20": "11", "vgg7": "20", "signals": "10"}


@pytest.mark.parametrize(("name", "layer"), LAST.items(), ids=LAST)
def test_the_last_layer_with_maps_of_several_pixels(name, layer):
    model, x = classifier(name)
    with use_backend("numpy"):
        x = x[:1]
        assert explain_by_maps(model, x, 0, None).layer == layer
        np.testing.assert_array_equal(nn.grad_cam(model, x, 0), nn.grad_cam(model, x, 0, layer))


def blob_detector():
    """Class 0 is a bright spot of 3 x 3 pixels anywhere, class 1 a vertical edge."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, dtype=np.float64), nn.ReLU(), nn.GlobalAvgPool2d(),
        nn.Linear(2, 2, bias=False, dtype=np.float64),
    )  # fmt: skip
    model[0].weight.data[0], model[0].bias.data[:] = 1, (-8, -2)
    model[0].weight.data[1] = [[-1, 0, 1]] * 3
    model[3].weight.data[:] = [[1, 0], [0, 1]]
    return model


def test_a_net_whose_answer_is_known(backend):
    x = np.zeros((1, 1, 12, 12))
    x[0, 0, 2:5, 6:9] = 1  # the spot
    with use_backend(backend):
        spot, edge = nn.grad_cam(blob_detector(), x, 0), nn.grad_cam(blob_detector(), x, 1)
        slopes = nn.saliency(blob_detector(), x, 0)
    assert np.argwhere(spot[0]).tolist() == [[3, 7]]  # in its middle, and nowhere else
    assert spot[0, 3, 7] == pytest.approx(1 / 144)  # the map is 1 there, its weight the mean of 144 equal gradients
    assert np.argwhere(edge[0]).tolist() == [[3, 5], [3, 6]]  # the left edge; the right one is dark on bright
    np.testing.assert_array_equal(np.argwhere(slopes[0]), np.argwhere(x[0, 0]))  # those below the filter


def test_a_score_that_no_pixel_can_change_has_no_saliency(backend):
    with use_backend(backend):
        assert not nn.saliency(blob_detector(), np.zeros((1, 1, 6, 6))).any()
        assert not nn.grad_cam(blob_detector(), np.zeros((1, 1, 6, 6))).any()


def test_each_image_by_itself(fast_backend):
    model, layer, x = built("residual", np.float64, images=4)
    classes = np.array([0, 2, 1, 1])
    with use_backend(fast_backend):
        together = nn.saliency(model, x, classes), nn.grad_cam(model, x, classes, layer)
        for i, k in enumerate(classes):
            alone = nn.saliency(model, x[i : i + 1], int(k)), nn.grad_cam(model, x[i : i + 1], k, layer)
            for all_maps, one in zip(together, alone, strict=True):
                np.testing.assert_allclose(one[0], all_maps[i], rtol=1e-10, atol=1e-14)


def test_the_predicted_class_is_the_default():
    model, _, x = built("chain", np.float64)
    with use_backend("numpy"):
        predicted = copy.deepcopy(model).eval()(x).argmax(axis=1)
        np.testing.assert_array_equal(nn.saliency(model, x), nn.saliency(model, x, predicted))
        np.testing.assert_array_equal(nn.grad_cam(model, x), nn.grad_cam(model, x, predicted))


def state(model):
    return (
        {name: array.tobytes() for name, array in model.state_dict().items()},
        [None if p.grad is None else p.grad.tobytes() for p in model.parameters()],
        [p.requires_grad for p in model.parameters()],
        [module.training for module in model.modules()],
        [m.rng.bit_generator.state for m in model.modules() if isinstance(m, nn.Dropout)],
    )


@pytest.mark.parametrize("frozen", [False, True], ids=["learning", "frozen"])
@pytest.mark.parametrize("name", NETS)
def test_nothing_changes(name, frozen, fast_backend):
    model, layer, x = built(name, np.float32)
    with use_backend(fast_backend):
        model.backward(np.ones_like(model(x)))
        next(iter(model.parameters())).grad = None
        model[0].eval()
        if frozen:
            model.requires_grad_(False)
        before = state(model)
        free = nn.saliency(model, x), nn.grad_cam(model, x), nn.grad_cam(model, x, 0, layer)
        for wrong in (
            lambda: nn.grad_cam(model, x, layer="nowhere"),
            lambda: nn.grad_cam(model, x[:, :1]),
            lambda: nn.saliency(model, x[:, :1]),
            lambda: nn.saliency(model, x, 3),
        ):
            with pytest.raises(ValueError, match=r".*"):
                wrong()
        assert state(model) == before
        again = nn.saliency(model, x), nn.grad_cam(model, x), nn.grad_cam(model, x, 0, layer)
    for one, other in zip(free, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_backward_pass_still_belongs_to_its_forward(fast_backend):
    model, _, x = built("residual", np.float32)
    with use_backend(fast_backend):
        dy = np.ones_like(model(x))
        expected = model.backward(dy), [p.grad.tobytes() for p in model.parameters()]
        model.zero_grad()
        model(x)
        nn.saliency(model, x[:1])
        nn.grad_cam(model, x[:1])
        np.testing.assert_array_equal(model.backward(dy), expected[0])
    assert [p.grad.tobytes() for p in model.parameters()] == expected[1]


def test_a_layer_that_fails_changes_nothing(fast_backend):
    class Broken(nn.Module):
        def forward(self, x):
            return x * 1

        def backward(self, dy):
            raise ArithmeticError("on the way back")

    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.BatchNorm2d(1), Broken(), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2, rng=rng))
    x, before = np.ones((2, 1, 2, 2), np.float32), state(model)
    with use_backend(fast_backend):
        for function in (nn.saliency, nn.grad_cam):
            with pytest.raises(ArithmeticError, match="on the way back"):
                function(model, x)
        assert state(model) == before
        assert nn.saliency(nn.Sequential(nn.Flatten(), nn.Linear(4, 2, rng=rng)), x).shape == (2, 2, 2)


class Deaf(nn.Module):
    """Its output does not depend on the layer that it calls."""

    def __init__(self):
        self.ignored, self.linear = nn.ReLU(), nn.Linear(4, 2, dtype=np.float64)

    def forward(self, x):
        self._shape = x.shape
        self.ignored(x)
        return self.linear(x.reshape(len(x), 4))

    def backward(self, dy):
        return self.linear.backward(dy).reshape(self._shape)


RELU = nn.ReLU()
HEAD = nn.Flatten(), nn.Linear(4, 2, dtype=np.float64)
X = np.ones((2, 1, 2, 2))
NET = nn.Sequential(RELU, *HEAD)
TWO = nn.Sequential(nn.Parallel(nn.Flatten(), nn.Flatten()), nn.Linear(8, 2, dtype=np.float64))


@pytest.mark.parametrize("function", [nn.saliency, nn.grad_cam])
@pytest.mark.parametrize(
    ("model", "x", "target", "error", "text"),
    [
        pytest.param(abs, X, None, TypeError, "`model` must be a Module, not builtin_function", id="no model"),
        pytest.param(TWO, X, None, ValueError, "`model` must take one input, but this Sequential takes several.",
                     id="two inputs"),
        pytest.param(NET, [1.0], None, TypeError, "`x` must be a numpy array, not list.", id="list"),
        pytest.param(NET, X[0, 0], None, ValueError,
                     "`x` must be a batch of images, (N, C, H, W), or of signals, (N, C, L), but its shape is (2, 2).",
                     id="rows"),
        pytest.param(RELU, X, None, ValueError,
                     "`model` must give each image a score for each class, (N, K), not (2, 1, 2, 2).", id="no scores"),
        pytest.param(NET, X, 2, ValueError, "`target` is 2, but the classes of `model` are 0 to 1.",
                     id="no class"),
        pytest.param(NET, X, -1, ValueError, "`target` is -1, but", id="negative"),
        pytest.param(NET, X, True, TypeError,
                     "`target` must be a class, a numpy array of classes or None, not True.", id="a flag"),
        pytest.param(NET, X, np.array([0, 2]), ValueError, "`target` holds 2, but", id="array"),
        pytest.param(NET, X, np.array([0]), ValueError, "`target` has shape (1,)", id="one short"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(function, model, x, target, error, text):
    with use_backend("numpy"), pytest.raises(error) as raised:
        function(model, x, target)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("model", "layer", "text"),
    [
        pytest.param(NET, "3", "`model` has no layer '3'; its layers are '', '0', '1', '2'.",
                     id="no layer"),
        pytest.param(NET, 1, "Layer '1' makes no maps: its output has shape (4,).", id="rows"),
        pytest.param(nn.Sequential(*HEAD), None, "No layer of `model` makes maps of more than one pixel", id="no maps"),
        pytest.param(nn.Sequential(RELU, nn.Tanh(), RELU, *HEAD), 0, "Layer '0' is called 2 times in a pass",
                     id="called twice"),
        pytest.param(Deaf(), "ignored", "do not depend on the output of layer 'ignored': it gets no gradient.",
                     id="unused"),
    ],
)  # fmt: skip
def test_layers_that_grad_cam_cannot_use(model, layer, text):
    with use_backend("numpy"), pytest.raises(ValueError, match=r".*") as raised:
        nn.grad_cam(model, X, 0, layer)
    assert text in str(raised.value)


def test_the_last_call_of_a_layer_that_stands_twice():
    model = nn.Sequential(RELU, nn.AvgPool2d(1), RELU, *HEAD)
    other = nn.Sequential(nn.ReLU(), nn.AvgPool2d(1), nn.ReLU(), *HEAD)
    with use_backend("numpy"):
        np.testing.assert_array_equal(nn.grad_cam(model, X, 0), nn.grad_cam(other, X, 0, "2"))


def test_a_layer_of_two_names_is_found_by_both():
    class Named(nn.Module):
        def __init__(self):
            self.net = blob_detector()
            self.conv = self.net[0]

        def forward(self, x):
            return self.net(x)

        def backward(self, dy):
            return self.net.backward(dy)

    with use_backend("numpy"):
        model, x = Named(), np.random.default_rng(0).standard_normal((2, 1, 8, 8))
        by_one, by_other = (nn.grad_cam(model, x, layer=name) for name in ("net.0", "conv"))
    np.testing.assert_array_equal(by_one, by_other)
