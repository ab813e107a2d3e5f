"""``fastcnn plot``: curves of runs."""

from pathlib import Path

from fastcnn import plotting, training
from fastcnn.commands.arguments import Parser, path
from fastcnn.commands.errors import CommandError, remark
from fastcnn.commands.records import HISTORY, check_figure, write_figure

EXAMPLES = """\
  fastcnn plot runs/lenet5-mnist --out curves.png           losses and accuracies of one run
  fastcnn plot runs/* --out runs.pdf                        several runs, compared
"""


def parser() -> Parser:
    """Describe the options."""
    parser = Parser("fastcnn plot", "Draw the curves of a run, or compare several.", EXAMPLES)
    parser.add_argument("runs", type=path, nargs="+", metavar="RUN", help="a folder of a run, or its history.json")
    parser.add_argument(
        "--out", type=path, required=True, metavar="FILE", help="the picture; the end of its name says the format"
    )
    return parser


def run(args) -> int:
    """Draw."""
    check_figure("--out", args.out)
    histories = {name: _history(path) for name, path in zip(_names(args.runs), args.runs, strict=True)}
    for name, history in histories.items():
        if not history.epochs:
            raise CommandError(f"The run {name} has no finished epoch to draw.")
    if len(histories) == 1:
        figure = plotting.plot_history(*histories.values())
    else:
        figure = plotting.compare_histories(histories)
    write_figure(figure, args.out)
    remark(f"Written: {args.out}")
    return 0


def _history(path: Path) -> training.History:
    """Of a folder, or a file."""
    return training.History.from_json(path / HISTORY if path.is_dir() else path)


def _names(runs: list[Path]) -> list[str]:
    """The folders' own names, where these tell all apart; the same run twice is drawn once."""
    folders = [path if path.is_dir() else path.parent for path in runs]
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(path) for path in runs]
