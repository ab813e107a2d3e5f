"""Progress bar for terminals and notebooks."""

import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # experimental API; without ipywidgets a notebook gets a text bar
    from tqdm.autonotebook import tqdm  # like tqdm.auto, but does not import asyncio, which takes 40 ms

__all__ = ["somebody_looks", "tqdm"]


def somebody_looks() -> bool:
    """Whether stderr is shown in a terminal or a notebook."""
    return bool(sys.stderr) and (sys.stderr.isatty() or _in_notebook())


def _in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel; the test is tqdm's."""
    ipython = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return ipython is not None and "IPKernelApp" in ipython.config
