"""Draw a roofline plot from the JSON of layers.py: how close each convolution comes to the limits of the machine.

S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore architectures",
Communications of the ACM 52(4), 2009.
"""

import sys

import _plot

STYLES = {"forward": ("o", 0.95), "input gradient": ("s", 1.0), "filter gradient": ("^", 1.05)}  # marker, x factor
COLOURS = {"native": "tab:blue", "PyTorch": "tab:orange"}
NAMES = {"native": "fastcnn, native layout", "PyTorch": "PyTorch"}


def draw(report: dict):
    """Make a figure with all operations of the report as points under the two roofs.

    Points of layers that fit into the cache may lie above the roof of the memory.
    """
    from matplotlib.figure import Figure

    rows, where = report["tables"][0]["rows"], report["environment"]
    peak, bandwidth = where["peak_gflops"], report["bandwidth_gbytes"]
    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots()
    tops = {}  # layer -> position of its number
    for row in rows:
        marker, aside = STYLES[row["operation"]]
        x = row["flop_per_byte"] * aside
        points = {name: row["gflops"][name] for name in COLOURS if name in row["gflops"]}
        axes.plot([x] * len(points), list(points.values()), color="0.85", linewidth=1, zorder=1)
        for name, value in points.items():
            axes.scatter(x, value, 30, COLOURS[name], marker=marker, zorder=2)
        top = max(points.values(), default=0.0)
        tops[row["layer"]] = row["flop_per_byte"], max(top, tops.get(row["layer"], (0, 0))[1])

    left = min(row["flop_per_byte"] for row in rows) / 2
    right = 2 * max(peak / bandwidth, *(row["flop_per_byte"] for row in rows))
    axes.plot([left, peak / bandwidth, right], [left * bandwidth, peak, peak], color="black", zorder=0)
    axes.text(right, peak, f"peak {peak:.0f} GFLOP/s ", ha="right", va="bottom")
    axes.text(left, left * bandwidth, f" memory {bandwidth:.0f} GB/s", ha="left", va="top")
    axes.set(xscale="log", yscale="log", xlim=(left, right))
    axes.set_title(f"Convolutions on {where['processor']}, {where['threads']} threads")
    axes.set(xlabel="floating-point operations per byte of x, filters and y, each once", ylabel="GFLOP/s")

    for name, colour in COLOURS.items():
        axes.scatter([], [], 30, colour, label=NAMES[name])
    for operation, (marker, _) in STYLES.items():
        axes.scatter([], [], 30, "0.5", marker=marker, label=operation)
    for number, (layer, at) in enumerate(tops.items(), 1):
        axes.annotate(str(number), at, (0, 6), textcoords="offset points", ha="center", fontsize=8)
        axes.scatter([], [], marker="none", label=f"{number}  {layer}")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, handlelength=1)
    return figure


if __name__ == "__main__":
    sys.exit(_plot.main(__doc__, "layers", draw))
