"""Plot the curves of training runs."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from fastcnn._text import unicode_text
from fastcnn.plotting import _style
from fastcnn.plotting._style import AMBER, BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, SKY

_RUNS = ((BLUE, "s"), (ORANGE, "o"), (GREEN, "^"), (PURPLE, "D"), (SKY, "v"), (AMBER, "P"))
_STROKES = ("-", "--", ":", "-.")  # the next one is used when all colours have been used
_MOST_COLUMNS = 3  # maximum number of plots side by side
_LEGEND: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "borderaxespad": 0.5,
    "borderpad": 0,
    "ncols": 2,
    "fontsize": "small",
    "frameon": False,
}


def plot_history(history, monitor: str | None = None) -> "_style.Figure":
    """Plot the curves of a training run: the losses, then each metric of its task, such as the accuracies.

    Means over the training images of an epoch are plotted in the middle of the epoch, validation results at its end.

    Parameters
    ----------
    history : fastcnn.training.History
    monitor : str, optional
        A metric of the epochs' records, such as "validation_accuracy". A ring marks the epoch in which it is best; its
        weights are those that `fastcnn.training.BestWeights` keeps. By default no epoch is marked.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; ``figure.savefig(path)`` writes it to a file.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If `history` has no finished epoch, or no metric `monitor`.

    Examples
    --------
    >>> from fastcnn.plotting import plot_history
    >>> from fastcnn.training import Epoch, History
    >>> metrics = {"train_loss": 0.3, "train_accuracy": 0.91, "validation_loss": 0.1, "validation_accuracy": 0.97}
    >>> history = History([Epoch(1, 3, 0.5, metrics, 0.006, 120000.0)], [2.3, 0.9, 0.3])
    >>> figure = plot_history(history)
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Loss', 'Accuracy (%)']
    """
    from matplotlib.ticker import MaxNLocator

    epochs = history.epochs
    if not epochs:
        raise ValueError("`history` has no finished epoch to plot.")
    best = None if monitor is None else history.best(monitor)
    columns = min(len(history.kinds), _MOST_COLUMNS)
    rows = -(-len(history.kinds) // columns)
    figure = _style.figure(4.5 * columns, 3.6 * rows)
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for axes in panels[len(history.kinds) :]:
        axes.remove()

    loss = panels[0]
    loss.plot(_places(history), history.step_losses, color=GREY, linewidth=0.8, label="training, each batch")
    for axes, kind in zip(panels, history.kinds, strict=False):
        digits = 2 if kind.percent else 4
        for part, name, when, middle, style in (
            ("train", "training", "mid-epoch mean", 0.5, {"color": BLUE, "linestyle": "--", "marker": "o"}),
            ("validation", "validation", "epoch's end", 0.0, {"color": ORANGE, "marker": "s"}),
        ):
            x, y = _curve(history, part, kind, [epoch.epoch - middle for epoch in epochs])
            if y:
                note = when if axes is loss else f"final {y[-1]:.{digits}f}"
                axes.plot(x, y, **style, linewidth=2, markersize=5, label=f"{name}, {note}")
            if best and monitor and monitor.startswith(part):
                i = x.index(best.epoch - middle)
                note = best.epoch if axes is loss else f"{y[i]:.{digits}f}"
                axes.plot(x[i], y[i], "o", markersize=11, fillstyle="none", color=DARK, label=f"best epoch, {note}")
        # The legend is above the axes, where it covers no curve, below a title with room for its rows.
        _style.curves(axes, kind.title, "epochs", pad=12 + 13 * -(-len(loss.get_lines()) // 2))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(**_LEGEND)

    losses = [value for part in ("train", "validation") for value in _curve(history, part, history.kinds[0])[1]]
    positive = [value for value in losses if value > 0]
    # The limit keeps single batches with a very small loss from stretching the axis.
    _style.logarithmic(loss, min(positive) / 10 if positive else None)
    return figure


def compare_histories(histories: Mapping) -> "_style.Figure":
    """Plot several training runs together: the losses and the first metric of their task, such as the accuracy.

    Both are plotted over the epochs, and the metric also over the seconds of training. They are those of the
    validation, or, if a run has no validation, those of the training.

    Parameters
    ----------
    histories : mapping of str to fastcnn.training.History
        Name of each run, for the legend, and its history.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no run, a run has no finished epoch, or runs have different metrics.

    Examples
    --------
    >>> from fastcnn.plotting import compare_histories
    >>> from fastcnn.training import Epoch, History
    >>> metrics = {"train_loss": 0.3, "train_accuracy": 0.91, "validation_loss": 0.1, "validation_accuracy": 0.97}
    >>> run = History([Epoch(1, 3, 0.5, metrics, 0.006, 120000.0)], [2.3, 0.9, 0.3])
    >>> figure = compare_histories({"lr 0.006": run, "the same": run})
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Validation loss', 'Validation accuracy (%)', 'Validation accuracy (%)']
    """
    from matplotlib.ticker import MaxNLocator

    if not histories:
        raise ValueError("`histories` has no run to plot.")
    for name, history in histories.items():
        if not history.epochs:
            raise ValueError(f"The run {name!r} in `histories` has no finished epoch to plot.")
    kinds = next(iter(histories.values())).kinds
    for name, history in histories.items():
        if history.kinds != kinds:
            others = [", ".join(kind.name for kind in some) for some in (history.kinds, kinds)]
            raise ValueError(
                f"All histories must have the same metrics, but the run {name!r} has {others[0]}, and the first has "
                f"{others[1]}."
            )
    held_out = all(_curve(history, "validation", kinds[0])[1] for history in histories.values())
    part = "validation" if held_out else "train"
    title = "Validation" if held_out else "Training"
    metric = kinds[min(1, len(kinds) - 1)]
    figure = _style.figure(12, 4.2)
    loss, by_epoch, by_time = figure.subplots(1, 3)
    by_time.sharey(by_epoch)
    for i, (name, history) in enumerate(histories.items()):
        (color, marker), stroke = _RUNS[i % len(_RUNS)], _STROKES[i // len(_RUNS) % len(_STROKES)]
        style = {"color": color, "marker": marker, "linestyle": stroke, "linewidth": 2, "markersize": 5}
        numbers = [epoch.epoch for epoch in history.epochs]
        seconds = list(accumulate(epoch.seconds for epoch in history.epochs))
        last = _curve(history, part, metric)[1][-1]
        written = f"{last:.2f} %" if metric.percent else f"{last:.4f}"
        loss.plot(
            *_curve(history, part, kinds[0], numbers), **style, label=f"{unicode_text(str(name))}, final {written}"
        )
        by_epoch.plot(*_curve(history, part, metric, numbers), **style)
        by_time.plot(*_curve(history, part, metric, seconds), **style)
    _style.logarithmic(loss)
    named = metric.title[:1].lower() + metric.title[1:] if metric.label[:1].islower() else metric.title
    _style.curves(loss, f"{title} loss", "epochs")
    _style.curves(by_epoch, f"{title} {named}", "epochs")
    _style.curves(by_time, f"{title} {named}", "seconds of training")
    for axes in (loss, by_epoch):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lines, places = loss.get_lines(), [str(i) for i in range(len(histories))]
    legend = figure.legend(lines, places, frameon=False, loc="outside lower center", ncols=min(len(histories), 4))
    for text, line in zip(legend.get_texts(), lines, strict=True):
        # Set the names only now: matplotlib leaves labels that start with "_" out of a legend.
        text.set(text=line.get_label(), **_style.AS_WRITTEN)
    return figure


def _curve(history, part: str, kind, places=()) -> tuple[list[float], list[float]]:
    """Return the x positions of the epochs that have a metric, and its values as plotted."""
    name, unit = f"{part}_{kind.name}", 100 if kind.percent else 1
    drawn = [
        (place, unit * epoch.metrics[name])
        for place, epoch in zip(places or [epoch.epoch for epoch in history.epochs], history.epochs, strict=True)
        if name in epoch.metrics
    ]
    return [place for place, _ in drawn], [value for _, value in drawn]


def _places(history) -> list[float]:
    """Return the x position of each batch in epochs, including the batches of an unfinished last epoch."""
    places = [epoch.epoch - 1 + (i + 1) / epoch.batches for epoch in history.epochs for i in range(epoch.batches)]
    last = history.epochs[-1]
    rest = len(history.step_losses) - len(places)
    return places + [last.epoch + (i + 1) / last.batches for i in range(rest)]
