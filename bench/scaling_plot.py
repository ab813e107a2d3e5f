"""Plot the predictions of scaling.py from its JSON report; a ring marks the last number of nodes that pays."""

import sys

import _plot

COLOURS = ("tab:orange", "tab:blue")  # one for each network, the slowest first


def draw(report: dict):
    """Make a figure: strong scaling above, weak scaling below, one column for each model."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(curve["model"] for curve in report["curves"]))
    figure = Figure(figsize=(2.5 + 3.6 * len(names), 7.5), layout="constrained")
    grid = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False)
    nodes = report["curves"][0]["nodes"]
    titles = {"strong": f"{report['strong']:,} images in all", "weak": f"{report['weak']:,} images on each node"}
    for row, (kind, title) in zip(grid, titles.items(), strict=True):
        for axes, name in zip(row, names, strict=True):
            values = (lambda curve: curve["speedup"]) if kind == "strong" else efficiency
            axes.plot(nodes, nodes if kind == "strong" else [1] * len(nodes), color="0.7", label="ideal")
            curves = [curve for curve in report["curves"] if (curve["model"], curve["scaling"]) == (name, kind)]
            for place, (curve, colour) in enumerate(zip(curves, COLOURS, strict=False)):
                line(axes, curve, values(curve), colour, place)
            measured = two_ranks(report["tables"][1]["rows"], name, kind)
            if measured:
                value = measured if kind == "strong" else measured / 2
                axes.plot(2, value, "kx", label="measured: two ranks of one thread against one")
            axes.set_title(f"{name}, {title}", fontsize=10)
            axes.grid(color="0.93")
    for axes in grid[0]:
        axes.set_yscale("log", base=2)
        axes.set_yticks(nodes, [str(n) for n in nodes])
        axes.set_xscale("log", base=2)
        axes.set_xticks(nodes, [str(n) for n in nodes])
    for axes in grid[1]:
        axes.set_xlabel("nodes")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    grid[1][0].set_ylim(0, 1.15)
    grid[0][0].set_ylabel("times faster than one node")
    grid[1][0].set_ylabel("efficiency")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    where = report["environment"]
    figure.suptitle(f"Scaling by the model; a node is {where['processor']}, {where['threads']} threads", fontsize=11)
    return figure


def line(axes, curve: dict, values: list[float], colour: str, place: int) -> None:
    """Draw the curve of a network, the curve if the sum were hidden, and the ring."""
    nodes, best = curve["nodes"], curve["best"]
    hidden = [
        value * step / less for value, step, less in zip(values, curve["step_ms"], curve["hidden_step_ms"], strict=True)
    ]
    axes.plot(nodes, values, ".-", color=colour, label=curve["network"])
    axes.plot(nodes, hidden, ":", color=colour, label=f"{curve['network']}, sum hidden behind the backward pass")
    axes.plot(best["nodes"], values[nodes.index(best["nodes"])], "o", color=colour, markersize=10,
              markerfacecolor="none", markeredgewidth=1.5)  # fmt: skip
    more = " or more" if best["nodes"] == nodes[-1] else ""
    text = f"{curve['network']}: {best['nodes']}{more} nodes, {best['speedup']:.1f} times faster"
    at = (0.03, 0.97 - 0.07 * place) if curve["scaling"] == "strong" else (0.03, 0.17 - 0.07 * place)
    axes.text(*at, text, transform=axes.transAxes, va="top", color=colour, fontsize=8.5)


def efficiency(curve: dict) -> list[float]:
    """Return the efficiency for each number of nodes."""
    return [curve["efficiency"][str(n)] for n in curve["nodes"]]


def two_ranks(rows: list[dict], name: str, kind: str) -> float | None:
    """Return the measured speedup of two ranks over one on this machine; None if it was not measured."""
    one, *two = (row for row in rows if row.get("model") == name) if rows[0].get("model") else [None]
    if not two:
        return None
    shared, as_many = two
    return one["step_ms"] / shared["step_ms"] if kind == "strong" else 2 * one["step_ms"] / as_many["step_ms"]


if __name__ == "__main__":
    sys.exit(_plot.main(__doc__, "scaling", draw))
