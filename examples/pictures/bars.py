"""Horizontal bars with labels, legible at the width of a phone."""

from fastcnn.plotting import _style

TITLE, TEXT, SMALL = 16, 14, 11  # points of letters, in a figure that is eight inches wide


def figure(height: float):
    """An empty figure of a page's width."""
    made = _style.figure(8, height)
    made.get_layout_engine().set(h_pad=0.12)
    return made


def draw(axes, title: str, names: list[str], values: list[float], color) -> None:
    """Draw a bar for each name, from top to bottom, and a title."""
    axes.barh(range(len(names)), values, color=color, height=0.68, zorder=2)
    axes.set_title(" ", fontsize=TITLE, pad=10)  # room for the title, which begins at the left of the figure
    place = {"xycoords": ("figure fraction", "axes fraction"), "textcoords": "offset points"}
    axes.annotate(title, (0.01, 1), (0, 10), **place, fontweight="bold", fontsize=TITLE).set_in_layout(False)
    axes.set_yticks(range(len(names)), names, fontsize=TEXT)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)


def label(axes, place: int, value: float, bold: str, more: str = "") -> None:
    """Label a bar at its end."""
    white = {"facecolor": "white", "edgecolor": "none", "pad": 2}  # hides the line behind the bars
    beside = {"textcoords": "offset points", "va": "center", "fontsize": TEXT, "bbox": white}
    first = axes.annotate(bold, (value, place), (7, 0), fontweight="bold", **beside)
    axes.annotate(more, (1, 0.5), (9, 0), xycoords=first, color=_style.DARK, **beside)


def footer(figure, *reports: dict) -> None:
    """Write below a figure on which machine and with which libraries its reports were measured."""
    machine = reports[0]["environment"]
    sides = [side for report in reports for side in report["environment"]["sides"].values()]
    libraries = ", ".join(dict.fromkeys(side["library"].split("+")[0] for side in sides))
    threads = "/".join(sorted({str(side["threads"]) for side in sides}))
    text = (
        f"{threads} threads of {machine['processor']}, {machine['vector_bytes'] * 8}-bit vectors, "
        f"measured peak {machine['peak_gflops']:.0f} GFLOP/s, {machine['date']}\n"
        f"{libraries}, Numba {machine['numba']}, Python {machine['python']}"
    )
    figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color=_style.DARK)


def duration(ms: float) -> str:
    """A time in two or three digits."""
    return f"{ms / 1000:.2g} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 100 else f"{ms:.2g} ms"
