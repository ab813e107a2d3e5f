"""The choice of the backend; all three have the same operations."""

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


@pytest.mark.parametrize(
    ("name", "meant"),
    [("cuda", ""), ("", ""), ("Numpy", " (did you mean 'numpy'?)"), ("numpy_im2col", ""), (None, ""), (3, "")],
    ids=repr,
)
def test_an_unknown_name_is_an_error_that_lists_the_known(name, meant):
    sentence = re.escape(f"`name` must be one of 'naive', 'numpy', 'numba', not {name!r}{meant}.")
    with pytest.raises(ValueError, match=sentence):
        fastcnn.set_backend(name)
    with pytest.raises(ValueError, match=sentence), fastcnn.use_backend(name):
        pass
    assert fastcnn.get_backend() == "numba"


def test_an_unknown_name_in_the_environment_is_an_error(monkeypatch):
    monkeypatch.setenv("FASTCNN_BACKEND", "nunba")
    known = "'naive', 'numpy', 'numba'"
    sentence = re.escape(
        f"The environment variable FASTCNN_BACKEND must be one of {known}, not 'nunba' (did you mean 'numba'?)."
    )
    with pytest.raises(ValueError, match=sentence):
        fastcnn.get_backend()
    with pytest.raises(ValueError, match=sentence):
        F.relu(np.ones(3))


def test_a_backend_exports_the_operations_and_nothing_else(backend):
    optional = {
        "naive": {},
        "numpy": backends.POSTPONING,
        "numba": backends.RECORDING | backends.POSTPONING | backends.COMPILING,
    }
    more = {name for names in optional[backend].values() for name in names}
    assert set(backends.load(backend).__all__) == {*backends.operations(), *more}


def test_every_function_of_the_public_face_has_its_gradient():
    forward = {name for name in F.__all__ if not name.endswith("_backward")}
    assert {f"{name}_backward" for name in forward} == set(F.__all__) - forward
    others = {"dropout2d": "dropout", "layer_norm": "group_norm"}  # layer -> operation that computes it
    forward = {others.get(name, name.replace("1d", "2d")) for name in forward}  # signals are images of one row
    assert forward <= set(backends.operations())
    assert {f"{name}_backward" for name in forward} <= set(backends.operations())
