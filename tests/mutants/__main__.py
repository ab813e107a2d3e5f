"""Put faults into copies of fastcnn, one at a time, and check that tests notice them.

python -m tests.mutants [WORD ...] tries the faults of `chosen.py` with the tests named there, then faults drawn from
all that `changes.py` finds in the package, each with the quickest tests that run its line. WORDs keep the files whose
names contain one of them. With --work FOLDER, the map from lines to tests, the compiled kernels and the verdicts are
kept there, and the same command continues a run that was stopped; once the sources have changed, take a new folder. The
drawn faults are shared among as many processes as there are processors, or --jobs N. The exit code is 1 if a chosen
fault or more than 5 % of the drawn ones survive.
"""

import argparse
import difflib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from tests.mutants.changes import Change, drawn
from tests.mutants.chosen import CHOSEN
from tests.mutants.coverage_map import Map
from tests.mutants.trial import Outcome, Tree

ROOT = Path(__file__).resolve().parent.parent.parent
TABLES = {f"testing/{name}.py" for name in ("activations", "cases", "operations", "optimizers")}  # of cases to test
HANG, HANG_COMPILING = 40, 200  # seconds that tests may compute beyond four times their known time
JOBS = "processes that try drawn faults (default: one for each processor)"
ENOUGH = 0.95  # share of the drawn faults that must be noticed


def try_chosen(tree: Tree, sources: dict[str, str]) -> bool:
    """Try the chosen faults in these files; return whether all are noticed."""
    passed, noticed, chosen = set(), 0, [fault for fault in CHOSEN if fault.file in sources]
    for fault in chosen:
        source, arguments = sources[fault.file], fault.tests.split("|")
        if source.count(fault.old) != 1:
            verdict = f"STALE: its line occurs {source.count(fault.old)} times"
        elif fault.tests not in passed and not (outcome := tree.run(arguments, 900)).passed:
            verdict = f"STALE: its tests do not pass without it\n{outcome.output}"
        else:
            passed.add(fault.tests)
            outcome = tree.run(arguments, 900, {fault.file: source.replace(fault.old, fault.new)})
            verdict = "SURVIVED" if outcome.passed else "noticed"
        noticed += verdict == "noticed"
        change = f"{fault.old.strip()}  ->  {fault.new.strip() or '(nothing)'}".replace("\n", " ")
        print(f"{verdict:<10} {fault.file}: {change}", flush=True)
    print(f"{noticed} of {len(chosen)} chosen faults noticed.", flush=True)
    return noticed == len(chosen)


def try_drawn(tree: Tree, sources: dict[str, str], count: int, seed: int, budget: float, jobs: int) -> bool:
    """Try drawn faults and print the survivors and a table; return whether enough are noticed."""
    chart, log = make_map(tree, sources), tree.work / "verdicts.jsonl"
    faults = drawn(sources, count, np.random.default_rng(seed))
    known = verdicts(log)
    left = [fault for fault in faults if fault not in known]

    def work_through(k: int) -> None:
        own = tree.copy(tree.work / f"job{k}")
        for file, change in left[k::jobs]:
            outcome = try_one(own, chart, file, sources[file], change, budget)
            with log.open("a", encoding="utf-8") as lines:
                print(json.dumps([file, change, outcome]), file=lines)
            print(f"{outcome.how:<8} {outcome.seconds:6.1f} s  {file}:{change.line}  {change.operator}", flush=True)

    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work_through, args=(k,)) for k in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    known = verdicts(log)
    if untried := len(set(faults) - known.keys()):
        raise SystemExit(f"{untried} faults were not tried, because a process ended; the same command tries them.")
    for file, change in sorted(faults):
        if known[file, change].passed:
            print(f"Survived: {file}:{change.line}  {change.operator}")
            print(difference(sources[file], change.apply(sources[file])), flush=True)
    doubtful = failing(tree, {known[fault].test for fault in faults if known[fault].how == "failed"} - {""})
    for test in doubtful:
        print(f"{test} fails without a fault, too, so what it noticed does not count.")
    rows: dict[str, Counter] = defaultdict(Counter)
    for file, change in faults:
        outcome = known[file, change]
        if outcome.test not in doubtful:
            for row in (change.operator, f"fastcnn/{file.rpartition('/')[0]}", "all"):
                rows[row][outcome.how.partition(" ")[0]] += 1
    for name, row in sorted(rows.items()):
        print(f"{name:<24} {row.total():5d} drawn, {row.total() - row['passed']:5d} noticed, {row['hangs']:3d} hang")
    return rows["all"]["passed"] <= (1 - ENOUGH) * rows["all"].total()


def verdicts(log: Path) -> dict[tuple[str, Change], Outcome]:
    """What has been tried so far."""
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines()) if log.exists() else ()
    return {(file, Change(*change)): Outcome(*outcome) for file, change, outcome in lines}


def make_map(tree: Tree, sources: dict[str, str]) -> Map:
    """Run all tests once with coverage, unless a run before did."""
    data, seconds = tree.work / "coverage", tree.work / "seconds.json"
    if not seconds.exists():
        command = "-m pytest -q -n auto --dist loadfile -p tests.mutants.coverage_map --cov --cov-report="
        extra = {"COVERAGE_FILE": data, "FASTCNN_TEST_SECONDS": seconds, "NUMBA_CACHE_DIR": tree.warm}
        environment = {**os.environ, **{name: str(path) for name, path in extra.items()}}
        done = subprocess.run([sys.executable, *command.split()], cwd=tree.path, env=environment, check=False)
        if done.returncode not in (0, 1):  # 1: some tests fail, and are never selected
            seconds.unlink(missing_ok=True)
            raise SystemExit("The tests do not run, so no fault can be tried.")
    return Map(data, seconds, sources)


def try_one(tree: Tree, chart: Map, file: str, source: str, change: Change, budget: float) -> Outcome:
    """Run the tests of a fault, the quickest ones in a run of their own."""
    tests, outcome = chart.tests(file, change, budget), Outcome("passed", "", 0.0, "no test runs this line")
    few = sum(total < budget / 10 for total in np.cumsum([chart.seconds[test] for test in tests]))
    for part in (tests[:few], tests[few:]):
        if part and outcome.passed:
            longest = 4 * sum(chart.seconds[test] for test in part)
            longest += HANG_COMPILING if "numba_direct" in file else HANG
            outcome = tree.run(part, longest, {file: change.apply(source)})
            if outcome.how.startswith("crashed") and not tree.run(part, longest).passed:  # so it means nothing
                outcome = Outcome("passed", "", 0.0, f"its tests do not run without it: {part}")
    return outcome


def failing(tree: Tree, tests: set[str]) -> set[str]:
    """Those of some tests that fail on the unchanged tree."""
    found, left = set(), sorted(tests)
    while left and not (outcome := tree.run(left, 3600)).passed:
        if outcome.test not in left:  # pytest runs none of them if one has a case that only a fault makes
            alone = {test: tree.run([test], 3600) for test in left}
            return found | {test for test, outcome in alone.items() if outcome.test == test and not outcome.passed}
        found.add(outcome.test)
        left.remove(outcome.test)
    return found


def difference(old: str, new: str) -> str:
    """The lines that differ, with - and + in front."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def main() -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="keep files whose names contain one of these words")
    parser.add_argument("--drawn", type=int, default=200, help="number of drawn faults (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default 0)")
    parser.add_argument("--budget", type=float, default=60, help="seconds of tests for a drawn fault (default 60)")
    parser.add_argument("--jobs", type=int, metavar="N", default=len(os.sched_getaffinity(0)), help=JOBS)
    parser.add_argument("--no-chosen", action="store_true", help="try the drawn faults only")
    parser.add_argument("--work", type=Path, help="folder for what the next run can use")
    options = parser.parse_args()
    paths = {path.relative_to(ROOT / "fastcnn").as_posix(): path for path in (ROOT / "fastcnn").rglob("*.py")}
    sources = {
        file: path.read_text(encoding="utf-8")
        for file, path in sorted(paths.items())
        if file not in TABLES and (not options.words or any(word in file for word in options.words))
    }
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(ROOT, (options.work or Path(folder)).resolve())
        good = options.no_chosen or try_chosen(tree, sources)
        if options.drawn:
            good &= try_drawn(tree, sources, options.drawn, options.seed, options.budget, options.jobs)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
