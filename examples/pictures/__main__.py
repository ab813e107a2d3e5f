"""Draw the figures of the README and of the guide, and write them beside this file.

python examples/pictures

`speed`, `accuracy` and `ladder` show measurements of bench/results, which bench/nets.py, inference.py,
accuracy_over_time.py and ladder.py wrote with `--json`. `--measure` runs bench/ladder.py first; nothing else should run
on the machine then. The other figures show LeNet-5 after five epochs on MNIST.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import accuracy
import ladder
import lenet5
import matplotlib
import speed

HERE = Path(__file__).parent
BENCH = HERE.parent.parent / "bench"
FIGURES = {
    "speed.svg": lambda: speed.draw(BENCH / "results"),
    "accuracy.svg": lambda: accuracy.draw(BENCH / "results" / "accuracy_over_time.json"),
    "ladder.svg": lambda: ladder.draw(BENCH / "results" / "ladder.json"),
    "curves.png": lenet5.curves,
    "mistakes.png": lenet5.mistakes,
    "feature_maps.png": lenet5.feature_maps,
}
NAMES = [name.partition(".")[0] for name in FIGURES]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="pictures", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which figures: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--out", type=Path, metavar="DIR", default=HERE, help="where to write them (default: here)")
    parser.add_argument("--measure", action="store_true", help="measure bench/results/ladder.json first")
    args = parser.parse_args()
    if unknown := set(args.names) - set(NAMES):
        parser.error(f"no figure is named {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if args.measure:
        command = [sys.executable, BENCH / "ladder.py", "--json", BENCH / "results" / "ladder.json"]
        subprocess.run(command, check=True)
    args.out.mkdir(parents=True, exist_ok=True)
    for file, draw in FIGURES.items():
        if not args.names or file.partition(".")[0] in args.names:
            write(draw(), args.out / file)
    return 0


def write(figure, path: Path) -> None:
    """Write a figure on white ground, which is legible on a dark page too; the same numbers give the same file."""
    svg = path.suffix == ".svg"
    with matplotlib.rc_context({"svg.hashsalt": path.stem, "savefig.facecolor": "white"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if svg else None)
    if svg:  # matplotlib ends some lines with a space
        path.write_text("\n".join(map(str.rstrip, path.read_text("utf-8").splitlines())) + "\n", "utf-8")
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
