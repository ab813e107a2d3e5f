"""What a run writes for people, beside its checkpoints."""

import io
from pathlib import Path

from fastcnn import _files, plotting, training
from fastcnn.commands.errors import CommandError, UsageError, remark
from fastcnn.plotting import _style
from fastcnn.training.checkpoint import checkpoints

BEST, HISTORY, SETTINGS = "best.safetensors", "history.json", "settings.toml"
TABLE, CURVES = "history.csv", "curves.png"


def remove_run(folder: Path) -> None:
    """Remove what a run has written to its folder, and nothing else."""
    written = (folder / name for name in (BEST, HISTORY, SETTINGS, TABLE, CURVES))
    for path in (*checkpoints(folder), *written):
        path.unlink(missing_ok=True)


class Records(training.Callback):
    """The history, written after each epoch and whenever the run ends."""

    first_rank_only = True

    def __init__(self, folder: Path):
        self.folder = folder

    def on_epoch_end(self, trainer) -> None:
        """Write it."""
        trainer.history.to_json(self.folder / HISTORY)
        trainer.history.to_csv(self.folder / TABLE)

    on_exit = on_epoch_end


def write_curves(history: training.History, folder: Path) -> None:
    """Draw curves.png, where there is an epoch to draw and something to draw with."""
    if not history.epochs:
        return
    try:
        write_figure(plotting.plot_history(history), folder / CURVES)
    except ImportError:
        remark('No curves.png: it needs matplotlib, pip install "fastcnn[plot]".')


def check_figure(option: str, path: Path) -> None:
    """Refuse a picture that could not be drawn or written, before there is any work to lose."""
    try:
        known = _style.file_types()
    except ImportError as error:
        raise CommandError(f'{option} needs matplotlib, pip install "fastcnn[plot]".') from error
    if path.suffix and path.suffix[1:].lower() not in known:
        raise UsageError(f"{option} is {path}, whose end must be one of {', '.join(known)}, not {path.suffix[1:]}.")
    if path.is_dir() or not path.parent.is_dir():
        why = "that is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise CommandError(f"{option} is {path}, but {why}.")


def write_figure(figure, path: Path) -> None:
    """Write a picture, whole or not at all; the end of its name says the format, PNG where there is none."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:] or "png")
    _files.write(path, content.getvalue())
