"""Print the tables of JSON reports of the benchmarks as Markdown, followed by the machine.

python bench/tables.py runs/bench/*.json
"""

import argparse
import json
import sys
from pathlib import Path

import _report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="JSON report of a benchmark")
    args = parser.parse_args()
    reports = []
    for file in args.files:
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
            reports.append(("\n".join(map(_report.markdown, report["tables"])), _report.machine(report)))
        except (OSError, ValueError, KeyError) as error:
            parser.error(f"{file} is not the JSON of a benchmark: {error!r}")
    machines = [machine for _, machine in reports]
    for (text, machine), following in zip(reports, [*machines[1:], None], strict=True):
        print(text)
        if machine != following:
            print(f"{machine}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
