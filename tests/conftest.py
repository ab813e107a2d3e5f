"""Fixtures: every test that takes ``backend`` runs once for each backend."""

import hypothesis
import numpy as np
import pytest

from fastcnn import backends
from tests.command_line import main, write_mnist
from tests.profile import FULL

# How much is drawn: a few cases, always the same; or, with FASTCNN_TEST_PROFILE=full, thousands, always new.
_SLOW = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much]
hypothesis.settings.register_profile("quick", max_examples=20, derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "full", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
hypothesis.settings.load_profile("full" if FULL else "quick")

# Windows have many kernels. In float64 they are those of float32 compiled once more: twice the time, for
# little. So these run in full only. Layers, nets and all other operations are tested in float64 either way.
_TWICE = ("conv", "conv_transpose", "pooling", "adaptive_pooling", "threads", "guard_bands", "inference", "ladder")


def pytest_collection_modifyitems(config, items):
    """Leave out, but with FASTCNN_TEST_PROFILE=full, Numba's windows in float64: central differences are."""
    if FULL:
        return
    twice = [item for item in items if _is_windows_in_float64_on_numba(item)]
    config.hook.pytest_deselected(items=twice)
    left_out = set(twice)
    items[:] = [item for item in items if item not in left_out]


def _is_windows_in_float64_on_numba(item) -> bool:
    file, name = item.path.stem.removeprefix("test_"), item.name
    of_numba = "numba" in name or file in ("guard_bands", "inference")
    return file in _TWICE and of_numba and ("float64" in name or "central_difference" in name)


BACKENDS = backends.names()


@pytest.fixture(params=BACKENDS)
def backend(request) -> str:
    return request.param


@pytest.fixture(params=[name for name in BACKENDS if name != "naive"])
def fast_backend(request) -> str:
    """A backend that is held against naive."""
    return request.param


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def dtype(request):
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(params=["Fortran order", "every second column", "backwards", "read-only"])
def memory_order(request):
    """A function that gives an array's values another place in memory."""

    def reordered(array: np.ndarray) -> np.ndarray:
        if request.param == "Fortran order":
            return np.asfortranarray(array)
        if request.param == "every second column":
            return np.repeat(array, 2, axis=-1)[..., ::2]
        if request.param == "backwards":
            return np.flip(np.flip(array).copy())
        copy = array.copy()
        copy.flags.writeable = False
        return copy

    return reordered


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory):
    """MNIST's files, with 3000 and 500 embedded digits."""
    return write_mnist(tmp_path_factory.mktemp("mnist"), 3000, 500)


@pytest.fixture(scope="session")
def trained_run(mnist_folder, tmp_path_factory):
    """The folder of a run that ``fastcnn train`` made: a small network that knows digits well."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    options = ["--model", "conv4_conv8", "--backend", "numpy", "--batch-size", "50", "--lr", "0.01", "--epochs", "3"]
    assert main(["train", *options, "--data-root", str(mnist_folder), "--out", str(out)]) == 0
    return out
