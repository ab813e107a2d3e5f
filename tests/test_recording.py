"""Recorded passes equal passes layer by layer, bit for bit, whatever happens between two batches."""

import numpy as np
import pytest

from fastcnn import models, nn, use_backend
from fastcnn.nn import recording
from fastcnn.testing import activations
from tests.in_threads import in_threads


class LayerByLayer(nn.Sequential):
    """A container that is never recorded, like its layers."""

    def forward(self, x):
        with recording.layer_by_layer():
            return super().forward(x)


@pytest.fixture(autouse=True)
def numba_backend():
    with use_backend("numba"):
        yield


@pytest.fixture
def runs(monkeypatch):
    """A list with one entry for each replayed program."""
    from fastcnn.backends.numba_direct.runtime.program import Program

    made = []
    original = Program.__call__
    monkeypatch.setattr(Program, "__call__", lambda self, *inputs: (made.append(self), original(self, *inputs))[1])
    return made


class Doubled(nn.Module):
    """A layer of a user's own, which is called between recorded stretches."""

    def forward_native(self, x, backend):
        return backend.pack(2 * backend.unpack(x))

    def backward_native(self, dy, backend, input_grad):
        return backend.pack(2 * backend.unpack(dy))


def layers():
    rng = np.random.default_rng(5)
    return [
        nn.Conv2d(2, 3, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3, stride=2, padding=1, rng=rng),
        nn.Tanh(),
        nn.AdaptiveMaxPool2d(3),
        nn.AdaptiveAvgPool2d(4),
        nn.Dropout(0.5, rng=rng).eval(),
        nn.AvgPool2d(2),
        nn.Residual(nn.Conv2d(4, 6, 3, padding=1, rng=rng), nn.Sequential(nn.AvgPool2d(1), nn.ResizeChannels(6))),
        nn.Residual(nn.Sequential(nn.Conv2d(6, 6, 1, rng=rng), nn.ScaledTanh())),
        nn.Conv2d(6, 5, (2, 2), rng=rng),
        nn.LeakyReLU(),
        nn.GlobalAvgPool2d(),
        nn.Linear(5, 4, rng=rng),
        nn.Sequential(nn.Sigmoid(), nn.Linear(4, 3, rng=rng)),
        nn.Sequential(nn.GELU("tanh"), nn.ELU(0.5), *(kind() for kind in activations.LAYERS.values()), nn.Softmax()),
    ]


def batch(N, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, 2, 16, 16), np.float32), rng.standard_normal((N, 3), np.float32)


def passes(model, x, dy, input_grad=True):
    """Return the results of a forward and a backward pass: output, gradient of the input, gradients of parameters."""
    model.zero_grad()
    y = model(x)
    dx = model.backward(dy, input_grad=input_grad)
    return [y, *([dx] if input_grad else []), *(parameter.grad.copy() for parameter in model.parameters())]


def assert_same(actual, expected):
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, e)


def test_batches_of_all_shapes_in_any_order(runs):
    model, direct = nn.Sequential(*layers()), LayerByLayer(*layers())
    for seed, (N, input_grad) in enumerate([(20, True), (20, False), (3, True), (20, True), (3, True), (20, False)]):
        x, dy = batch(N, seed)
        assert_same(passes(model, x, dy, input_grad), passes(direct, x, dy, input_grad))
    assert len(runs) == 7  # all passes except the first for 20 and for 3 images, forward and for each kind of backward


def test_every_number_of_layers(runs):
    for stop in range(1, len(layers()) + 1):
        model, direct = nn.Sequential(*layers()[:stop]), LayerByLayer(*layers()[:stop])
        for seed in range(2):
            x, _ = batch(4, seed)
            dy = np.random.default_rng(seed).standard_normal(direct(x).shape).astype(np.float32)
            assert_same(passes(model, x, dy), passes(direct, x, dy))
    assert len(runs) == 2 * len(layers())


def test_training(runs):
    """Parameters change in place, which replays must see; clipped gradients must not affect replays."""
    from fastcnn import optim

    losses = []
    for model in (models.LeNet5(rng=np.random.default_rng(0)), None):
        if model is None:
            model = LayerByLayer(*models.LeNet5(rng=np.random.default_rng(0)).layers)
        optimizer, criterion = optim.SGD(model.parameters(), 0.01, momentum=0.9), nn.CrossEntropyLoss()
        rng, curve = np.random.default_rng(1), []
        for _ in range(4):
            x, labels = rng.standard_normal((20, 1, 32, 32), np.float32), rng.integers(0, 10, 20)
            curve.append(criterion(model(x), labels))
            optimizer.zero_grad()
            model.backward(criterion.backward(), input_grad=False)
            assert optim.clip_grad_norm(model.parameters(), 0.1) > 0.1
            optimizer.step()
        losses.append(curve)
    assert losses[0] == losses[1]
    assert len(runs) == 6


@pytest.mark.parametrize("take", [lambda grad: grad, lambda grad: grad[..., :1]], ids=["itself", "a view"])
def test_a_gradient_that_somebody_took_stays(runs, take):
    model = nn.Sequential(*layers())
    for seed in range(3):
        passes(model, *batch(4, seed))
    taken = [take(parameter.grad) for parameter in model.parameters()]
    before = [grad.copy() for grad in taken]
    passes(model, *batch(4, 4))
    assert_same(taken, before)
    assert_same(passes(model, *batch(4, 5)), passes(LayerByLayer(*layers()), *batch(4, 5)))


def test_gradients_add_up(runs):
    model, direct = nn.Sequential(*layers()), LayerByLayer(*layers())
    for seed in range(3):
        for m in (model, direct):
            m.zero_grad()
            for part in range(3):
                x, dy = batch(4, 10 * seed + part)
                m(x)
                m.backward(dy)
        assert_same([p.grad for p in model.parameters()], [p.grad for p in direct.parameters()])


def test_an_output_stays_when_the_next_is_computed(runs):
    model = nn.Sequential(*layers())
    outputs = [model(batch(4, seed)[0]) for seed in range(3)]
    assert_same(outputs, [LayerByLayer(*layers())(batch(4, seed)[0]) for seed in range(3)])
    assert runs


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: setattr(m[12], "negative_slope", 0.5), id="an attribute"),
        pytest.param(lambda m: setattr(m[14].weight, "data", m[14].weight.data * 2), id="a parameter's array"),
        pytest.param(lambda m: setattr(m[14], "bias", nn.Parameter(np.ones(4, np.float32))), id="a parameter"),
        pytest.param(lambda m: m.load_state_dict({k: 2 * v for k, v in m.state_dict().items()}), id="all weights"),
    ],
)
def test_a_change_is_seen(runs, change):
    model, direct = nn.Sequential(*layers()), LayerByLayer(*layers())
    x, dy = batch(4, 0)
    for m in (model, direct):
        m(x)
        m.backward(dy)
        before = m(x)
        change(m)
    assert runs
    assert (model(x) != before).any()
    assert_same(passes(model, x, dy), passes(direct, x, dy))


def test_a_change_between_forward_and_backward_is_seen(runs):
    model, direct = nn.Sequential(*layers()), LayerByLayer(*layers())
    x, dy = batch(4, 0)
    for m in (model, direct):
        m(x)
        m.backward(dy)
        m(batch(9, 1)[0])
        m(x)  # not the shape of the last batch
        m[12].negative_slope = 0.5
    model.zero_grad()
    direct.zero_grad()
    assert_same([model.backward(dy)], [direct.backward(dy)])
    assert_same([p.grad for p in model.parameters()], [p.grad for p in direct.parameters()])


def test_a_change_of_a_stretch_between_forward_and_backward_is_seen(runs):
    def make(kind):
        return kind(nn.Linear(3, 4, rng=np.random.default_rng(0)), nn.LeakyReLU(), Doubled())

    model, direct = make(nn.Sequential), make(LayerByLayer)
    x, dy = np.random.default_rng(1).standard_normal((5, 3), np.float32), np.ones((5, 4), np.float32)
    for m in (model, direct):
        passes(m, x, dy)
        m(x)
        m[1].negative_slope = 0.5
        m.zero_grad()
    assert runs
    assert_same([model.backward(dy)], [direct.backward(dy)])
    assert_same([p.grad for p in model.parameters()], [p.grad for p in direct.parameters()])


def test_a_private_note_on_a_layer_changes_nothing(runs):
    model = nn.Sequential(nn.Linear(3, 2))
    for _ in range(3):
        model(np.ones((2, 3), np.float32))
        model[0]._note = "seen"
        del model[0]._note
    assert len(runs) == 2
    model[0].note = "seen"
    model(np.ones((2, 3), np.float32))
    del model[0].note
    model(np.ones((2, 3), np.float32))
    assert len(runs) == 2


@pytest.mark.parametrize(
    "array", [np.broadcast_to(np.float32(1), 2), np.ones((2, 2), np.float32)[:, 0]], ids=["read-only", "strided"]
)
def test_a_layer_whose_array_is_read_only_or_strided_is_called(runs, array):
    model, direct = (kind(nn.Linear(3, 2, rng=np.random.default_rng(0))) for kind in (nn.Sequential, LayerByLayer))
    x, dy = np.ones((5, 3), np.float32), np.ones((5, 2), np.float32)
    for m in (model, direct):
        m[0].bias.data = array
    assert nn.unrecorded(model) == {"0": "one of its arrays is read-only or strided"}
    for _ in range(2):
        assert_same(passes(model, x, dy), passes(direct, x, dy))
    assert not runs


def test_dropout_draws_anew_for_every_batch_in_training(runs):
    model = nn.Sequential(nn.Dropout(0.5, rng=np.random.default_rng(0)))
    x = np.ones((1, 64))
    assert (model(x) != model(x)).any()
    assert len(runs) == 1
    model.eval()
    assert_same([model(x), model(x)], [x, x])
    assert len(runs) == 2
    model.train()
    assert (model(x) != model(x)).any()


def test_dropout_draws_the_same_recorded_or_not():
    model, direct = (kind(nn.Dropout2d(0.3, rng=np.random.default_rng(2)), nn.Flatten(),
                          nn.Linear(6, 5, rng=np.random.default_rng(0)), nn.Dropout(0.4, rng=np.random.default_rng(1)))
                     for kind in (nn.Sequential, LayerByLayer))  # fmt: skip
    for seed in range(4):
        x, dy = (np.random.default_rng(seed).standard_normal((20, *n), np.float32) for n in ((3, 1, 2), (5,)))
        assert_same(passes(model, x, dy), passes(direct, x, dy))


def test_batch_normalization_tracks_the_same_recorded_or_not(runs):
    model, direct = (kind(nn.Conv2d(2, 4, 3, rng=np.random.default_rng(0)), nn.BatchNorm2d(4), nn.ReLU(),
                          nn.BatchNorm2d(4, momentum=None)) for kind in (nn.Sequential, LayerByLayer))  # fmt: skip
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, dy = rng.standard_normal((20, 2, 6, 6), np.float32), rng.standard_normal((20, 4, 4, 4), np.float32)
        assert_same(passes(model, x, dy), passes(direct, x, dy))
        assert_same(list(model.state_dict().values()), list(direct.state_dict().values()))
    assert_same([model.eval()(x), model(x)], [direct.eval()(x), direct(x)])
    assert len(runs) == 7


def test_a_layer_of_the_users_own_computes_every_batch(runs):
    calls = []

    class Counted(nn.ReLU):
        def forward_native(self, x, backend):
            calls.append(x.shape)
            return super().forward_native(x, backend)

    model = nn.Sequential(nn.Linear(3, 2), Counted())
    for _ in range(3):
        model(np.ones((2, 3), np.float32))
    assert len(calls) == 3
    assert not runs


def test_what_is_beside_a_layer_of_the_users_own_is_recorded(runs):
    own = [[*layers()[:8], Doubled(), *layers()[8:]] for _ in range(2)]
    model, direct = nn.Sequential(*own[0]), LayerByLayer(*own[1])
    assert nn.unrecorded(model) == {"8": "Doubled is a user-defined class"}
    for seed, N in enumerate([4, 4, 3, 4]):
        x, dy = batch(N, seed)
        assert_same(passes(model, x, dy), passes(direct, x, dy))
    assert len(runs) == 8  # two stretches, forward and backward, twice


def test_a_stretch_that_is_called_twice_remembers_both_calls(runs):
    class Twice(nn.Module):
        def __init__(self, inner):
            self.inner = inner

        def forward_native(self, x, backend):
            x = self.inner.forward_native(x, backend)
            self._first = nn.last_call(self.inner)
            x = self.inner.forward_native(x, backend)
            self._second = nn.last_call(self.inner)
            return x

        def backward_native(self, dy, backend, input_grad):
            return self._first.backward(self._second.backward(dy, backend, True), backend, input_grad)

    def make(kind):
        rng = np.random.default_rng(0)
        return kind(Twice(nn.Sequential(nn.Linear(5, 4, rng=rng), nn.Tanh(), nn.Linear(4, 5, rng=rng), nn.ReLU())))

    model, direct = make(nn.Sequential), make(LayerByLayer)
    for seed in range(4):
        x, dy = np.random.default_rng(seed).standard_normal((2, 20, 5), np.float32)
        assert_same(passes(model, x, dy), passes(direct, x, dy))
    assert runs


def test_gradients_of_a_parameter_in_two_layers_add_up(runs):
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    model, direct = nn.Sequential(first, second), LayerByLayer(first, second)
    x, dy = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    for _ in range(2):
        assert_same(passes(model, x, dy), passes(direct, x, dy))
    assert len(runs) == 2


def test_another_model_changes_nothing(runs):
    model = nn.Sequential(nn.Linear(3, 2))
    for _ in range(3):
        model(np.ones((2, 3), np.float32))
        nn.Linear(3, 2).new = 1
    assert len(runs) == 2


def test_only_the_last_few_shapes_are_kept():
    model = nn.Sequential(nn.ReLU())
    for N in range(1, 20):
        model(np.ones((N, 3)))
    assert len(model._recordings._made) == recording._KEPT


def test_a_copy_has_recordings_of_its_own(runs):
    from copy import deepcopy

    model, (x, dy) = nn.Sequential(*layers()), batch(4, 0)
    passes(model, x, dy)
    other = deepcopy(model)
    for parameter in other.parameters():
        parameter.data *= 2
    expected = passes(LayerByLayer(*other.layers), x, dy)
    assert_same(passes(other, x, dy), expected)
    assert_same(passes(other, x, dy), expected)


def test_two_threads_may_ask_one_model():
    model = nn.Sequential(*layers())
    inputs = [batch(4, seed)[0] for seed in range(2)]
    expected = [LayerByLayer(*layers())(x) for x in inputs]
    wrong = []

    def work(k):
        for _ in range(200):
            if not np.array_equal(model(inputs[k]), expected[k]):
                wrong.append(k)

    in_threads(work, range(2))
    assert not wrong


class Mirrored:
    """A mixin that is not a Module."""

    def forward_native(self, x, backend):
        return backend.pack(np.ascontiguousarray(backend.unpack(super().forward_native(x, backend))[:, ::-1]))


class MirroredIdentity(Mirrored, nn.Identity):
    pass


class OwnSlope(nn.LeakyReLU):
    """A layer whose slope is a property with a private attribute."""

    def __init__(self):
        self._slope = 0.5

    @property
    def negative_slope(self):
        return self._slope


class Noisy(nn.Tanh):
    def forward_native(self, x, backend):
        return super().forward_native(backend.pack(backend.unpack(x) + np.random.default_rng().random()), backend)


class Same(nn.LeakyReLU):
    """A subclass that only changes a value."""

    def __init__(self):
        super().__init__(0.3)


@pytest.mark.parametrize(
    ("layer", "known"),
    [(MirroredIdentity, False), (OwnSlope, False), (Noisy, False), (Same, True), (nn.Tanh, True)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_only_what_is_known_to_launch_kernels_is_recorded(layer, known, runs):
    layer = layer()
    assert recording.is_recordable(layer) is known
    model = nn.Sequential(layer)
    model(np.ones((2, 3)))
    model(np.ones((2, 3)))
    assert bool(runs) is known


def test_a_mixin_computes_every_batch():
    model = nn.Sequential(MirroredIdentity())
    for start in (0.0, 6.0):
        x = np.arange(start, start + 6).reshape(2, 3)
        np.testing.assert_array_equal(model(x), x[:, ::-1])


def test_a_private_attribute_that_a_property_reads_is_seen():
    layer, x = OwnSlope(), np.full((2, 3), -1.0)
    model = nn.Sequential(layer)
    for layer._slope in (0.5, 0.25):
        np.testing.assert_array_equal(model(x), x * layer._slope)


def test_what_was_read_only_when_it_was_recorded_is_not_a_copy_for_ever():
    def gradient(freeze):
        model = nn.Sequential(
            nn.Linear(3, 4, rng=np.random.default_rng(0)), nn.Tanh(), nn.Linear(4, 2, rng=np.random.default_rng(1))
        )
        x, dy = np.ones((5, 3), np.float32), np.ones((5, 2), np.float32)
        model(x)
        for parameter in model.parameters():
            parameter.data.flags.writeable = not freeze
        model(x)
        model.backward(dy)
        for parameter in model.parameters():
            parameter.data.flags.writeable = True
            parameter.data += 1
        model.zero_grad()
        return [model(x), model.backward(dy), *(parameter.grad for parameter in model.parameters())]

    assert_same(gradient(freeze=True), gradient(freeze=False))


def test_a_view_of_a_gradient_stays_when_memory_is_short(monkeypatch):
    from fastcnn.backends.numba_direct.runtime import memory

    model = nn.Sequential(*layers())
    for seed in range(2):
        passes(model, *batch(4, seed))
    views = [parameter.grad.ravel() for parameter in model.parameters()]
    before = [view.copy() for view in views]
    monkeypatch.setattr(memory._Shelf, "most", 0)
    memory.aligned((1000,), np.dtype(np.float32))
    for seed in range(2, 5):
        passes(model, *batch(4, seed))
    assert_same(views, before)


def test_no_gradient_is_of_a_batch_that_was_interrupted(monkeypatch):
    """Half of the arrays of the recording still belong to the batch before."""
    from fastcnn.backends.numba_direct.runtime import launches

    model, (x, dy) = nn.Sequential(*layers()), batch(4, 0)
    expected = passes(model, x, dy)
    passes(model, x, dy)

    def interrupted(table, *args):
        original(table[: len(table) // 2], *args)
        raise KeyboardInterrupt

    original = launches.run
    with monkeypatch.context() as patch:
        patch.setattr(launches, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model(batch(4, 1)[0])
    with pytest.raises(RuntimeError, match="needs the output of a batch"):
        model.backward(dy)
    assert_same(passes(model, x, dy), expected)
