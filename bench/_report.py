"""Options, tables, JSON reports and descriptions of the machine, shared by all programs."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import _sides
from tqdm import tqdm

import fastcnn


class Options(argparse.ArgumentParser):
    """The options of a program.

    Parameters
    ----------
    description : str
        The program's docstring, whose first line is shown.
    rounds, processes : tuple of two int
        Default values of ``--rounds`` and ``--processes``, and those with ``--quick``; empty if the program does not
        use them and has no such option.
    """

    def __init__(self, description: str, *, rounds: tuple = (15, 2), processes: tuple = (3, 1)):
        super().__init__(description=description.splitlines()[0])
        self.counts = {name: of for name, of in (("rounds", rounds), ("processes", processes)) if of}
        add, most = self.add_argument, fastcnn.get_num_threads()
        add("--quick", action="store_true", help="few rounds, mostly of tiny shapes, to check that it works")
        add("--json", type=Path, metavar="FILE", help="write all measurements to this file")
        add("--threads", type=int, metavar="N", default=most, help="of every side (default: %(default)s)")
        for name, (default, quick) in self.counts.items():
            what = {"rounds": "turns", "processes": "processes"}[name]
            add(f"--{name}", type=int, metavar="N", help=f"{what} of every side (default: {default}; quick: {quick})")

    def parse(self) -> argparse.Namespace:
        """Parse and check the options; add ``timing``, the arguments for `_measure.race`."""
        args = self.parse_args()
        most = fastcnn.get_num_threads()
        if not 1 <= args.threads <= most:
            self.error(f"--threads is {args.threads} but must be from 1 to {most}, the processors this process may use")
        for name, defaults in self.counts.items():
            if getattr(args, name) is None:
                setattr(args, name, defaults[args.quick])
            if getattr(args, name) < 1:
                self.error(f"--{name} is {getattr(args, name)} but must be at least 1")
        args.timing = {name: getattr(args, name) for name in self.counts} | {"seconds": 0.002 if args.quick else 0.05}
        return args


def progress(rows, title: str) -> tqdm:
    """Iterate over rows with a progress bar, if stderr is a terminal."""
    return tqdm(rows, title, leave=False, disable=not sys.stderr.isatty())


class Watch:
    """Record the machine and its load, from the creation of this object until `environment` is called.

    Parameters
    ----------
    sides : dict of Side
    fastcnn : str
        Name of the side that measures and describes the machine.
    """

    def __init__(self, sides: dict, fastcnn: str = "fastcnn"):
        self._sides, self._fastcnn = sides, fastcnn
        self._peak = sides[fastcnn](_sides.best, "peak_gflops")
        self._start = self._seconds()

    def environment(self) -> dict:
        """Return the description for JSON; call it at the end of the measurement."""
        others = self._others()
        return {
            "date": time.strftime("%Y-%m-%d"),
            "processors_busy_by_others": others,
            "peak_gflops": max(self._peak, self._sides[self._fastcnn](_sides.best, "peak_gflops")),
            **self._sides[self._fastcnn](_sides.machine),
            "sides": {name: side.about for name, side in self._sides.items()},
        }

    def _others(self) -> float | None:
        """Return how many processors other programs kept busy; above a few per cent of one, times mean little."""
        if self._start is None:
            return None
        elapsed, busy, own = (now - then for now, then in zip(self._seconds(), self._start, strict=True))
        return max(0.0, (busy - own) / elapsed)

    def _seconds(self) -> tuple[float, float, float] | None:
        """Return wall time, processor time of all programs, and processor time of this program and its processes.

        None if the system has no /proc/stat.
        """
        try:
            jiffies = list(map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:8]))
        except (OSError, ValueError):
            return None
        idle, waiting = jiffies[3:5]
        own = sum(os.times()[:4]) + sum(side(time.process_time) for side in self._sides.values())
        return time.perf_counter(), (sum(jiffies) - idle - waiting) / os.sysconf("SC_CLK_TCK"), own


def table(title: str, columns: list[tuple[str, str, str]], rows: list[dict], notes=()) -> dict:
    """Return a table for JSON that includes how it is to be shown.

    ``columns`` are (heading, place, format). The place "times/PyTorch/ms" means ``row["times"]["PyTorch"]["ms"]``; if
    it does not exist, the cell stays empty.
    """
    wrong = [sentence for row in rows for sentence in row.get("wrong", {}).values()]
    keys = ("heading", "place", "format")
    return {
        "title": title,
        "columns": [dict(zip(keys, column, strict=True)) for column in columns],
        "rows": rows,
        "notes": [*notes, *wrong],
    }


def markdown(table: dict) -> str:
    """Format a table as Markdown that is also legible in a terminal."""
    columns = table["columns"]
    lines = [[column["heading"] for column in columns]]
    lines += [[_cell(row, column) for column in columns] for row in table["rows"]]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(columns))]
    lines.insert(1, ["-" * (w - 1) + (":" if c["format"] else "-") for w, c in zip(widths, columns, strict=True)])
    text = [f"### {table['title']}", ""]
    for line in lines:
        cells = (
            cell.rjust(width) if column["format"] else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        )
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join([*text, "", *(f"{note}\n" for note in table["notes"])])


def finish(args: argparse.Namespace, program: str, tables: list[dict], where: dict, **more) -> int:
    """Print the tables and write the JSON report; return the exit code, 1 if a result was wrong.

    The JSON names neither folders nor the kernel of the system, so that it can be published.
    """
    settings = {name: value for name, value in vars(args).items() if name != "json"}
    report = {
        "program": program,
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()},
        "environment": {name: value for name, value in where.items() if name not in ("numba_cache", "platform")},
        "tables": tables,
        **more,
    }
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join(map(markdown, tables)))
    print(machine(report))
    print(f"Numba's cache folder: {where['numba_cache']}")
    return int(any(row.get("wrong") for table in tables for row in table["rows"]))


def machine(report: dict) -> str:
    """Describe in a few sentences where a report was measured, without folder names, so that it can be published."""
    where = report["environment"]
    libraries = ", ".join(f"{side['library']} on {side['threads']}" for side in where["sides"].values())
    text = (
        f"{where['processor']}, {where['vector_bytes'] * 8}-bit vectors, "
        f"measured peak {where['peak_gflops']:.0f} GFLOP/s; threads: {libraries}; "
        f"Python {where['python']}, NumPy {where['numpy']}, "
        f"Numba {where['numba']}; {where['date']}."
    )
    if report["settings"]["quick"]:
        text += " Measured with --quick: the times are meaningless."
    busy = where["processors_busy_by_others"]
    if busy is not None and busy > 0.05:
        text += f" Other programs kept {busy:.2f} processors busy meanwhile: the times mean little."
    return text


def missing(sides: dict, *names: str) -> list[str]:
    """Return sentences about the columns that stay empty."""
    return [f"The columns of {name} are empty: it is not installed." for name in names if name not in sides]


def _cell(row: dict, column: dict) -> str:
    """Format one cell."""
    value = row
    for key in column["place"].split("/"):
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else format(value, column["format"])
