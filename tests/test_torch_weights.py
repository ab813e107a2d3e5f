"""The same net in PyTorch loads saved weights by name, and vice versa, bit for bit."""

import numpy as np
import pytest

from fastcnn import models, training, use_backend
from fastcnn.testing import assert_close

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from tests.torch_twins import twin  # noqa: E402


def drawn(name, seed):
    """Make a model with random bits in parameters and buffers, including NaN, infinities, -0 and denormal numbers."""
    rng = np.random.default_rng(seed)
    model = models.build(name, rng=rng)
    arrays = model.state_dict().items()
    model.load_state_dict({key: np.frombuffer(rng.bytes(a.nbytes), a.dtype).reshape(a.shape) for key, a in arrays})
    return model


def bits(state):
    return {key: (str(array.dtype), array.shape, array.tobytes()) for key, array in state.items()}


@pytest.mark.parametrize("name", models.NAMES)
def test_every_model_goes_there_and_back_bit_for_bit(name, tmp_path):
    model, other = drawn(name, 0), drawn(name, 1)
    net, state = twin(model), bits(model.state_dict())
    training.save_weights(model, tmp_path / "ours.safetensors")
    net.load_state_dict(load_file(tmp_path / "ours.safetensors"), strict=True)
    assert bits({key: tensor.numpy() for key, tensor in net.state_dict().items()}) == state
    save_file(net.state_dict(), tmp_path / "theirs.safetensors")
    assert bits(other.state_dict()) != state
    training.load_weights(other, tmp_path / "theirs.safetensors")
    assert bits(other.state_dict()) == state
    assert list(other.state_dict()) == list(net.state_dict())


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
