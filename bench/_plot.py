"""What the programs that draw share: their command line, and what they say without matplotlib."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path


def main(description: str, program: str, draw: Callable) -> int:
    """Draw the picture ``draw(report)`` of the JSON that a program wrote, and write it as PNG."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("file", type=Path, metavar=f"{program.upper()}.json", help=f"what {program}.py wrote")
    parser.add_argument("png", type=Path, metavar="PLOT.png", help="the plot")
    args = parser.parse_args()
    try:
        import matplotlib
    except ImportError:
        parser.exit(1, f'{parser.prog}: No plot: it needs matplotlib, pip install "fastcnn[plot]".\n')
    matplotlib.use("Agg")
    draw(json.loads(args.file.read_text(encoding="utf-8"))).savefig(args.png, dpi=150)
    return 0
