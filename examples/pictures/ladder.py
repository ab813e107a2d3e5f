"""From loops to tiles: the first four steps of examples/walk.md against the peak of the processor."""

import json
from pathlib import Path

import bars

from fastcnn.plotting import _style

STEPS = 4  # of the forward pass


def draw(path: Path):
    """Draw the report of bench/ladder.py."""
    report = json.loads(path.read_text("utf-8"))
    rows, peak = report["tables"][0]["rows"][:STEPS], report["environment"]["peak_gflops"]
    figure = bars.figure(4.4)
    axes = figure.subplots()
    colors = [_style.GREY] + [_style.SKY] * (len(rows) - 2) + [_style.BLUE]
    names = [row["step"].partition(". ")[2] for row in rows]
    bars.draw(
        axes,
        "One convolution, computed in four ways: GFLOP/s and time",
        names,
        [row["gflops"] for row in rows],
        colors,
    )
    for place, row in enumerate(rows):
        rate = f"{row['gflops']:.2g}" if row["gflops"] < 100 else f"{row['gflops']:.0f}"
        end = peak if row["gflops"] > peak / 20 else row["gflops"]  # beyond the line, where the label would cross it
        bars.label(axes, place, end, rate, bars.duration(row["ms"]))
    axes.set_xscale("log")
    axes.set_xlim(rows[0]["gflops"] / 5, peak * 30)
    axes.axvline(peak, color=_style.ORANGE, linewidth=2, zorder=1)
    axes.annotate(
        f"peak {peak:.0f}", (peak, 0), (7, 0), textcoords="offset points", color=_style.ORANGE, fontsize=bars.TEXT,
        va="center",
    )  # fmt: skip
    axes.minorticks_off()
    axes.tick_params(axis="x", labelsize=bars.SMALL, color=_style.GREY)
    axes.set_xlabel("GFLOP/s, log scale", loc="right", fontsize=bars.SMALL, color=_style.DARK)
    bars.footer(figure, report)
    return figure
