"""The kernels of LeNet-5's training as they are compiled for 64-bit ARM, on any processor.

python -m tests.arm prints, for each kernel, the instructions of the loop in which it does most of its arithmetic. The
process compiles for ARM only, so it cannot run any kernel.
"""

import os
import platform
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

import llvmlite.binding as llvm

TRIPLE = "aarch64-unknown-linux-gnu"
PROCESSOR = {"NUMBA_CPU_NAME": "cortex-a76", "NUMBA_CPU_FEATURES": "+fp-armv8,+neon"}
_BRANCH = re.compile(r"\s(?:b|b\.\w+|cbn?z|tbn?z)\s.*?(\.LBB\w+)$")
_SCALAR = re.compile(r"\sf(?:n?m(?:add|sub|ul)|add|sub|div|sqrt|max(?:nm)?|min(?:nm)?)\s+[sd]\d")


class Loop(NamedTuple):
    """Numbers of instructions of a loop.

    Attributes
    ----------
    all, fused, vector, scalar, stack : int
        All of them; fused multiply-adds of vectors; those on whole vectors, these included; floating-point arithmetic
        on single numbers; loads from the stack and stores to it.
    """

    all: int
    fused: int
    vector: int
    scalar: int
    stack: int

    @classmethod
    def of(cls, lines: list[str]) -> "Loop":
        """Count the instructions of some lines of assembly code."""
        code = [line for line in lines if line.startswith("\t") and not line.startswith("\t.")]
        fused = sum("\tfmla\t" in line for line in code)
        vector = sum(bool(re.search(r"\bv\d+\.(?:16b|8h|4s|2d)|\bq\d+", line)) for line in code)
        scalar = sum(bool(_SCALAR.search(line)) for line in code)
        return cls(len(code), fused, vector, scalar, sum("[sp" in line for line in code))


def main_loop(assembly: str) -> Loop:
    """The innermost loop with most fused multiply-adds, and among these with most vector instructions."""
    return max(map(Loop.of, innermost(assembly.splitlines())), key=lambda loop: (loop.fused, loop.vector, loop.all))


def innermost(lines: list[str]) -> Iterator[list[str]]:
    """The loops that hold no other loop: from a label to the last branch back to it."""
    labels = {line.split(":")[0]: i for i, line in enumerate(lines) if line.startswith(".LBB")}
    ends = {}
    for i, line in enumerate(lines):
        found = _BRANCH.search(line.split("//")[0].rstrip())
        if found and labels.get(found[1], i) < i:
            ends[labels[found[1]]] = i
    for start, end in ends.items():
        if not any(start < other and ends[other] <= end for other in ends):
            yield lines[start : end + 1]


def pretend() -> None:
    """From now on, Numba compiles for ARM; call this before numba is imported."""
    assert "numba" not in sys.modules
    os.environ.update(PROCESSOR)
    platform.machine = lambda: "aarch64"
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.get_process_triple = lambda: TRIPLE


def kernels(batch_size: int) -> Iterator[tuple[str, str]]:
    """Names of the kernels of LeNet-5's training step, and their assembly code."""
    import numpy as np
    from numba import types
    from numba.core.caching import NullCache

    import fastcnn
    from fastcnn import backends, models, nn, optim
    from fastcnn.nn.recording import layer_by_layer

    backends.load("numba")
    from fastcnn.backends.numba_direct.runtime import arguments, compile

    model, loss = models.LeNet5(rng=np.random.default_rng(0)), nn.CrossEntropyLoss()
    with fastcnn.use_backend("numba"), compile.rehearsing() as needed, layer_by_layer(), np.errstate(all="ignore"):
        loss(model(np.zeros((batch_size, 1, 32, 32), np.float32)), np.zeros(batch_size, np.int64))
        model.backward(loss.backward(), input_grad=False)
        optim.Adam(model.parameters()).step()
    for kernel, kinds in needed:
        kernel._dispatcher._cache = NullCache()
        signature = types.intp, types.intp, arguments.layout(kinds).kind, types.intp
        kernel._dispatcher.compile(types.none(*signature))
        yield repr(kernel), kernel._dispatcher.overloads[signature].library.get_asm_str()


def main() -> None:
    """Print a line for each kernel."""
    pretend()
    print(f"| kernel | {' | '.join(Loop._fields)} |", f"| --- |{' ---: |' * len(Loop._fields)}", sep="\n")
    for name, assembly in kernels(64):
        print(f"| {name} | {' | '.join(map(str, main_loop(assembly)))} |", flush=True)


if __name__ == "__main__":
    main()
