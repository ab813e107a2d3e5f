"""Run all benchmarks, collect their JSON reports in a folder, and make the tables and plots from them.

python bench/run_all.py --out runs/bench
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

HERE = Path(__file__).parent
PROGRAMS = (
    "lenet5", "nets", "inference", "layers", "pooling", "threads", "busy", "startup", "memory", "fairness",
    "time_to_accuracy", "accuracy_over_time", "scaling", "errors", "ladder", "to_c",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder for all results")
    parser.add_argument("--quick", action="store_true", help="check that every benchmark works, in minutes")
    parser.add_argument("--threads", type=int, metavar="N", help="of every side (default: all processors)")
    args = parser.parse_args()
    others = [*["--quick"] * args.quick, *(["--threads", str(args.threads)] if args.threads is not None else [])]
    args.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for program in (bar := tqdm(PROGRAMS, disable=not sys.stderr.isatty())):
        bar.set_description(program)
        command = [sys.executable, str(HERE / f"{program}.py"), "--json", str(args.out / f"{program}.json"), *others]
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            failed.append(program)
    files = [path for program in PROGRAMS if (path := args.out / f"{program}.json").exists()]
    command = [sys.executable, str(HERE / "tables.py"), *map(str, files)]
    tables = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True).stdout
    (args.out / "tables.md").write_text(tables, encoding="utf-8")
    print(tables)
    command = [sys.executable, str(HERE / "roofline.py"), str(args.out / "layers.json"), str(args.out / "roofline.png")]
    subprocess.run(command, check=False)  # prints its own error if matplotlib is missing
    command = [sys.executable, str(HERE / "scaling_plot.py")]
    subprocess.run([*command, str(args.out / "scaling.json"), str(args.out / "scaling.png")], check=False)
    if failed:
        print(f"{parser.prog}: failed: {', '.join(failed)}.", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
