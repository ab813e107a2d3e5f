"""Running the kernels of several calls in one launch, so that an error before it changes nothing."""

import functools
from collections.abc import Callable
from typing import Any

from fastcnn.backends.numba_direct.runtime.recorder import ready, run_step, waiting


def postponed(function: Callable[[], Any]) -> Callable[[], None]:
    """Call a function; return another one that runs all of its kernels in one launch or, after an error, none."""
    with waiting() as steps:
        function()
    if len(steps) == 1:  # nothing else has to be ready; 7 % of a step of SGD
        return functools.partial(run_step, steps[0])
    run = ready(steps) if steps else None

    def run_steps() -> None:
        if steps and run:  # the steps hold the arguments of their kernels
            run()

    return run_steps
