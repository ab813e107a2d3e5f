"""Write the tables of the README, the guide and the walk from the measurements of bench/results.

python bench/readme.py

A table stands between the comments <!-- table: NAME --> and <!-- end -->. After a change of examples/walk.md, its
notebook must be made again: jupytext --update --to ipynb examples/walk.md
"""

import json
import re
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = "README.md", "examples/guide/speed.md", "examples/guide/deployment.md", "examples/walk.md"
NETS = {
    "lenet5": "LeNet-5, 32x32, grey",
    "conv8_conv16": "two 3x3 layers of 8 and 16 filters, 28x28, grey",
    "resnet20": "ResNet-20",
    "vgg_batch_norm": "VGG with batch normalization, 32, 64 and 128 filters",
    "six_layers": "six 3x3 layers of 32 filters",
    "separable": "four depthwise separable pairs of 32 channels",
    "small_mobilenet": "small MobileNet",
}
SHORT = {"lenet5": "LeNet-5", "resnet20": "ResNet-20"}
DATA = {"lenet5": "MNIST"}  # of bench/results/to_c.json; other networks: CIFAR-10


def main() -> int:
    """Rewrite the tables of all pages."""
    for name in PAGES:
        page = ROOT / name
        page.write_text(rewritten(page.read_text("utf-8")), "utf-8")
    return 0


def rewritten(text: str) -> str:
    """The page with the tables of the measurements."""
    mark = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return mark.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def overview() -> str:
    """Training and inference of two networks, and the machine."""
    rows = [
        (f"{SHORT[row['net']]}, training step", row["N"], *against(row, "PyTorch"))
        for row in steps()
        if row["net"] in SHORT and row["N"] == 128
    ]
    rows += [
        (f"{SHORT[net]}, inference", row["N"], *against(row, "ONNX Runtime"))
        for net, row in answers()
        if row["N"] in (1, 128)
    ]
    heads = "", "batch", "fastcnn, ms", "compared with", "ms", "speedup"
    return table(heads, rows, "lrrlrr") + f"\n{machine('nets', 'inference')}\n"


def nets() -> str:
    """Training steps of all networks and batch sizes, and the machine."""
    rows = []
    for row in steps():
        ours, _, theirs, ratio = against(row, "PyTorch")
        rows.append((NETS[row["net"]], row["N"], ours, theirs, ratio))
    heads = "network", "batch", "fastcnn, ms", "PyTorch, ms", "speedup"
    return table(heads, rows, "lrrrr") + f"\n{machine('nets')}\n"


def inference() -> str:
    """Compiled inference beside PyTorch, as it is and optimized for inference, and ONNX Runtime; and the machine."""
    others = "PyTorch", "PyTorch, optimized", "ONNX Runtime"
    rows = []
    for net, row in answers():
        speedup = row["ratios"]["ONNX Runtime"]["fastcnn"]
        times = (milliseconds(row, name) for name in ("fastcnn", *others))
        rows.append((SHORT[net], row["N"], *times, f"{speedup:.1f}"))
    heads = "network", "batch", "fastcnn, ms", *(f"{name}, ms" for name in others), "speedup over ONNX Runtime"
    return table(heads, rows, "lrrrrrr") + f"\n{machine('inference')}\n"


def c_programs() -> str:
    """C programs in float32, then in int8: accuracy and memory."""
    rows, precisions = [], ("float32", "int8")
    for row in report("to_c")["tables"][0]["rows"]:
        net = row["network"]
        found = (
            (f"{100 * row['accuracy'][one]:.2f}", f"{row['flash'][one]:,}", f"{row['ram'][one]:,}")
            for one in precisions
        )
        rows.append((f"{SHORT.get(net) or NETS[net]}, {DATA.get(net, 'CIFAR-10')}", *chain(*found)))
    heads = ((f"accuracy in {one}, %", "flash memory", "RAM") for one in precisions)
    return table(("network, data", *chain(*heads)), rows, "lrrrrrr")


def walk(first: int, last: int) -> str:
    """Steps of the walk, by their numbers."""
    rows = []
    for row in report("ladder")["tables"][0]["rows"]:
        if first <= int(row["step"].partition(".")[0]) <= last:
            ms, gflops, share = row["ms"], row["gflops"], 100 * row["of_peak"]
            digits = ".0f" if ms > 10 else ".3g", ".0f" if gflops > 10 else ".2g", ".0f" if share > 10 else ".2g"
            numbers = (format(number, digit) for number, digit in zip((ms, gflops, share), digits, strict=True))
            rows.append((row["step"], *numbers))
    return table(("step", "ms", "GFLOP/s", "% of peak"), rows, "lrrr") + f"\n{machine('ladder')}\n"


def against(row: dict, other: str) -> tuple[str, str, str, str]:
    """The time of fastcnn, the name and the time of the fastest form of another library, and its ratio to ours."""
    names = [name for name in row["times"] if name.startswith(other)]
    fastest = min(names, key=lambda name: row["ratios"][name]["fastcnn"])
    return milliseconds(row, "fastcnn"), other, milliseconds(row, fastest), f"{row['ratios'][fastest]['fastcnn']:.1f}"


def milliseconds(row: dict, side: str) -> str:
    """A time in three digits."""
    digits = f"{row['times'][side]['ms']:.3g}"
    return f"{float(digits):.0f}" if "e" in digits else digits


def steps() -> list[dict]:
    """Rows of bench/nets.py."""
    return report("nets")["tables"][0]["rows"]


def answers() -> list[tuple[str, dict]]:
    """Networks and rows of bench/inference.py."""
    return [(table["title"].split()[-1], row) for table in report("inference")["tables"] for row in table["rows"]]


def report(name: str) -> dict:
    """The committed JSON of a benchmark."""
    return json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text("utf-8"))


def machine(*names: str) -> str:
    """A sentence on where the tables were measured, and with which programs."""
    where = report(names[0])["environment"]
    sides = [side for name in names for side in report(name)["environment"]["sides"].values()]
    libraries = dict.fromkeys(side["library"].partition("+")[0] for side in sides)
    (threads,) = {side["threads"] for side in sides}
    programs = " and ".join(f"`bench/{name}.py`" for name in names)
    return (
        f"Measured by {programs} on {threads} threads of an {where['processor']} with {where['vector_bytes'] * 8}-bit "
        f"vectors and a measured peak of {where['peak_gflops']:.0f} GFLOP/s, {where['date']}: {', '.join(libraries)}, "
        f"NumPy {where['numpy']}, Numba {where['numba']}, Python {where['python']}."
    )


def table(heads: tuple[str, ...], rows: list[tuple], sides: str) -> str:
    """A table in Markdown; ``sides`` has l or r for each column."""
    lines = [heads, ["---" if side == "l" else "---:" for side in sides], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "overview": overview,
    "nets": nets,
    "inference": inference,
    "c_programs": c_programs,
    "forward": lambda: walk(1, 4),
    "backward": lambda: walk(5, 7),
}

if __name__ == "__main__":
    sys.exit(main())
