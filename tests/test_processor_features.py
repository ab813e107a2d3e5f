"""The vectors of kernels, for processors with other features than this one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastcnn
from fastcnn.backends.numba_direct.runtime import processor
from tests import digests

CODE = "from fastcnn.backends.numba_direct.runtime import processor as p; print(p.VECTOR_BYTES, p.VECTORS)"


@pytest.mark.skipif(not processor.X86, reason="features of x86-64")
@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("+sse2", "16 16"),
        ("+sse2,+fma", "16 16"),  # NUMBA_CPU_FEATURES may name one without the other
        ("+sse2,+avx", "32 16"),
        ("+sse2,+avx,+avx2,+fma", "64 8"),
        ("+sse2,+avx,+avx2,+fma,+avx512f", "64 32"),
    ],
)
def test_vectors_need_avx_beside_fused_multiply_adds(features, expected):
    environment = {**os.environ, "PYTHONPATH": str(Path(fastcnn.__file__).parents[1])}
    environment |= {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_digests_are_not_compared_on_a_processor_that_has_others(monkeypatch, capsys):
    monkeypatch.setattr(digests, "get_host_cpu_features", lambda: {"avx2": True, "fma": False})
    monkeypatch.setattr(sys, "argv", ["digests", "--compare"])
    assert digests.main() == 0
    assert capsys.readouterr().out.startswith("Skipped: ")
