"""``fastcnn plot``: plot the training curves of runs."""

from pathlib import Path

from fastcnn import plotting, training
from fastcnn.commands import settings
from fastcnn.commands.arguments import Parser, path
from fastcnn.commands.errors import CommandError, remark, usage
from fastcnn.commands.records import HISTORY, SETTINGS, check_figure, write_figure

EXAMPLES = """\
  fastcnn plot runs/lenet5-mnist --out curves.png           loss and accuracy of one run
  fastcnn plot runs/* --out runs.pdf                        several runs, compared
"""


def parser() -> Parser:
    """Describe the options."""
    parser = Parser("fastcnn plot", "Plot the training curves of a run, or compare several runs.", EXAMPLES)
    parser.add_argument("runs", type=path, nargs="+", metavar="RUN", help="a folder of a run, or its history.json")
    parser.add_argument(
        "--out", type=path, required=True, metavar="FILE", help="the file to write; its suffix sets the format"
    )
    return parser


def run(args) -> int:
    """Plot the runs and write the figure."""
    check_figure("--out", args.out)
    named = dict(zip(_names(args.runs), args.runs, strict=True))
    found = {name: _history(path) for name, path in named.items()}
    histories = {name: history for name, history in found.items() if isinstance(history, training.History)}
    left_out = [history for history in found.values() if isinstance(history, str)]
    if not histories:
        raise CommandError(f"There is nothing to plot: {', '.join(left_out)}.")
    for why in left_out:
        remark(f"Left out: {why}.")
    with usage():
        if len(histories) == 1:
            [(name, history)] = histories.items()
            figure = plotting.plot_history(history, _monitor(named[name]))
        else:
            figure = plotting.compare_histories(histories)
    write_figure(figure, args.out)
    remark(f"Wrote {args.out}.")
    return 0


def _history(path: Path) -> training.History | str:
    """Read the history of a run from its folder or its history.json, or say why there is nothing to plot.

    Patterns such as ``runs/*`` also name folders of stopped programs, and figures.
    """
    if path.is_file() and path.suffix != Path(HISTORY).suffix:
        return f"{path} is not a run"
    try:
        history = training.History.from_json(path / HISTORY if path.is_dir() else path)
    except FileNotFoundError:
        if path.is_dir():
            return f"{path} holds no {HISTORY}"
        raise
    return history if history.epochs else f"{path} has no finished epoch"


def _monitor(path: Path) -> str | None:
    """Return the metric by which the best epoch of a run was chosen, as its settings say."""
    file = (path if path.is_dir() else path.parent) / SETTINGS
    return settings.read_file(file).get("monitor") if file.exists() else None


def _names(runs: list[Path]) -> list[str]:
    """Name the runs: by their folders' names if these are unique, else by their paths.

    A run that is given twice is plotted once.
    """
    folders = [path if path.is_dir() else path.parent for path in runs]
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(path) for path in runs]
