"""Shared fixtures. Every test that takes ``backend`` runs once for each backend."""

import itertools

import hypothesis
import numpy as np
import pytest

from fastcnn import backends
from fastcnn.nn import init
from tests.command_line import main, write_mnist
from tests.profile import FULL

# Hypothesis draws a few cases, the same in every run; with FASTCNN_TEST_PROFILE=full, thousands of new ones.
_SLOW = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much]
hypothesis.settings.register_profile("quick", max_examples=20, derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "full", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
hypothesis.settings.load_profile("full" if FULL else "quick")

# A layer without ``rng`` starts differently in every run; here it starts the same, in each file and each test alone, so
# that a test passes always or never.
_drawn_generator, _seeds = init.generator, itertools.count()


def _same_generator(rng):
    return _drawn_generator(np.random.default_rng(next(_seeds)) if rng is None else rng)


init.generator = _same_generator


def _first_seed_again():
    global _seeds
    _seeds = itertools.count()


def pytest_make_collect_report(collector):
    if isinstance(collector, pytest.Module):
        _first_seed_again()


def pytest_runtest_setup(item):
    _first_seed_again()


# Convolutions and poolings have many kernels. Compiling all of them for float64, too, would double the time and add
# little, so float64 tests of these files run only in full. Layers, nets and other operations are always tested in both.
_TWICE = ("conv", "conv_transpose", "pooling", "adaptive_pooling", "threads", "guard_bands", "inference", "ladder")


def pytest_collection_modifyitems(config, items):
    """Deselect float64 tests of Numba's windows, which include central differences, unless in full."""
    if FULL:
        return
    twice = [item for item in items if _is_windows_in_float64_on_numba(item)]
    config.hook.pytest_deselected(items=twice)
    left_out = set(twice)
    items[:] = [item for item in items if item not in left_out]


def _is_windows_in_float64_on_numba(item) -> bool:
    """Whether a test runs convolutions or poolings of the numba backend in float64."""
    file, name = item.path.stem.removeprefix("test_"), item.name
    of_numba = "numba" in name or file in ("guard_bands", "inference")
    return file in _TWICE and of_numba and ("float64" in name or "central_difference" in name)


BACKENDS = backends.names()


@pytest.fixture(params=BACKENDS)
def backend(request) -> str:
    return request.param


@pytest.fixture(params=[name for name in BACKENDS if name != "naive"])
def fast_backend(request) -> str:
    """A backend that is compared with naive."""
    return request.param


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def dtype(request):
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(params=["Fortran order", "every second column", "backwards", "read-only"])
def memory_order(request):
    """A function that copies an array to another memory layout."""

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
    """A folder with MNIST's files, holding 3000 training and 500 test images of built-in digits."""
    return write_mnist(tmp_path_factory.mktemp("mnist"), 3000, 500)


@pytest.fixture(scope="session")
def trained_run(mnist_folder, tmp_path_factory):
    """The folder of a run of ``fastcnn train``: a small network that classifies digits well."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    options = ["--model", "conv4_conv8", "--backend", "numpy", "--batch-size", "50", "--lr", "0.01", "--epochs", "3"]
    assert main(["train", *options, "--data-root", str(mnist_folder), "--out", str(out)]) == 0
    return out
