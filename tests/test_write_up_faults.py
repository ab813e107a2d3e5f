"""Mistakes of five public write-ups of CNNs in NumPy that fastcnn does not make.

Each test is named after its row in the table of faults: test_0_3 is row 0-3. The write-ups: S0 is a LeNet
made faster with im2col, S1 is PyNet, S2 a framework in NumPy, S3 a course report, S4 one convolution against PyTorch.
"""

import ast
from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn import data, models, nn, optim, training
from fastcnn import functional as F
from fastcnn.testing import central_difference

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def _every_backend(backend):
    """Run all tests on each backend."""
    with fastcnn.use_backend(backend):
        yield


def conv_gradients_are_right(rng, x_shape, weight_shape, **options):
    """Compare all three gradients with finite differences of the convolution."""
    x, weight, bias = rng.normal(size=x_shape), rng.normal(size=weight_shape), rng.normal(size=weight_shape[0])
    dy = rng.normal(size=F.conv2d(x, weight, bias, **options).shape)
    gradients = F.conv2d_backward(dy, x, weight, **options)
    for i, gradient in enumerate(gradients):
        arguments = [x, weight, bias]

        def loss(changed, i=i, arguments=arguments):
            return float((dy * F.conv2d(*arguments[:i], changed, *arguments[i + 1 :], **options)).sum())

        direction = rng.normal(size=gradient.shape)
        slope = central_difference(loss, arguments[i], direction)
        np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-6)


def small_net(rng, **options):
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=rng, **options), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(2, 3, 2, rng=rng, **options), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 3, rng=rng, **options),
    )  # fmt: skip


def step(model, x, labels, optimizer):
    """Take one training step; return the loss before it."""
    loss = nn.CrossEntropyLoss()
    value = loss(model(x), labels)
    optimizer.zero_grad()
    model.backward(loss.backward(), input_grad=False)
    optimizer.step()
    return value


# S0: a LeNet, sped up with im2col


def test_0_1_stride_and_bias_of_a_convolution_count():
    x, weight = np.arange(16.0).reshape(1, 1, 4, 4), np.ones((1, 1, 1, 1))
    assert F.conv2d(x, weight, np.array([100.0]), stride=2)[0, 0].tolist() == [[100, 102], [108, 110]]


def test_0_2_initial_weights_know_the_kernels_size(rng):
    layer = nn.Conv2d(8, 400, 5, rng=rng)
    nn.init.he_(layer, rng)
    assert layer.weight.data.std() == pytest.approx((2 / (8 * 25)) ** 0.5, rel=0.02)
    assert not layer.bias.data.any()


def test_0_3_input_gradient_turns_the_filters_not_their_channels():
    weight = np.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)
    dy = np.zeros((1, 2, 1, 1))
    dy[0, 1] = 1
    dx, _, _ = F.conv2d_backward(dy, np.zeros((1, 3, 2, 2)), weight)
    assert (dx[0] == weight[1]).all()


def test_0_4_input_gradient_is_not_shifted():
    dy = np.zeros((1, 1, 3, 3))
    dy[0, 0, 1, 1] = 1
    dx, _, _ = F.conv2d_backward(dy, np.zeros((1, 1, 5, 5)), np.arange(1, 10.0).reshape(1, 1, 3, 3))
    assert dx[0, 0, 1:4, 1:4].ravel().tolist() == list(range(1, 10))
    assert dx.sum() == 45


def test_0_5_input_gradient_loses_its_padding():
    x, weight = np.ones((2, 1, 4, 5)), np.ones((1, 1, 3, 3))
    dx, _, _ = F.conv2d_backward(np.ones((2, 1, 4, 5)), x, weight, padding=1)
    assert dx.shape == x.shape
    assert dx[0, 0].tolist() == [[4, 6, 6, 6, 4], [6, 9, 9, 9, 6], [6, 9, 9, 9, 6], [4, 6, 6, 6, 4]]


def test_0_6_one_step_changes_every_parameter(rng):
    model = small_net(rng)
    before = model.state_dict()
    x = rng.normal(size=(20, 1, 8, 8)).astype(np.float32)
    step(model, x, rng.integers(0, 3, 20), optim.SGD(model.parameters(), 0.1))
    assert all((value != before[name]).any() for name, value in model.state_dict().items())


def test_0_7_bias_gradient_is_summed_once(rng):
    dy = rng.normal(size=(5, 2, 3, 3))
    _, _, dbias = F.conv2d_backward(dy, rng.normal(size=(5, 1, 4, 4)), np.ones((2, 1, 2, 2)))
    np.testing.assert_allclose(dbias, dy.sum(axis=(0, 2, 3)))


def test_0_8_a_second_backward_is_not_added_to_the_first(rng):
    model, x, labels = small_net(rng), rng.normal(size=(4, 1, 8, 8)).astype(np.float32), np.array([0, 1, 2, 0])
    optimizer, loss = optim.SGD(model.parameters(), 0.0), nn.CrossEntropyLoss()
    gradients = []
    for _ in range(2):
        optimizer.zero_grad()
        loss(model(x), labels)
        model.backward(loss.backward())
        gradients.append([parameter.grad.copy() for parameter in model.parameters()])
    for first, second in zip(*gradients, strict=True):
        np.testing.assert_array_equal(first, second)


def test_0_9_a_layers_names_are_what_it_uses(rng):
    layer = nn.Linear(2, 1, rng=rng, dtype=np.float64)
    layer.weight.data[...], layer.bias.data[...] = [[2, 3]], [5]
    assert layer(np.array([[1.0, 10.0]])).tolist() == [[37]]


@pytest.mark.parametrize("stride", [2, 3])
def test_0_10_gradients_with_a_stride_that_leaves_pixels_over(rng, stride):
    conv_gradients_are_right(rng, (2, 2, 9, 8), (3, 2, 3, 2), stride=stride, padding=1)
    dx, _, _ = F.conv2d_backward(np.ones((1, 1, 2, 2)), np.ones((1, 1, 6, 6)), np.ones((1, 1, 3, 3)), stride=2)
    assert not dx[..., -1, :].any()  # only 5 of the 6 rows are read
    assert not dx[..., -1].any()


def test_0_11_weight_gradient_of_a_linear_layer():
    x, dy = np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 100.0]])
    _, dweight, dbias = F.linear_backward(dy, x, np.ones((2, 3)))
    assert dweight.tolist() == [[10, 20, 30], [100, 200, 300]]
    assert dbias.tolist() == [10, 100]


def test_0_12_dropout_keeps_the_mean_and_its_gradient_has_the_same_factor(rng):
    layer, x = nn.Dropout(0.25, rng=rng), np.ones((200, 500))
    y = layer(x)
    assert y.mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(layer.backward(np.ones_like(x)), y)  # both are the scaled mask
    assert (layer.eval()(x) == x).all()


def test_0_13_pooling_of_images_that_are_neither_square_nor_divisible():
    x = np.arange(2 * 7 * 11.0).reshape(1, 2, 7, 11)
    y, indices = F.max_pool2d(x, 3, return_indices=True)
    assert y[0, 0].tolist() == [[24, 27, 30], [57, 60, 63]]
    dx = F.max_pool2d_backward(np.ones_like(y), indices, x.shape)
    assert np.flatnonzero(dx[0, 0]).tolist() == [24, 27, 30, 57, 60, 63]


def test_0_14_padding_never_wins():
    x = np.full((1, 1, 3, 3), -5.0)
    y, indices = F.max_pool2d(x, 2, padding=1, return_indices=True)
    assert (y == -5).all()
    assert F.max_pool2d_backward(np.ones_like(y), indices, x.shape).sum() == 4


def test_0_15_of_equals_one_gets_the_gradient():
    y, indices = F.max_pool2d(np.zeros((1, 1, 4, 4)), 2, return_indices=True)
    dx = F.max_pool2d_backward(np.ones_like(y), indices, (1, 1, 4, 4))
    assert dx[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]  # the first of equals


def test_0_16_a_schedule_leaves_the_momentum_alone():
    weight = nn.Parameter(np.array([1.0]))
    optimizer = optim.SGD([weight], lr=1.0, momentum=0.5)
    schedule = optim.StepLR(optimizer, 1, 0.1)
    for _ in range(2):
        weight.grad = np.array([1.0])
        optimizer.step()
        schedule.step()
    assert optimizer.velocity[0].item() == 1.5
    assert weight.data.item() == pytest.approx(1 - 1.0 - 0.1 * 1.5)


def test_0_17_logits_go_into_the_loss_and_test_images_tell_nothing(rng):
    for name in models.NAMES:
        layers = [type(module) for module in models.build(name, rng=rng).modules()]
        assert nn.Softmax not in layers, name
    images = rng.integers(0, 255, (50, 1, 4, 4), dtype=np.uint8)
    statistics = data.mean_and_std(images[:40])
    alone = data.standardize(images[40:41], *statistics)
    assert (data.standardize(images[40:], *statistics)[:1] == alone).all()
    loader = data.DataLoader(np.arange(50), np.arange(50), 10, shuffle=True, rng=rng)
    batches = [labels for _, labels in loader]
    assert sorted(np.concatenate(batches)) == list(range(50))
    assert all(np.ptp(batch) > 9 for batch in batches)


def test_0_18_images_of_a_batch_are_not_mixed(rng):
    x, weight = rng.normal(size=(3, 2, 5, 5)), rng.normal(size=(2, 2, 3, 3))
    together = F.conv2d(x, weight)
    for n in range(3):
        np.testing.assert_allclose(F.conv2d(x[n : n + 1], weight)[0], together[n], rtol=1e-12)


def test_0_19_views_of_windows_cannot_be_written_to():
    for folder in (EXAMPLES, Path(fastcnn.__file__).parent):
        for path in folder.rglob("*.py"):
            for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
                if getattr(call.func, "id", getattr(call.func, "attr", "")) == "as_strided":
                    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                    assert given.get("writeable") == "False", path


# S1: PyNet


def test_1_1_shapes_of_a_convolutions_gradients(rng):
    x, weight = rng.normal(size=(2, 3, 6, 7)), rng.normal(size=(4, 3, 3, 2))
    dx, dweight, dbias = F.conv2d_backward(np.ones((2, 4, 4, 6)), x, weight)
    assert (dx.shape, dweight.shape, dbias.shape) == (x.shape, weight.shape, (4,))


def test_1_2_biases_and_weights_follow_one_mean(rng):
    x, labels, weight, bias = rng.normal(size=(7, 4)), rng.integers(0, 3, 7), rng.normal(size=(3, 4)), np.zeros(3)
    dlogits = F.cross_entropy_backward(F.linear(x, weight, bias), labels)
    _, dweight, dbias = F.linear_backward(dlogits, x, weight)
    direction = rng.normal(size=3)
    slope = central_difference(lambda b: F.cross_entropy(F.linear(x, weight, b), labels), bias, direction)
    assert (dbias * direction).sum() == pytest.approx(slope, rel=1e-6)
    direction = rng.normal(size=(3, 4))
    slope = central_difference(lambda w: F.cross_entropy(F.linear(x, w, bias), labels), weight, direction)
    assert (dweight * direction).sum() == pytest.approx(slope, rel=1e-6)


def test_1_3_large_logits_and_a_second_backward():
    loss, logits = nn.CrossEntropyLoss(), np.array([[1e4, 0.0, -1e4]])
    assert loss(logits, np.array([1])) == 1e4
    first = loss.backward().copy()
    assert first.tolist() == [[1, -1, 0]]
    assert (loss.backward() == first).all()


def test_1_4_a_batch_of_one(rng):
    model = models.LeNet5(rng=rng, dtype=np.float64)
    x = rng.normal(size=(3, 1, 32, 32))
    alone = model(x[:1])
    assert alone.shape == (1, 10)
    np.testing.assert_allclose(alone[0], model(x)[0], rtol=1e-10)
    assert model.backward(np.ones((3, 10))).shape == x.shape


def test_1_5_the_last_batch_counts_and_every_epoch_is_another_order(rng):
    logits, labels = np.eye(3)[[0, 1, 2, 0, 1]], np.array([0, 1, 2, 0, 2])
    evaluation = training.evaluate(nn.Sequential(), logits, labels, batch_size=2)
    assert evaluation.accuracy == pytest.approx(4 / 5)
    assert evaluation.loss == pytest.approx(F.cross_entropy(logits, labels))
    loader = data.DataLoader(np.arange(50), np.arange(50), 20, shuffle=True, rng=rng)
    epochs = [[label for _, labels in loader for label in labels.tolist()] for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50))


def test_1_6_rectangular_kernels_and_sizes_that_do_not_divide(rng):
    assert F.conv2d(np.zeros((1, 1, 8, 9)), np.zeros((1, 1, 3, 2)), stride=(2, 3)).shape == (1, 1, 3, 3)
    conv_gradients_are_right(rng, (1, 1, 8, 9), (2, 1, 3, 2), stride=(2, 3))


def test_1_7_the_first_layer_computes_no_gradient_of_the_images(rng, monkeypatch, backend):
    from fastcnn import backends

    asked, implementation = [], backends.load(backend)
    compute = implementation.conv2d_backward

    def watched(dy, x, weight, windows, groups, input_grad, weight_grad):
        asked.append(input_grad)
        return compute(dy, x, weight, windows, groups, input_grad, weight_grad)

    monkeypatch.setattr(implementation, "conv2d_backward", watched)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.Conv2d(2, 2, 3, rng=rng))
    y = model(np.ones((2, 1, 7, 7), np.float32))
    assert model.backward(np.ones_like(y), input_grad=False) is None
    assert asked == [True, False]  # the second layer runs first


def test_1_8_nothing_is_pickled():
    package = Path(fastcnn.__file__).parent
    checks = package / "testing"  # these only pickle custom layers, and read no files
    for path in {*package.rglob("*.py"), *EXAMPLES.rglob("*.py")} - {*checks.rglob("*.py")}:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            assert "pickle" not in names, path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", path


# S2: a framework in NumPy


@pytest.mark.parametrize(("H", "W", "K", "stride", "size"), [(7, 7, 3, 2, (3, 3)), (9, 9, 3, 3, (3, 3)),
                                                              (7, 10, 3, 2, (3, 4))])  # fmt: skip
def test_2_1_valid_windows(H, W, K, stride, size):
    y = F.conv2d(np.zeros((1, 1, H, W)), np.zeros((1, 1, K, K)), stride=stride, padding="valid")
    assert y.shape[2:] == size


@pytest.mark.parametrize(("H", "K", "stride"), [(7, 3, 2), (8, 2, 1), (8, 4, 1), (5, 3, 3)])
def test_2_2_same_is_the_size_over_the_stride_rounded_up(H, K, stride):
    y = F.conv2d(np.zeros((1, 1, H, H + 1)), np.zeros((1, 1, K, K)), stride=stride, padding="same")
    assert y.shape[2:] == (-(-H // stride), -(-(H + 1) // stride))


def test_2_3_initial_weights_do_not_know_the_batch(rng):
    layer = nn.Conv2d(1, 3000, 5, rng=rng)
    nn.init.he_(layer, rng)
    assert layer.weight.data.std() == pytest.approx(0.283, abs=0.003)  # sqrt(2 / 25)


def test_2_4_a_bias_follows_its_gradient():
    layer, loss, target = nn.Linear(1, 1, dtype=np.float64), nn.MSELoss(), np.array([[3.0]])
    optimizer = optim.SGD(layer.parameters(), 0.4)
    for _ in range(50):
        loss(layer(np.zeros((1, 1))), target)
        optimizer.zero_grad()
        layer.backward(loss.backward())
        optimizer.step()
    assert layer.bias.data.item() == pytest.approx(3)


@pytest.mark.parametrize(
    ("optimizer", "options", "left"),
    [
        pytest.param(optim.SGD, {"weight_decay": 0.1}, 1 - 0.01 * 0.1, id="coupled: lr times decay"),
        pytest.param(optim.AdamW, {"weight_decay": 0.1}, 1 - 0.01 * 0.1, id="decoupled: lr times decay"),
        pytest.param(optim.SGD, {}, 1.0, id="none by default, nor for biases"),
    ],
)
def test_2_5_decay_is_scaled_by_the_learning_rate(optimizer, options, left):
    weight = nn.Parameter(np.ones(1))
    weight.grad = np.zeros(1)
    optimizer([weight], lr=0.01, **options).step()
    assert weight.data.item() == pytest.approx(left, abs=1e-12)


def test_2_6_a_pooling_forgets_its_last_winners(rng):
    layer = nn.MaxPool2d(2)
    for _ in range(3):
        y = layer(rng.permutation(np.arange(16.0)).reshape(1, 1, 4, 4))
    assert np.count_nonzero(layer.backward(np.ones_like(y))) == 4


def test_2_7_windows_are_as_wide_as_the_kernel_not_the_stride():
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    assert F.max_pool2d(x, 2)[0, 0].tolist() == [[6, 8], [16, 18]]
    assert F.max_pool2d(x, 3, 2)[0, 0].tolist() == [[12, 14], [22, 24]]
    assert F.max_pool2d(x, 2, 3)[0, 0].tolist() == [[6, 9], [21, 24]]


def test_2_8_gradients_of_windows_that_overlap_are_added():
    y, indices = F.max_pool2d(np.arange(25.0).reshape(1, 1, 5, 5)[:, :, ::-1].copy(), 3, 1, return_indices=True)
    dx = F.max_pool2d_backward(np.ones_like(y), indices, (1, 1, 5, 5))
    assert dx[0, 0, 0].tolist() == [0, 0, 1, 1, 1]
    dx = F.avg_pool2d_backward(np.ones((1, 1, 3, 3)), (1, 1, 5, 5), 3, 1)
    assert dx[0, 0, 2, 2] == pytest.approx(1)  # nine windows, each with a factor of 1/9


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_2_9_the_callers_gradient_stays_as_it_is_and_zero_gives_none(name):
    x, dy = np.array([-1.0, 0.0, 1.0]), np.ones(3)
    dx = getattr(F, f"{name}_backward")(dy, x)
    assert dx.tolist() == ([0, 0, 1] if name == "relu" else [0.01, 0.01, 1])
    assert dy.tolist() == [1, 1, 1]
    assert not np.shares_memory(dx, dy)


def test_2_10_the_loss_is_a_mean_so_that_a_batch_twice_is_the_same(rng):
    x, labels, weight = rng.normal(size=(4, 3)), rng.integers(0, 2, 4), rng.normal(size=(2, 3))
    gradients = []
    for times in (1, 2):
        batch, classes = np.tile(x, (times, 1)), np.tile(labels, times)
        dlogits = F.cross_entropy_backward(F.linear(batch, weight), classes)
        gradients.append(F.linear_backward(dlogits, batch, weight)[1])
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-12)


def test_2_11_every_test_image_is_counted_once():
    logits, labels = np.eye(2)[np.zeros(70, int)], np.zeros(70, int)
    assert training.evaluate(nn.Sequential(), logits, labels, batch_size=64).accuracy == 1
    assert training.evaluate(nn.Sequential(), logits, labels, batch_size=64).confusion.sum() == 70


# S3: a course report


def test_3_1_extents_are_whole_numbers():
    assert F.avg_pool2d(np.ones((1, 1, 5, 5)), 2).shape == (1, 1, 2, 2)
    assert models.Conv4Conv8(image_size=29)(np.zeros((1, 1, 29, 29), np.float32)).shape == (1, 10)


def test_3_2_a_convolution_is_a_cross_correlation():
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 0, 0] = 1
    assert F.conv2d(x, np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))[0, 0].tolist() == [[1, 0], [0, 0]]
    assert "cross-correlation" in F.conv2d.__doc__


def test_3_3_the_bias_gradient_is_summed_over_images_and_places():
    dy = np.ones((3, 2, 2, 2))
    dy[:, 1] = 10
    dx, dweight, dbias = F.conv2d_backward(dy, np.ones((3, 4, 3, 3)), np.ones((2, 4, 2, 2)))
    assert dbias.tolist() == [12, 120]
    assert (dx.shape, dweight.shape) == ((3, 4, 3, 3), (2, 4, 2, 2))


@pytest.mark.parametrize("padding", [1, 2, (1, 2), (0, 1, 2, 0)])
def test_3_4_gradients_with_padding(rng, padding):
    conv_gradients_are_right(rng, (2, 2, 5, 6), (2, 2, 3, 3), padding=padding)


def test_3_5_logits_stay_as_they_are_and_underflow_is_no_nan():
    logits = np.array([[0.0, -800.0]])
    assert F.cross_entropy(logits, np.array([0])) == 0
    assert F.cross_entropy(logits, np.array([1])) == 800
    assert F.cross_entropy_backward(logits, np.array([0])).tolist() == [[0, 0]]
    assert F.softmax(logits).tolist() == [[1, 0]]
    assert logits.tolist() == [[0, -800]]


def test_3_6_the_second_convolution_has_eight_filters():
    model = models.Conv4Conv8()
    assert [layer.weight.shape[0] for layer in model if isinstance(layer, nn.Conv2d)] == [4, 8]
    assert sum(parameter.size for parameter in model.parameters()) == 4842


# S4: one convolution against PyTorch


def test_4_1_a_convolution_may_stand_anywhere_and_passes_its_gradient_on(rng):
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=rng, dtype=np.float64), nn.Conv2d(2, 2, 3, bias=False, rng=rng, dtype=np.float64)
    )
    x, dy = rng.normal(size=(2, 1, 6, 6)), rng.normal(size=(2, 2, 2, 2))
    model(x)
    dx, direction = model.backward(dy), rng.normal(size=x.shape)
    slope = central_difference(lambda changed: float((dy * model(changed)).sum()), x, direction)
    assert (dx * direction).sum() == pytest.approx(slope, rel=1e-6)


def test_4_2_softmax_of_large_numbers():
    assert F.softmax(np.array([[800.0, 0.0]])).tolist() == [[1, 0]]
    logits = np.array([[800.0, -800.0]])
    assert F.cross_entropy(logits, np.array([1])) == 1600
    assert F.cross_entropy_backward(logits, np.array([1])).tolist() == [[1, -1]]


def test_4_3_an_epochs_mean_counts_what_was_seen(capsys):
    x, labels = np.eye(2)[[0, 0, 1, 1, 0]], np.array([0, 1, 1, 1, 0])
    model = nn.Linear(2, 2, dtype=np.float64)
    model.weight.data[...], model.bias.data[...] = np.eye(2), 0
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.0), nn.CrossEntropyLoss())
    (epoch,) = trainer.fit(data.DataLoader(x, labels, 2), (x, labels), 1).epochs
    assert epoch.train_loss == pytest.approx(F.cross_entropy(x, labels))
    assert epoch.train_accuracy == pytest.approx(4 / 5)


def test_4_4_pixels_in_no_window_have_gradient_zero():
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    for dx in (
        F.max_pool2d_backward(np.ones_like(y), indices, x.shape),
        F.avg_pool2d_backward(np.ones((1, 1, 2, 2)), x.shape, 2),
    ):
        assert not dx[..., -1, :].any()
        assert not dx[..., -1].any()
        assert dx.sum() == 4


def test_4_5_pytorch_is_compared_with_the_same_net(rng, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(EXAMPLES / "recipes"))
    import against_pytorch

    model, x = models.Conv8(rng=rng), rng.normal(size=(5, 1, 28, 28)).astype(np.float32)
    twin = against_pytorch.conv8(model.state_dict())
    assert sum(parameter.numel() for parameter in twin.parameters()) == 13_602
    np.testing.assert_allclose(model(x), twin(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5)
