"""A progress bar where somebody looks: in a terminal, or in a notebook, which has one of its own."""

import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it is new, and that a notebook's bar needs ipywidgets: there is another
    from tqdm.autonotebook import tqdm  # as tqdm.auto, without the 40 ms in which that imports asyncio

__all__ = ["somebody_looks", "tqdm"]


def somebody_looks() -> bool:
    """Whether a bar on stderr is seen."""
    return bool(sys.stderr) and (sys.stderr.isatty() or _in_notebook())


def _in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this, as tqdm finds out."""
    ipython = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return ipython is not None and "IPKernelApp" in ipython.config
