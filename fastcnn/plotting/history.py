"""Curves of training runs."""

from collections.abc import Mapping
from itertools import accumulate

from fastcnn._text import unicode_text
from fastcnn.plotting import _style
from fastcnn.plotting._style import AMBER, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY

_RUNS = ((BLUE, "s"), (ORANGE, "o"), (GREEN, "^"), (PURPLE, "D"), (SKY, "v"), (AMBER, "P"))
_STROKES = ("-", "--", ":", "-.")  # after so many runs as there are colours


def plot_history(history) -> "_style.Figure":
    """Curves of a training run: the losses on the left, the accuracies on the right.

    The means over an epoch's training images stand in the middle of the epoch, the test results at its end.

    Parameters
    ----------
    history : fastcnn.training.History

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.savefig(path)`` writes it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If no epoch was finished.

    Examples
    --------
    >>> from fastcnn.plotting import plot_history
    >>> from fastcnn.training import Epoch, History
    >>> history = History([Epoch(1, 3, 0.5, 0.3, 0.91, 0.1, 0.97, 0.006, 120000.0)], [2.3, 0.9, 0.3])
    >>> figure = plot_history(history)
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Loss', 'Accuracy (%)']
    """
    from matplotlib.ticker import MaxNLocator

    epochs = history.epochs
    if not epochs:
        raise ValueError("`history` has no finished epoch to draw.")
    figure = _style.figure(9, 3.6)
    loss, accuracy = figure.subplots(1, 2, sharex=True)

    loss.plot(_places(history), history.step_losses, color=GREY, linewidth=0.8, label="training, each batch")
    for part, name, middle, style in (
        ("train", "training", 0.5, {"color": BLUE, "linestyle": "--", "marker": "o"}),
        ("test", "test", 0.0, {"color": ORANGE, "marker": "s"}),
    ):
        x = [epoch.epoch - middle for epoch in epochs]
        losses = [getattr(epoch, f"{part}_loss") for epoch in epochs]
        percents = [100 * getattr(epoch, f"{part}_accuracy") for epoch in epochs]
        loss.plot(x, losses, **style, linewidth=2, markersize=5, label=name)
        accuracy.plot(x, percents, **style, linewidth=2, markersize=5, label=f"{name}, at last {percents[-1]:.2f}")

    positive = [value for epoch in epochs for value in (epoch.train_loss, epoch.test_loss) if value > 0]
    _style.logarithmic(loss, min(positive) / 10 if positive else None)  # lucky batches fall out
    for axes, title in ((loss, "Loss"), (accuracy, "Accuracy (%)")):
        _style.curves(axes, title, "epochs")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss.legend(frameon=False, loc="upper right")
    accuracy.legend(frameon=False, loc="lower right")
    return figure


def compare_histories(histories: Mapping) -> "_style.Figure":
    """Several training runs side by side: test losses and test accuracies by epoch, and by seconds of training.

    Parameters
    ----------
    histories : mapping of str to fastcnn.training.History
        Names of the runs, for the legend, and their records.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no run, or a run finished no epoch.

    Examples
    --------
    >>> from fastcnn.plotting import compare_histories
    >>> from fastcnn.training import Epoch, History
    >>> run = History([Epoch(1, 3, 0.5, 0.3, 0.91, 0.1, 0.97, 0.006, 120000.0)], [2.3, 0.9, 0.3])
    >>> figure = compare_histories({"lr 0.006": run, "the same": run})
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Test loss', 'Test accuracy (%)', 'Test accuracy (%)']
    """
    from matplotlib.ticker import MaxNLocator

    if not histories:
        raise ValueError("`histories` has no run to draw.")
    for name, history in histories.items():
        if not history.epochs:
            raise ValueError(f"The run {name!r} in `histories` has no finished epoch to draw.")
    figure = _style.figure(12, 4.2)
    loss, by_epoch, by_time = figure.subplots(1, 3)
    by_time.sharey(by_epoch)
    for i, (name, history) in enumerate(histories.items()):
        (color, marker), stroke = _RUNS[i % len(_RUNS)], _STROKES[i // len(_RUNS) % len(_STROKES)]
        epochs = history.epochs
        style = {"color": color, "marker": marker, "linestyle": stroke, "linewidth": 2, "markersize": 5}
        numbers = [epoch.epoch for epoch in epochs]
        percents = [100 * epoch.test_accuracy for epoch in epochs]
        label = f"{unicode_text(str(name))}, at last {percents[-1]:.2f} %"
        loss.plot(numbers, [epoch.test_loss for epoch in epochs], **style, label=label)
        by_epoch.plot(numbers, percents, **style)
        by_time.plot(list(accumulate(epoch.seconds for epoch in epochs)), percents, **style)
    _style.logarithmic(loss)
    _style.curves(loss, "Test loss", "epochs")
    _style.curves(by_epoch, "Test accuracy (%)", "epochs")
    _style.curves(by_time, "Test accuracy (%)", "seconds of training")
    for axes in (loss, by_epoch):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lines, places = loss.get_lines(), [str(i) for i in range(len(histories))]
    legend = figure.legend(lines, places, frameon=False, loc="outside lower center", ncols=min(len(histories), 4))
    for text, line in zip(legend.get_texts(), lines, strict=True):
        # Only now, for a label that begins with "_" has no place in a legend.
        text.set(text=line.get_label(), **_style.AS_WRITTEN)
    return figure


def _places(history) -> list[float]:
    """When each batch ended, in epochs; the batches of an unfinished epoch come last."""
    places = [epoch.epoch - 1 + (i + 1) / epoch.batches for epoch in history.epochs for i in range(epoch.batches)]
    last = history.epochs[-1]
    rest = len(history.step_losses) - len(places)
    return places + [last.epoch + (i + 1) / last.batches for i in range(rest)]
