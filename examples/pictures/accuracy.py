"""The accuracy on CIFAR-10's test pictures over the minutes of training, as bench/accuracy_over_time.py measured it."""

import json
from pathlib import Path

import bars

from fastcnn.plotting import _style

LINES = {"fastcnn": (_style.BLUE, (6, 8), "left"), "PyTorch": (_style.ORANGE, (0, -42), "right")}  # with their labels


def draw(path: Path):
    """A figure: for each library a line through the epochs, with the median time and mean accuracy of all seeds."""
    report = json.loads(path.read_text("utf-8"))
    figure = bars.figure(5)
    axes = figure.subplots()
    for side, (color, offset, align) in LINES.items():
        points = [row for row in report["tables"][0]["rows"] if side in row["minutes"]]
        x, y = [row["minutes"][side] for row in points], [100 * row["accuracy"][side] for row in points]
        axes.plot([0, *x], [10, *y], "o-", color=color, linewidth=2, markersize=5)  # guessing gives 10 %
        text = f"{side}: {y[-1]:.1f} % after {x[-1]:.1f} min"
        axes.annotate(text, (x[-1], y[-1]), offset, textcoords="offset points", ha=align, color=color,
                      fontsize=bars.SMALL, fontweight="bold")  # fmt: skip
    _style.curves(axes, "CIFAR-10: accuracy over the minutes of training", "minutes")
    axes.set_ylabel("% of the test pictures")
    axes.set_ylim(0, 100)
    bars.footer(figure, report)
    return figure
