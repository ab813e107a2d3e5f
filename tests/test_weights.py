"""Saving and loading weights."""

import os

import numpy as np
import pytest

from fastcnn import _files, _safetensors, models, nn, training


def make_model(seed: int) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.Flatten(), nn.Linear(2, 2, rng=rng, dtype=np.float64))


def assert_same(model, state):
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_round_trip_is_exact(tmp_path):
    model, twin = make_model(0), make_model(1)
    training.save_weights(model, tmp_path / "a.safetensors")
    training.load_weights(twin, str(tmp_path / "a.safetensors"))
    assert_same(twin, model.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("length", range(1, 9))
def test_the_numbers_are_aligned(length):
    """Programs that map the file into memory need it."""
    size, header, numbers = _safetensors.parts({"a" * length: np.arange(3.0)}, {})
    assert int.from_bytes(size, "little") == len(header)
    assert len(size + header) % 8 == 0
    assert bytes(numbers) == np.arange(3.0).tobytes()


def test_torch_reads_it(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    model = models.LeNet5(rng=np.random.default_rng(0))
    training.save_weights(model, tmp_path / "a.safetensors")
    linear = torch.nn.Linear(84, 10)
    state = load_file(tmp_path / "a.safetensors")
    linear.load_state_dict({"weight": state["11.weight"], "bias": state["11.bias"]})
    np.testing.assert_array_equal(linear.weight.detach().numpy(), model[11].weight.data)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path, model = tmp_path / "a.safetensors", make_model(0)
    training.save_weights(model, path)
    old = path.read_bytes()

    def full(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        training.save_weights(make_model(1), path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[:-1], id="the last byte is missing"),
        pytest.param(lambda data: data[:20], id="cut in the header"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"\x80\x04K\x01." * 20, id="a pickle"),
    ],
)
def test_a_damaged_file_is_named_and_changes_nothing(tmp_path, spoil):
    path, model = tmp_path / "a.safetensors", make_model(0)
    training.save_weights(make_model(1), path)
    path.write_bytes(spoil(path.read_bytes()))
    state = model.state_dict()
    with pytest.raises(ValueError, match=r"a\.safetensors is not a complete safetensors file: "):
        training.load_weights(model, path)
    assert_same(model, state)


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    training.save_weights(nn.Sequential(nn.Linear(3, 3)), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors: The state does not fit .*`2\.bias` is missing"):
        training.load_weights(make_model(0), tmp_path / "a.safetensors")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.safetensors"):
        training.load_weights(make_model(0), tmp_path / "b.safetensors")
