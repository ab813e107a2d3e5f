"""The files that a run writes for its user, besides the checkpoints."""

import io
import math
import re
import time
from pathlib import Path

from fastcnn import FileError, _files, plotting, training
from fastcnn._text import in_full
from fastcnn.commands.errors import CommandError, UsageError, remark
from fastcnn.plotting import _style
from fastcnn.training.checkpoint import checkpoints

BEST, HISTORY, SETTINGS = "best.safetensors", "history.json", "settings.toml"
TABLE, CURVES = "history.csv", "curves.png"
WEIGHTS = ".safetensors"  # suffix


def results(folder: Path) -> list[str]:
    """Return the names of a run's history and weights in a folder, also those that another program has written.

    The history of a run that failed in its first epoch is no result.
    """
    return sorted(path.name for path in folder.glob("*") if path.suffix == WEIGHTS or _has_epochs(path))


def _has_epochs(path: Path) -> bool:
    """Whether a file is a history with an epoch, or may be one because it cannot be read as a history."""
    if path.name == TABLE:
        return not re.fullmatch(rb"epoch,.*\n", path.read_bytes())  # the header alone
    try:
        return path.name == HISTORY and bool(training.History.from_json(path).epochs)
    except FileError:
        return True


def remove_run(folder: Path) -> None:
    """Remove the files that a run has written to its folder, and no others."""
    written = (folder / name for name in (BEST, HISTORY, SETTINGS, TABLE, CURVES))
    for path in (*checkpoints(folder), *written):
        path.unlink(missing_ok=True)


class Records(training.Callback):
    """Write the history of a run after its epochs and when the run ends, for whatever reason.

    The history grows with each batch. So that writing it takes at most a tenth of the time of a run of any length, it
    is not written after an epoch that ends too soon after the last write.
    """

    first_rank_only = True

    def __init__(self, folder: Path):
        self.folder = folder
        self._next = -math.inf  # time of the next write

    def on_epoch_end(self, trainer) -> None:
        """Write the history unless it is too soon."""
        if time.monotonic() >= self._next:
            self.on_exit(trainer)

    def on_exit(self, trainer) -> None:
        """Write the history as JSON and CSV."""
        start = time.monotonic()
        trainer.history.to_json(self.folder / HISTORY)
        trainer.history.to_csv(self.folder / TABLE)
        end = time.monotonic()
        self._next = end + 9 * (end - start)


def write_curves(history: training.History, monitor: str, folder: Path) -> None:
    """Write curves.png with the best epoch marked, if there is a finished epoch and matplotlib is installed."""
    if not history.epochs:
        return
    try:
        write_figure(plotting.plot_history(history, monitor), folder / CURVES)
    except ImportError:
        remark("Did not write curves.png, which needs matplotlib: pip install matplotlib.")


def check_figure(option: str, path: Path) -> None:
    """Check, before any work is done, that a figure can be drawn and written."""
    try:
        known = _style.file_types()
    except ImportError as error:
        raise CommandError(f"{option} needs matplotlib: pip install matplotlib.") from error
    if path.suffix and path.suffix[1:].lower() not in known:
        raise UsageError(f"{option} is {path}, whose suffix must be one of {', '.join(known)}, not {path.suffix[1:]}.")
    if path.is_dir() or not path.parent.is_dir():
        why = "that is a folder" if path.is_dir() else f"there is no folder {in_full(path.parent)}"
        raise CommandError(f"{option} is {path}, but {why}.")


def write_figure(figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix (by default PNG); a failure leaves no partial file."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:] or "png")
    _files.write(path, content.getvalue())
