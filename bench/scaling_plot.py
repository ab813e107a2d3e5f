"""Draw how training scales over machines, from the JSON of scaling.py; a ring marks where more nodes stop helping."""

import argparse
import json
import sys
from pathlib import Path

COLOURS = ("tab:orange", "tab:blue")  # of the networks, the slowest first


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="SCALING.json", help="what scaling.py wrote")
    parser.add_argument("png", type=Path, metavar="PLOT.png", help="the plot")
    args = parser.parse_args()
    try:
        import matplotlib
    except ImportError:
        parser.exit(1, f'{parser.prog}: No plot: it needs matplotlib, pip install "fastcnn[plot]".\n')
    matplotlib.use("Agg")
    draw(json.loads(args.file.read_text(encoding="utf-8"))).savefig(args.png, dpi=150)
    return 0


def draw(report: dict):
    """A figure: strong scaling above, weak scaling below, a column for each model."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(curve["model"] for curve in report["curves"]))
    figure = Figure(figsize=(1.5 + 3.8 * len(names), 7.5), layout="constrained")
    grid = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False)
    titles = {"strong": f"{report['strong']:,} images shared out", "weak": f"{report['weak']:,} images on each node"}
    for row, (kind, title) in enumerate(titles.items()):
        for axes, name in zip(grid[row], names, strict=True):
            curves = [curve for curve in report["curves"] if (curve["model"], curve["scaling"]) == (name, kind)]
            panel(axes, curves)
            axes.set_title(f"{name}, {title}", fontsize=10)
        grid[row][0].set_ylabel("times faster than one node")
    for axes in grid[1]:
        axes.set_xlabel("nodes")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    where = report["environment"]
    figure.suptitle(f"Scaling by the model; a node is {where['processor']}, {where['threads']} threads", fontsize=11)
    return figure


def panel(axes, curves: list[dict]) -> None:
    """One model's curves, of one kind of scaling, over the networks."""
    nodes = curves[0]["nodes"]
    axes.plot(nodes, nodes, color="0.7", linewidth=1, label="ideal")
    for curve, colour in zip(curves, COLOURS, strict=False):
        axes.plot(nodes, curve["speedup"], ".-", color=colour, label=curve["network"])
        hidden = [
            speedup * step / best
            for speedup, step, best in zip(curve["speedup"], curve["step_ms"], curve["hidden_step_ms"], strict=True)
        ]
        axes.plot(nodes, hidden, ":", color=colour, label=f"{curve['network']}, sum hidden behind the backward pass")
        best = curve["best"]
        beyond = best["nodes"] == nodes[-1]
        axes.plot(best["nodes"], best["speedup"], "o", color=colour, markersize=10, markerfacecolor="none",
                  markeredgewidth=1.5)  # fmt: skip
        text = f"{best['nodes']}{' or more' if beyond else ''}: {best['speedup']:.1f}x"
        axes.annotate(text, (best["nodes"], best["speedup"]), (-6, 8), textcoords="offset points", ha="right",
                      color=colour, fontsize=8)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(nodes, [str(n) for n in nodes])
    axes.set_yticks(nodes, [str(n) for n in nodes])
    axes.grid(color="0.93")


if __name__ == "__main__":
    sys.exit(main())
