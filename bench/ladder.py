"""The steps of examples/walk.md, from loops to tiles: the best time of each over several runs of the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import _measure
import _report
import _sides

WALK = Path(__file__).parent.parent / "examples" / "walk.py"
LINE = re.compile(r"^(\d\. .+?) +([\d.]+) ms +([\d.]+) GFLOP/s", re.MULTILINE)
COLUMNS = [("step", "step", ""), ("ms", "ms", ".3f"), ("GFLOP/s", "gflops", ".4g"), ("of peak", "of_peak", ".2%")]


def main() -> int:
    args = _report.Options(__doc__, rounds=(5, 1), processes=()).parse()
    with _measure.start(_sides.on(args.threads, "fastcnn")) as sides:
        watch = _report.Watch(sides)
        runs = [walk(args.threads) for _ in _report.progress(range(args.rounds), "runs of the page")]
        where = watch.environment()
    rows = [min(times, key=lambda row: row["ms"]) for times in zip(*runs, strict=True)]
    for row in rows:
        row["of_peak"] = row["gflops"] / where["peak_gflops"]
    table = _report.table("One convolution, in steps", COLUMNS, rows, [f"Each time is the best of {args.rounds} runs."])
    return _report.finish(args, "ladder", [table], where)


def walk(threads: int) -> list[dict]:
    """Run the page once, on so many threads; a row for each step."""
    environment = {**os.environ, "FASTCNN_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, WALK], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [{"step": step, "ms": float(ms), "gflops": float(rate)} for step, ms, rate in LINE.findall(done.stdout)]


if __name__ == "__main__":
    sys.exit(main())
