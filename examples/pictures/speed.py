"""The speedup over PyTorch and ONNX Runtime, as bench/nets.py and bench/inference.py measured it."""

import json
from pathlib import Path

import bars

from fastcnn.plotting import _style

NETS = {
    "lenet5": "LeNet-5",
    "conv8_conv16": "two 3x3 layers",
    "resnet20": "ResNet-20",
    "vgg_batch_norm": "VGG",
    "six_layers": "six 3x3 layers",
    "separable": "separable",
    "small_mobilenet": "small MobileNet",
}
IMAGES = (1, 128)  # in a batch of inference


def draw(folder: Path):
    """A figure: training steps above, inference below."""
    nets, inference = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("nets", "inference"))
    steps = training(nets["tables"][0]["rows"])
    answers = [row | {"net": table["title"].split()[-1]} for table in inference["tables"] for row in table["rows"]]
    answers = [row for row in answers if row["N"] in IMAGES]
    figure = bars.figure(8)
    above, below = figure.subplots(2, 1, height_ratios=(len(steps), len(answers)), sharex=True)
    panel(above, "Training step: speedup over PyTorch", steps, "PyTorch")
    panel(below, "Inference: speedup over ONNX Runtime", answers, "ONNX Runtime")
    above.set_xlim(0, 2.4 * max(row["ratio"] for row in steps))
    bars.footer(figure, nets, inference)
    return figure


def training(rows: list[dict]) -> list[dict]:
    """The row of each net with its largest batch of at most 128, against PyTorch's faster memory format."""
    chosen = {row["net"]: row for row in sorted(rows, key=lambda row: row["N"]) if row["N"] <= 128 and row["ratio"]}
    return sorted(chosen.values(), key=lambda row: -row["ratio"])


def panel(axes, title: str, rows: list[dict], other: str) -> None:
    """A bar for each row: the other library's time, divided by fastcnn's."""
    ratios = [row.get("ratio") or row["ratios"][other]["fastcnn"] for row in rows]
    names = [f"{NETS[row['net']]}, batch {row['N']}" for row in rows]
    bars.draw(axes, title, names, ratios, _style.BLUE)
    for place, (row, ratio) in enumerate(zip(rows, ratios, strict=True)):
        ours, theirs = (
            min(time["ms"] for side, time in row["times"].items() if side.startswith(name))
            for name in ("fastcnn", other)
        )
        bars.label(axes, place, ratio, f"{ratio:.1f}", f"{bars.duration(ours)}, {other} {bars.duration(theirs)}")
    axes.axvline(1, color=_style.DARK, linewidth=1, zorder=1.5)
    axes.annotate(
        f"1: as fast as {other}", (1, 0), (0, -3), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
        ha="center", va="top", fontsize=bars.SMALL, color=_style.DARK,
    )  # fmt: skip
    axes.tick_params(axis="x", bottom=False, labelbottom=False)
