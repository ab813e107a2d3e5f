"""Plot the accuracy over the minutes from the JSON report of accuracy_over_time.py: a thin line for each seed."""

import sys

import _plot

COLOURS = {"fastcnn": "tab:blue", "PyTorch": "tab:orange"}


def draw(report: dict):
    """Make a figure with a line through the epochs' medians and means for each library."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes, table, where = figure.subplots(), report["tables"][0], report["environment"]
    for side, colour in COLOURS.items():
        for curve in report["curves"]:
            if curve["side"] == side:
                axes.plot(*points(curve["points"], "minutes", "accuracy"), color=colour, linewidth=0.6, alpha=0.5)
        rows = [row for row in table["rows"] if side in row["minutes"]]
        if not rows:
            continue
        x, y = [row["minutes"][side] for row in rows], [row["accuracy"][side] for row in rows]
        axes.plot(x, y, "o-", color=colour, markersize=4, label=where["sides"][side]["library"])
        axes.annotate(f"{y[-1]:.1%} after {x[-1]:.1f} min", (x[-1], y[-1]), (0, 8), textcoords="offset points",
                      ha="right", color=colour)  # fmt: skip
    axes.set(xlabel="minutes", ylabel="accuracy on the test pictures, one view")
    axes.margins(y=0.1)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(color="0.93")
    axes.legend(loc="lower right", frameon=False)
    title = f"Recipe '{report['settings']['recipe']}' of examples/cifar10.py"
    axes.set_title(f"{title}; {where['processor']}, {where['threads']} threads", fontsize=10)
    return figure


def points(found: list[dict], *keys: str) -> list[list[float]]:
    """Return the coordinates of points."""
    return [[point[key] for point in found] for key in keys]


if __name__ == "__main__":
    sys.exit(_plot.main(__doc__, "accuracy_over_time", draw))
