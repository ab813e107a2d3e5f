"""Figures. Matplotlib, the extra ``plot``, is imported when a figure is made; no window is opened."""

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#BCC6CE"  # Okabe and Ito's colours: all eyes can tell them apart


def plot_history(history):
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
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    epochs = history.epochs
    if not epochs:
        raise ValueError("`history` has no finished epoch to draw.")
    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    loss, accuracy = figure.subplots(1, 2, sharex=True)

    loss.plot(_places(history), history.step_losses, color=_GREY, linewidth=0.8, label="training, each batch")
    for part, name, middle, style in (
        ("train", "training", 0.5, {"color": _BLUE, "linestyle": "--", "marker": "o"}),
        ("test", "test", 0.0, {"color": _ORANGE, "marker": "s"}),
    ):
        x = [epoch.epoch - middle for epoch in epochs]
        losses = [getattr(epoch, f"{part}_loss") for epoch in epochs]
        percents = [100 * getattr(epoch, f"{part}_accuracy") for epoch in epochs]
        loss.plot(x, losses, **style, linewidth=2, markersize=5, label=name)
        accuracy.plot(x, percents, **style, linewidth=2, markersize=5, label=f"{name}, at last {percents[-1]:.2f}")

    loss.set_yscale("log")
    loss.set_ylim(bottom=min(min(epoch.train_loss, epoch.test_loss) for epoch in epochs) / 10)  # lucky batches fall out
    loss.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for axes, title in ((loss, "Loss"), (accuracy, "Accuracy (%)")):
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel("epochs")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
        axes.set_axisbelow(True)
    loss.legend(frameon=False, loc="upper right")
    accuracy.legend(frameon=False, loc="lower right")
    return figure


def _places(history) -> list[float]:
    """When each batch ended, in epochs; the batches of an unfinished epoch come last."""
    places = [epoch.epoch - 1 + (i + 1) / epoch.batches for epoch in history.epochs for i in range(epoch.batches)]
    last = history.epochs[-1]
    rest = len(history.step_losses) - len(places)
    return places + [last.epoch + (i + 1) / last.batches for i in range(rest)]
