"""Signals (N, C, L) in nets, training, inference, data loading and the example."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn import data, models, nn, optim, training
from fastcnn.nn import fusion
from fastcnn.testing import assert_close

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    before = fastcnn.get_num_threads()
    yield
    fastcnn.set_num_threads(before)


def small_net(rng, dtype=np.float32) -> nn.Sequential:
    """Make a net of every layer for signals; takes (N, 2, 24)."""
    return nn.Sequential(
        nn.Conv1d(2, 6, 5, padding="same", rng=rng, dtype=dtype),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(6, 4, 3, stride=2, padding=(2, 1), groups=2, bias=False, rng=rng, dtype=dtype),
        nn.BatchNorm1d(4, dtype=dtype),
        nn.ReLU(),
        nn.Residual(nn.Conv1d(4, 4, 3, padding=1, rng=rng, dtype=dtype)),
        nn.ConvTranspose1d(4, 3, 4, 2, 1, rng=rng, dtype=dtype),
        nn.BatchNorm1d(3, dtype=dtype),
        nn.AvgPool1d(3, 2, 1),
        nn.Dropout(0.2, rng=np.random.default_rng(5)),
        nn.AdaptiveMaxPool1d(4),
        nn.AdaptiveAvgPool1d(2),
        nn.Flatten(),
        nn.Linear(6, 5, rng=rng, dtype=dtype),
    )


NETS = {
    "small": (small_net, (2, 24)),
    "SignalNet": (lambda rng, dtype=np.float32: models.SignalNet(rng=rng, dtype=dtype), (1, 50)),
}
nets = pytest.mark.parametrize(("make", "shape"), NETS.values(), ids=NETS)


def batches(shape, dtype=np.float32):
    rng = np.random.default_rng(1)
    for N in (20, 7, 20):
        yield rng.standard_normal((N, *shape)).astype(dtype), rng.integers(0, 5, N)


def trained(make, shape, *, by_step: bool, dtype=np.float32) -> list[bytes]:
    """Train; return the losses and the state of the model."""
    model, loss = make(np.random.default_rng(0), dtype=dtype), nn.CrossEntropyLoss()
    optimizer, values = optim.Adam(model.parameters(), lr=0.01), []
    step = training.TrainStep(model, optimizer, loss)
    for x, labels in batches(shape, dtype):
        if by_step:
            values.append(step(x, labels))
            continue
        values.append(loss(model(x), labels))
        optimizer.zero_grad()
        model.backward(loss.backward(), input_grad=False)
        optimizer.step()
    return [np.array(values).tobytes(), *(array.tobytes() for array in model.state_dict().values())]


@nets
def test_all_is_recorded(make, shape):
    assert nn.unrecorded(make(np.random.default_rng(0))) == {}


@nets
def test_a_train_step_is_the_loop_bit_for_bit(make, shape, fast_backend):
    with fastcnn.use_backend(fast_backend):
        assert trained(make, shape, by_step=True) == trained(make, shape, by_step=False)


@nets
def test_training_gives_the_same_bits_on_any_number_of_threads(make, shape):
    found = []
    for threads in (1, 2, 3):
        fastcnn.set_num_threads(threads)
        found.append(trained(make, shape, by_step=True))
    assert found[0] == found[1] == found[2]


@nets
def test_backends_learn_the_same(make, shape):
    losses = []
    for backend in ("naive", "numpy", "numba"):
        with fastcnn.use_backend(backend):
            losses.append(np.frombuffer(trained(make, shape, by_step=True, dtype=np.float64)[0]))
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-9)


@nets
@pytest.mark.parametrize("N", [1, 3, 20])
def test_compiled_inference_answers_as_the_model(make, shape, N, fast_backend, rng):
    with fastcnn.use_backend(fast_backend):
        model = make(np.random.default_rng(0))
        for x, _ in batches(shape):
            model(x)  # updates the running statistics
        infer, x = model.eval().compile_inference(), rng.standard_normal((N, *shape)).astype(np.float32)
        norms = [layer for layer in infer.layers.modules() if isinstance(layer, nn.BatchNorm1d)]
        y = model(x)
        assert not norms
        assert_close(infer(x), y, 256, np.full(y.shape, np.abs(y).max()))


@pytest.mark.parametrize("dim", [1, 2, -1])
@pytest.mark.parametrize("channels", [5, 16])
def test_branches_of_signals_are_joined_along_both_axes(dim, channels, rng):
    branches = (nn.Conv1d(2, channels, size, padding="same", rng=rng) for size in (3, 5))
    model = nn.Sequential(nn.Concat(*branches, dim=dim), nn.ReLU(), nn.MaxPool1d(2)).eval()
    x = rng.standard_normal((20, 2, 12)).astype(np.float32)
    y, infer = model(x), model.compile_inference()
    assert y.shape == ((20, 2 * channels, 6) if dim == 1 else (20, channels, 12))
    for N in (1, 20):
        np.testing.assert_array_equal(infer(x[:N]), model(x[:N]))
    with fastcnn.use_backend("naive"):
        assert_close(y, model(x), 10, np.full(y.shape, np.abs(y).max()))


def test_batch_normalization_is_folded_into_both_convolutions_of_signals():
    model = nn.Sequential(nn.Conv1d(4, 6, 3, groups=2), nn.BatchNorm1d(6), nn.ConvTranspose1d(6, 4, 3, groups=2),
                          nn.BatchNorm1d(4)).eval()  # fmt: skip
    assert [type(layer) for layer in model.compile_inference().layers] == [nn.Conv1d, nn.ConvTranspose1d]


def test_neighbours_of_signals_compute_as_one():
    layers = nn.Conv1d(1, 2, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(2, 2, 3), nn.BatchNorm1d(2), nn.ReLU()
    assert [type(unit) for unit in fusion.fuse(layers)] == [fusion.ConvMaxPool, nn.Conv1d, fusion.NormReLU]
    images = nn.Conv2d(1, 2, 3), nn.MaxPool1d(2)
    assert [type(unit) for unit in fusion.fuse(images)] == [nn.Conv2d, nn.MaxPool1d]


def test_summary_and_initial_values():
    summary = nn.summarize(models.SignalNet())
    assert (summary.parameters, summary.multiply_adds) == (14_517, 430_400)
    assert summary.rows[1].output_shape == (16, 256)
    weight = nn.Conv1d(8, 100, 5, rng=np.random.default_rng(0)).weight.data
    assert 0.99 / np.sqrt(40) < np.abs(weight).max() <= 1 / np.sqrt(40)  # fan_in = 8 * 5


def test_the_first_image_layer_of_a_signal_net_says_what_it_needs():
    with pytest.raises(ValueError, match=r"Conv1d\(1, 16, .*\) needs signals \(N, C, L\) but .* \(2, 1, 8, 8\)"):
        models.SignalNet()(np.zeros((2, 1, 8, 8), np.float32))
    with pytest.raises(ValueError, match="`length` is 15 but must be at least 16"):
        models.SignalNet(length=15)


def test_a_net_of_signals_learns_to_tell_waves_apart():
    rng = np.random.default_rng(0)
    train, test = data.waveforms(600, 64, 0.1, rng=rng), data.waveforms(200, 64, 0.1, rng=rng)
    model = models.SignalNet(length=64, rng=rng)
    loader = data.DataLoader(
        *train, 50, shuffle=True, rng=rng, augment=lambda x, rng: x * np.float32(rng.choice([0.9, 1.1]))
    )
    trainer = training.Trainer(model, optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss())
    trainer.fit(loader, test, epochs=6)
    assert training.evaluate(model, *test).accuracy > 0.8


def test_waves_are_what_they_are_called():
    signals, labels = data.waveforms(400, 200, 0, rng=np.random.default_rng(0))
    assert (signals.dtype, labels.dtype, signals.shape) == (np.float32, np.int64, (400, 1, 200))
    assert {*labels.tolist()} == set(range(5))
    sizes = np.abs(signals[:, 0]).max(1)
    assert sizes.min() > 0.45
    assert sizes.max() <= 1.5
    steps = np.diff(signals[:, 0] / sizes[:, None], axis=1)
    for name, wave in zip((data.WAVEFORMS[label] for label in labels), steps, strict=True):
        jumps, slopes = np.abs(wave) > 0.5, np.abs(wave[np.abs(wave) <= 0.5])
        if name == "square":
            assert jumps.any()
            assert slopes.max() == 0  # constant except for its jumps
        elif name == "sawtooth":
            assert (wave[jumps] < 0).all()  # it rises linearly and drops suddenly
            assert np.ptp(slopes) < 1e-5
        else:
            assert not jumps.any()
        if name == "triangle":
            assert np.median(slopes) == pytest.approx(slopes.max(), rel=1e-3)  # constant slope except at its peaks
        if name == "chirp":
            between = np.diff(np.flatnonzero(wave[:-1] * wave[1:] < 0))  # its peaks
            assert between[-1] < between[0]  # its frequency increases


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"n": 0}, ValueError, "`n` is 0 but must be at least 1."),
        ({"length": 0}, ValueError, "`length` is 0 but must be at least 1."),
        ({"noise": -1}, ValueError, "`noise` is -1 but must be at least 0"),
        ({"rng": 3}, TypeError, "`rng` must be a numpy.random.Generator, not int."),
    ],
)
def test_waves_say_what_they_need(options, error, text):
    with pytest.raises(error) as raised:
        data.waveforms(**{"n": 1, "rng": np.random.default_rng(0), **options})
    assert str(raised.value).startswith(text)


def test_the_example_writes_its_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    options = ["--out", str(tmp_path), "--signals", "200", "--epochs", "2", "--backend", "numpy"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/signals.py"), *options], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[-2].startswith("Accuracy: ")
    assert lines[-1].startswith("Wrote confusion.png, curves.png, history.json and signals.png to ")
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
