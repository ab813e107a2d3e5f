"""Weights that travel: the twin net in PyTorch loads them by name, and back, bit for bit."""

import numpy as np
import pytest

from fastcnn import models, training, use_backend
from fastcnn.testing import assert_close

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from tests.torch_twins import twin  # noqa: E402


def drawn(name, seed):
    """A model in which every parameter and buffer has something to tell."""
    rng = np.random.default_rng(seed)
    model = models.build(name, rng=rng)
    state = {
        key: rng.integers(1, 1000, array.shape) if array.dtype == np.int64 else rng.uniform(0.1, 0.3, array.shape)
        for key, array in model.state_dict().items()
    }
    model.load_state_dict({key: np.asarray(state[key], array.dtype) for key, array in model.state_dict().items()})
    return model.eval()


@pytest.mark.parametrize("name", models.NAMES)
def test_every_model_goes_there_and_back(name, tmp_path):
    model, other = drawn(name, 0), drawn(name, 1)
    net = twin(model)
    training.save_weights(model, tmp_path / "ours.safetensors")
    assert not net.load_state_dict(load_file(tmp_path / "ours.safetensors"), strict=True).missing_keys
    for key, tensor in net.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), model.state_dict()[key], strict=True)
    save_file(net.state_dict(), tmp_path / "theirs.safetensors")
    training.load_weights(other, tmp_path / "theirs.safetensors")
    assert list(other.state_dict()) == list(net.state_dict())
    for key, array in other.state_dict().items():
        np.testing.assert_array_equal(array, model.state_dict()[key], strict=True)


@pytest.mark.parametrize("name", ["lenet5_classic", "resnet20", "small_mobilenet"])
def test_the_twin_computes_the_same(name, rng):
    model = models.build(name, rng=rng, image_size=16).eval()
    net = twin(model)
    net.load_state_dict({key: torch.tensor(array) for key, array in model.state_dict().items()})
    x = rng.standard_normal((3, *model.input_shape)).astype(np.float32)
    with use_backend("numpy"), torch.no_grad():
        y, expected = model(x), net(torch.tensor(x)).numpy()
    assert_close(y, expected, 64, np.full(y.shape, np.abs(expected).max()))


def test_a_dtype_that_fastcnn_has_not_is_refused(tmp_path):
    model = models.build("conv8")
    save_file(twin(model).to(torch.bfloat16).state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors"):
        training.load_weights(model, tmp_path / "a.safetensors")
    save_file(twin(model).half().state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors: .* `0\.weight` is float16 but must be float32"):
        training.load_weights(model, tmp_path / "a.safetensors")
