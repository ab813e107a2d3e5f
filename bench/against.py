"""Compare the speed of this checkout with that of another revision; fail if something has become slower.

python bench/against.py [REVISION] [--rows TEXT ...]

REVISION is one of git, by default HEAD~1, or a folder with another checkout. Both packages are copied into a temporary
folder. Each has processes and a cache of kernels of its own, and both run the operations listed here. The exit code is
1 if a row is more than 5 % slower.

What counts is the ratio of the times of both sides within a turn, as in all programs here (see `_measure`). A pair is
two fresh processes, one of each side, and its ratio is the median of its turns. Ratios differ from pair to pair even
for equal code, because the places of arrays and code in memory change the speed. This spread is the noise:

- The first look takes a few pairs. A row is suspicious if the median of their ratios is above 1.03.
- Suspicious rows are repeated with eight new pairs, and with eight more if these do not decide. A row is slower if the
  lower bound of the median ratio of the new pairs is above 1.05, and not slower if the upper bound is not. The bounds
  hold for any distribution, each with a probability of 95 %: the second of 8 ratios from either end, the fifth of 16.

A false alarm needs 7 of 8 or 12 of 16 pairs of equal code above 1.05. If each tenth pair of equal code is above, that
happens in fewer than one of 10,000 runs. In simulations with normal noise, a row that is 8 % slower is found in 99 of
100 runs if ratios have a standard deviation of 2 %; with 3 %, one that is 10 % slower.

A row that the other revision cannot run, or whose result differs there, is listed as such and not judged.
"""

import math
import os
import sys
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import _inference
import _measure
import _nets
import _operations
import _pairs
import _report
import numpy as np
import startup
from _checkouts import ROOT, Checkout

SUSPICIOUS, SLOWER = 1.03, 1.05
REPEATS, PAIRS, ROUNDS = 2, 8, 5  # of suspicious rows: how often at most, new pairs of processes, turns of a pair
RISK = 0.05  # that a bound is wrong
LENGTH = 20_000  # at most as many roundings of a number; for the tolerance of results

IMAGES = 512
OPERATIONS: dict[str, tuple] = {  # name: function that makes the operation on a side, and its arguments
    **{
        f"{net}, training step, batch {N}": (_nets.Walk, _nets.FastcnnStep, None, IMAGES, N, net)
        for net, N in (("lenet5", 16), ("lenet5", 128), ("resnet20", 32))
    },
    **{
        f"{net}, inference, batch {N}": (_inference.compiled, net, N) for net in ("lenet5", "resnet20") for N in (1, 64)
    },
    "lenet5, called, batch 1": (_inference.as_it_is, "lenet5", 1),
    **{
        f"{name}, {which}": (_operations.layer, name, which)
        for name in _operations.LAYERS
        for which in _operations.PASSES
    },
    **{
        f"{name}, {which}": (_operations.loss, name, which)
        for name in _operations.LOSSES
        for which in _operations.PASSES
    },
    **{f"{name}, step": (_operations.update, name) for name in _operations.OPTIMIZERS},
}
STARTS = {  # name: whether kernels are cached, number of pairs in the first look and in a repeat
    "lenet5, first step in a fresh process, kernels cached": (True, 7, PAIRS),
    "lenet5, first step in a fresh process, no kernel cached": (False, 2, 5),
}
COLUMNS = [
    ("row", "row", ""),
    ("old, ms", "old_ms", ".3f"),
    ("new, ms", "new_ms", ".3f"),
    ("new / old", "ratio", ".3f"),
    ("from", "lower", ".3f"),
    ("to", "upper", ".3f"),
    ("pairs", "pairs", "d"),
    ("", "verdict", ""),
]


def main() -> int:
    parser = _report.Options(__doc__)
    parser.add_argument("revision", nargs="?", default="HEAD~1", help="to compare with (default: %(default)s)")
    parser.add_argument("--rows", nargs="+", default=[""], metavar="TEXT", help="only rows whose names contain a TEXT")
    args = parser.parse()
    wanted = [name for name in (*OPERATIONS, *STARTS) if any(text in name for text in args.rows)]
    if not wanted:
        parser.error(f"--rows is {args.rows}, but no row has a name that contains this text")
    os.environ["PYTHONHASHSEED"] = "0"  # so that equal code is compiled to equal kernels, whatever the order of sets
    with TemporaryDirectory() as folder:
        try:
            sides = {
                name: Checkout(Path(folder, name), revision, args.threads)
                for name, revision in (("old", args.revision), ("new", ROOT))
            }
        except ValueError as error:
            parser.error(f"revision {error}")
        with _measure.start({"new": sides["new"]}) as idle:
            watch = _report.Watch(idle, "new")
            rows = judged(sides, wanted, args)
            where = watch.environment()
    if Path(args.revision).is_dir():
        args.revision = "another checkout"  # reports name no folders
    _report.finish(args, "against", [_report.table(f"Against {args.revision}", COLUMNS, rows)], where)
    slower = [row["row"] for row in rows if row["verdict"] == "SLOWER"]
    print(f"Slower: {'; '.join(slower)}." if slower else "No row is slower.")
    return int(bool(slower))


def judged(sides: _pairs.Sides, names: list[str], args) -> list[dict]:
    """Time the rows on both sides, repeat suspicious ones, and judge; return all rows."""
    operations = {name: OPERATIONS[name] for name in names if name in OPERATIONS}
    code = startup.FASTCNN_STEP.format(**startup.NETS["LeNet-5, batch 128"], threads=args.threads)
    apart = _pairs.differing(sides, operations, _measure.tolerance(LENGTH))
    starts = [name for name in names if name in STARTS]
    if starts and not _pairs.old_can_start(sides, code):
        apart |= dict.fromkeys(starts, "new: the old revision fails")

    def found(names, processes: int, rounds: int, look: int) -> _pairs.Found:
        """Pairs of the named rows; ``look`` is 0 for the first look and 1 for a repeat."""
        chosen = {name: OPERATIONS[name] for name in names if name in OPERATIONS}
        pairs = _pairs.of_operations(sides, chosen, processes, rounds, args.timing["seconds"])
        starts = {name: STARTS[name] for name in names if name in STARTS}
        return pairs | {name: _pairs.of_starts(sides, code, cached, of[look]) for name, (cached, *of) in starts.items()}

    timing, names = args.timing, [name for name in names if name not in apart]
    first = found(names, timing["processes"], -(-timing["rounds"] // timing["processes"]), 0)
    repeated: _pairs.Found = {}
    doubtful = [name for name, pairs in first.items() if ratio(pairs) > SUSPICIOUS]
    for _ in range(REPEATS):
        for name, pairs in found(doubtful, PAIRS, ROUNDS, 1).items():
            repeated[name] = repeated.get(name, []) + pairs
        doubtful = [name for name in doubtful if bounds(repeated[name])[0] <= SLOWER < bounds(repeated[name])[1]]
    rows = [row(name, repeated.get(name, pairs), name in repeated) for name, pairs in first.items()]
    return rows + [{"row": name, "verdict": why} for name, why in apart.items()]


def row(name: str, pairs: list[_pairs.Pair], repeated: bool) -> dict:
    """Return a row of the table with its verdict."""
    lower, upper = bounds(pairs) if repeated else (None, None)
    return {
        "row": name,
        "old_ms": float(np.median([pair.old_ms for pair in pairs])),
        "new_ms": float(np.median([pair.new_ms for pair in pairs])),
        "ratio": ratio(pairs),
        "lower": lower,
        "upper": upper,
        "pairs": len(pairs),
        "ratios": [pair.ratio for pair in pairs],
        "verdict": "SLOWER" if repeated and lower > SLOWER else "",
    }


def ratio(pairs: list[_pairs.Pair]) -> float:
    """Return the median of the ratios of pairs."""
    return float(np.median([pair.ratio for pair in pairs]))


def bounds(pairs: list[_pairs.Pair]) -> tuple[float, float]:
    """Return a lower and an upper bound of the median that this many pairs would have in the long run.

    The k-th lowest of n numbers is above their true median if fewer than k are below it, as heads in n tosses.
    """
    n, ratios = len(pairs), sorted(pair.ratio for pair in pairs)
    fewer_than = accumulate(math.comb(n, k) / 2**n for k in range(n))  # than 1, 2, ... below the median
    k = sum(chance <= RISK for chance in fewer_than)
    return ratios[k - 1], ratios[n - k]


if __name__ == "__main__":
    sys.exit(main())
