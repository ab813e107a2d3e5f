"""The command line that the plotting programs share."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path


def main(description: str, program: str, draw: Callable) -> int:
    """Read the JSON report of a program, make the figure ``draw(report)``, and write it as PNG."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("file", type=Path, metavar=f"{program.upper()}.json", help=f"the JSON report of {program}.py")
    parser.add_argument("png", type=Path, metavar="PLOT.png", help="the plot")
    args = parser.parse_args()
    try:
        import matplotlib
    except ImportError:
        parser.exit(1, f"{parser.prog}: Plotting needs matplotlib: pip install matplotlib.\n")
    matplotlib.use("Agg")
    draw(json.loads(args.file.read_text(encoding="utf-8"))).savefig(args.png, dpi=150)
    return 0
