"""Kernels that are compiled for 64-bit ARM compute with whole vectors, in registers; see `tests.arm`."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests import arm

pytest.importorskip("numba")
ROOT = Path(__file__).parents[1]
TILE = 24  # vectors of 128 bits: six sums of sixteen images each


@cache
def loops() -> dict[str, arm.Loop]:
    """The main loop of each kernel of LeNet-5's training step, compiled by another process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.arm"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=True)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    return {name: arm.Loop(*map(int, numbers)) for name, *numbers in rows}


@pytest.mark.parametrize(
    ("kernel", "fused"),
    [
        ("correlate._correlate_pool", 16),  # four outputs of a 2x2 window
        ("correlate._correlate_blocks", TILE),
        ("linear._weight_gradient", TILE),
        ("outer._outer", TILE),
    ],
)
def test_sums_of_products_stay_in_registers(kernel, fused):
    loop = loops()[kernel]
    assert (loop.fused, loop.scalar, loop.stack) == (fused, 0, 0)
    assert loop.all <= 2.2 * fused


@pytest.mark.parametrize("kernel", ["activations._relu_gradient", "class_losses._cross_entropy", "optim._adam"])
def test_loops_over_elements_are_vectorized(kernel):
    loop = loops()[kernel]
    assert loop.vector >= 0.4 * loop.all
    assert (loop.scalar, loop.stack) == (0, 0)


def test_what_counts_as_which_instruction():
    assembly = """
.LBB0_1:
\tldr\tq1, [x1]
.LBB0_2:
\tldp\tq2, q3, [sp, #16]
\tfmla\tv0.4s, v1.4s, v2.s[0]
\tfmadd\ts0, s1, s2, s3
\tsubs\tx0, x0, #1
\tb.ne\t.LBB0_2
\tcbnz\tx1, .LBB0_1
\tret
"""
    assert arm.main_loop(assembly) == arm.Loop(all=5, fused=1, vector=2, scalar=1, stack=1)
