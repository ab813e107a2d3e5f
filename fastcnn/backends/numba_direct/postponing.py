"""Running the kernels of several calls in one launch, when nothing can fail any more."""

from collections.abc import Callable
from typing import Any

from fastcnn.backends.numba_direct.runtime.recorder import ready, waiting


def postponed(function: Callable[[], Any]) -> Callable[[], None]:
    """Call a function; return another one that runs its kernels in one launch, without allocating memory."""
    with waiting() as steps:
        function()
    run = ready(steps) if steps else None

    def run_steps() -> None:
        if steps and run:  # the steps hold the arguments of their kernels
            run()

    return run_steps
