"""The ladders of convolutions and poolings, rung by rung against fastcnn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastcnn import functional as F

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def _ladder_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "ladder"))


def start(*command) -> str:
    path = os.pathsep.join(filter(None, (str(EXAMPLES.parent), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("rung", ["loops", "im2col", "as_strided", "numba direct"])
@pytest.mark.parametrize(
    ("x", "weight", "stride", "padding"),
    [
        pytest.param((2, 1, 7, 7), (3, 1, 5, 5), 1, 0, id="the write-up's kind"),
        pytest.param((2, 3, 6, 5), (2, 3, 3, 3), 1, 1, id="not square, padded"),
        pytest.param((1, 2, 8, 9), (2, 2, 3, 3), 2, 0, id="a row outside all windows"),
        pytest.param((2, 2, 7, 6), (1, 2, 2, 2), 3, 1, id="stride wider than the kernel"),
    ],
)
def test_convolutions(rng, rung, x, weight, stride, padding):
    from convolutions import RUNGS

    x, weight, bias = rng.normal(size=x), rng.normal(size=weight), rng.normal(size=weight[0])
    expected = F.conv2d(x, weight, bias, stride, padding, backend="naive")
    y = RUNGS[rung].forward(x, weight, bias, stride, padding)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
    dy = rng.normal(size=y.shape)
    gradients = RUNGS[rung].backward(dy, x, weight, stride, padding)
    expected = F.conv2d_backward(dy, x, weight, stride, padding, backend="naive")
    for ours, right in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rung", ["loops", "im2col", "reshape", "reshape, ties shared", "numba direct"])
@pytest.mark.parametrize(
    ("shape", "k"), [((2, 2, 6, 4), 2), ((1, 2, 7, 11), 3)], ids=["even", "rows and columns left over"]
)
def test_poolings(rng, rung, shape, k):
    from poolings import RUNGS

    x = rng.permutation(np.prod(shape)).reshape(shape).astype(np.float64)
    expected, indices = F.max_pool2d(x, k, return_indices=True, backend="naive")
    y, kept = RUNGS[rung].forward(x, k)
    np.testing.assert_array_equal(y, expected)
    dy = rng.normal(size=y.shape)
    expected = F.max_pool2d_backward(dy, indices, shape, backend="naive")
    np.testing.assert_allclose(RUNGS[rung].backward(dy, kept, x, k), expected)


@pytest.mark.parametrize(
    ("rung", "window"),
    [
        ("loops", [1, 0, 0, 0]),
        ("im2col", [1, 0, 0, 0]),
        ("reshape", [1, 1, 1, 1]),  # as in the write-ups, four times too large
        ("reshape, ties shared", [0.25, 0.25, 0.25, 0.25]),
        ("numba direct", [1, 0, 0, 0]),
    ],
)
def test_who_gets_the_gradient_of_equals(rung, window):
    from poolings import RUNGS

    x = np.zeros((1, 1, 2, 2))
    y, kept = RUNGS[rung].forward(x, 2)
    assert RUNGS[rung].backward(np.ones_like(y), kept, x, 2).ravel().tolist() == window


@pytest.mark.parametrize("stride", [1, 3, 2], ids=["sliding", "distinct", "overlapping, with a rest"])
def test_add_windows_is_the_adjoint_and_restored_the_inverse(rng, stride):
    from columns import add_windows, restored, windows_by_loops

    x = rng.normal(size=(2, 7, 9))
    columns = windows_by_loops(x, 3, stride)
    y, back = rng.normal(size=columns.shape), np.zeros_like(x)
    add_windows(y, back, 3, stride)
    assert (columns * y).sum() == pytest.approx((x * back).sum())
    seen = np.zeros(x.shape, bool)
    for iy in range(0, 5, stride):
        for ix in range(0, 7, stride):
            seen[:, iy : iy + 3, ix : ix + 3] = True
    np.testing.assert_allclose(restored(columns, x.shape, 3, stride), np.where(seen, x, 0))


def test_the_ladder_is_timed_beside_the_write_ups_times(tmp_path):
    file = tmp_path / "new" / "ladder.json"
    text = start(EXAMPLES / "ladder", "--quick", "--json", file)
    assert "(484)" in text
    report = json.loads(file.read_text("utf-8"))
    assert [row["rung"] for row in report["convolutions"]] == ["loops", "im2col", "as_strided", "numba direct"]
    assert report["convolutions"][2]["said_times_loops"] == pytest.approx(26.5, abs=0.1)
    for row in report["convolutions"] + report["poolings"]:
        assert row["forward_ms"] > 0
        assert row["backward_ms"] > 0
    assert all(row["times_loops"] > 1 for row in report["convolutions"][1:])
