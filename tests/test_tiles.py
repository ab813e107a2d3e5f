"""Operations on tiles are right for vectors and registers of any processor, not only of this one."""

import itertools

import numpy as np
import pytest

pytest.importorskip("numba")

from fastcnn.backends.numba_direct.kernels import tiles
from fastcnn.backends.numba_direct.runtime import cache
from fastcnn.backends.numba_direct.runtime.compile import Kernel
from fastcnn.backends.numba_direct.simd import tile
from fastcnn.backends.numba_direct.simd.moves import tile_load, tile_store, tile_zeros
from fastcnn.backends.numba_direct.simd.products import tile_fma, tile_sums


def _sum_lanes(first, last, a, scratch):
    x, rows, columns = a.x, a.rows, a.columns
    tile_sums(tile_load(rows, columns, x, 0, a.row, a.lanes), a.out, 0, len(columns), 0, 0)


def _multiply(first, last, a, scratch):
    x, out, rows, columns = a.x, a.out, a.rows, a.columns
    sums = tile_fma(tile_zeros(rows, columns, x), a.weight, 0, 1, 0, x, 0, a.lanes, 0)
    tile_store(sums, out, 0, a.row, a.lanes, 0, 0)


@pytest.fixture
def compiled(monkeypatch):
    """A function that makes a kernel, which is not cached, as it is for another processor."""
    monkeypatch.setattr(cache, "attach", lambda dispatcher: None)
    return Kernel


@pytest.mark.parametrize("columns", [1, 3, 6, 9])
def test_sums_of_the_lanes_of_128_bit_vectors(columns, compiled, monkeypatch):
    monkeypatch.setattr(tile, "VECTOR_BYTES", 16)
    x = np.arange(3 * columns * 4, dtype=np.float32).reshape(3, columns, 4)
    out = np.zeros((3, columns), np.float32)
    compiled(_sum_lanes)(1, x=x, out=out, row=columns * 4, lanes=4, rows=(0,) * 3, columns=(0,) * columns)
    assert np.array_equal(out, x.sum(axis=2))


@pytest.mark.parametrize("vector_bytes", [16, 64])
@pytest.mark.parametrize(
    "is_x86", [False, pytest.param(True, marks=pytest.mark.skipif(not tile.X86, reason="needs x86"))]
)
def test_a_vector_fills_one_register_or_several(vector_bytes, is_x86, compiled, monkeypatch):
    monkeypatch.setattr(tile, "VECTOR_BYTES", vector_bytes)
    monkeypatch.setattr(tile, "REGISTER_BYTES", 16)
    monkeypatch.setattr(tile, "X86", is_x86)
    lanes = vector_bytes // 4
    x, weight = np.arange(2 * lanes, dtype=np.float32).reshape(2, lanes), np.array([1, -2, 3], np.float32)
    out = np.zeros((3, 2, lanes), np.float32)
    multiply = compiled(_multiply)
    multiply(1, x=x, weight=weight, out=out, row=2 * lanes, lanes=lanes, rows=(0,) * 3, columns=(0,) * 2)
    assert np.array_equal(out, weight[:, None, None] * x)


@pytest.mark.parametrize("vectors", tiles._MENU)
def test_every_processor_has_a_tile_for_every_output(vectors):
    for rows, columns in itertools.product(range(1, 12), repeat=2):
        R, C = map(len, tiles.choose(rows, columns, vectors=vectors))
        assert 1 <= R <= rows
        assert 1 <= C <= columns
