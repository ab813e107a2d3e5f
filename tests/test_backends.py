"""How a backend is chosen, and that the three have the same operations."""

import inspect
import re
import threading

import numpy as np
import pytest

import fastcnn
from fastcnn import backends
from fastcnn import functional as F


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.setattr(backends, "_process_wide", None)
    monkeypatch.delenv("FASTCNN_BACKEND", raising=False)


def test_the_default_is_the_fast_one():
    assert fastcnn.get_backend() == "numba"


def test_each_way_to_choose_goes_before_the_next(monkeypatch):
    monkeypatch.setenv("FASTCNN_BACKEND", "naive")
    assert fastcnn.get_backend() == "naive"
    fastcnn.set_backend("numpy")
    assert fastcnn.get_backend() == "numpy"
    with fastcnn.use_backend("naive"):
        assert fastcnn.get_backend() == "naive"
        with fastcnn.use_backend("numba"):
            assert fastcnn.get_backend() == "numba"
        assert fastcnn.get_backend() == "naive"
    assert fastcnn.get_backend() == "numpy"


def test_an_explicit_backend_goes_before_all(monkeypatch):
    loaded = []
    monkeypatch.setattr(backends, "_loaded", {})
    monkeypatch.setattr(backends.importlib, "import_module", lambda name: loaded.append(name) or fake)
    fake = type("", (), {"pack": lambda x: x, "unpack": lambda x: x, "relu": lambda x: x})
    with fastcnn.use_backend("naive"):
        F.relu(np.ones(3), backend="numpy")
        F.relu(np.ones(3))
    assert loaded == ["fastcnn.backends.numpy_im2col", "fastcnn.backends.naive"]


def test_use_backend_ends_with_an_error_too():
    with pytest.raises(RuntimeError, match="inside"), fastcnn.use_backend("naive"):
        raise RuntimeError("inside")
    assert fastcnn.get_backend() == "numba"


def in_a_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


def test_use_backend_is_seen_by_its_own_thread_only():
    with fastcnn.use_backend("naive"):
        assert in_a_thread(fastcnn.get_backend) == "numba"


def test_set_backend_is_seen_by_all_threads():
    in_a_thread(lambda: fastcnn.set_backend("numpy"))
    assert fastcnn.get_backend() == "numpy"


@pytest.mark.parametrize("name", ["cuda", "", "Numpy", "numpy_im2col", None, 3], ids=repr)
def test_an_unknown_name_is_an_error_that_lists_the_known(name):
    sentence = re.escape(f"`name` is {name!r}, but the backends are 'naive', 'numpy', 'numba'.")
    with pytest.raises(ValueError, match=sentence):
        fastcnn.set_backend(name)
    with pytest.raises(ValueError, match=sentence), fastcnn.use_backend(name):
        pass
    assert fastcnn.get_backend() == "numba"


def test_an_unknown_name_in_the_environment_is_an_error(monkeypatch):
    monkeypatch.setenv("FASTCNN_BACKEND", "nunba")
    sentence = re.escape("The environment variable FASTCNN_BACKEND is 'nunba', but the backends are 'naive', 'numpy'")
    with pytest.raises(ValueError, match=sentence):
        fastcnn.get_backend()
    with pytest.raises(ValueError, match=sentence):
        F.relu(np.ones(3))


@pytest.mark.parametrize("operation", backends.operations())
def test_twins_have_the_same_parameters(fast_backend, operation):
    naive, other = (getattr(backends.load(name), operation) for name in ("naive", fast_backend))
    assert list(inspect.signature(other).parameters) == list(inspect.signature(naive).parameters)


def test_a_backend_exports_the_operations_and_nothing_else(backend):
    files = (backends.RECORDING | backends.COMPILING) if backend == "numba" else {}
    more = {name for names in files.values() for name in names}
    assert set(backends.load(backend).__all__) == {*backends.operations(), *more}


def test_every_function_of_the_public_face_has_its_gradient():
    forward = {name for name in F.__all__ if not name.endswith("_backward")}
    assert {f"{name}_backward" for name in forward} == set(F.__all__) - forward
    assert set(F.__all__) <= set(backends.operations())


@pytest.mark.parametrize("shape", [(3, 7), (1, 2, 3, 4), (24, 3, 2, 5), (40, 1, 3, 3)], ids=str)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64], ids=lambda kind: kind.__name__)
def test_unpack_undoes_pack(backend, shape, kind, rng):
    implementation = backends.load(backend)
    x = rng.integers(-9, 9, shape).astype(kind)
    native = implementation.pack(x)
    assert native.shape == shape
    assert native.dtype == kind
    np.testing.assert_array_equal(implementation.unpack(native), x)


def test_flatten_is_reshape_and_unflatten_undoes_it(backend, rng):
    implementation = backends.load(backend)
    x = rng.standard_normal((24, 3, 2, 5))
    flat = implementation.flatten(implementation.pack(x))
    assert flat.shape == (24, 30)
    np.testing.assert_array_equal(implementation.unpack(flat), x.reshape(24, 30))
    back = implementation.unflatten(flat, (3, 2, 5))
    assert back.shape == x.shape
    np.testing.assert_array_equal(implementation.unpack(back), x)
