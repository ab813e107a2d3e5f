"""Which tests run a line of fastcnn, and how long they take.

python -m pytest -p tests.mutants.coverage_map --cov --cov-report= records it: coverage.py's data has a context for each
test function, without parameters, and FASTCNN_TEST_SECONDS names the file for the seconds. Of a test on several
backends, it runs only two cases on each, because others run the same lines; the seconds are estimated for all cases, by
the quickest one, as another may have compiled kernels. They include fixtures that a test shares with others.
"""

import ast
import json
import math
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from coverage import Coverage, CoverageData

from tests.mutants.changes import Change

_seconds: dict[tuple[str, str, str], float] = {}  # by test, backend and phase
_shared: dict[str, float] = defaultdict(float)  # by test: of its fixtures for a module or for all
_fixtures: dict[tuple[str, str], float] = {}  # of each such fixture, by place and name


def pytest_collection_modifyitems(items):
    """Keep the first and the last case of a test on each of its backends, and note the number of all."""
    cases = defaultdict(list)
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        backend = str(given.get("backend", given.get("fast_backend")))
        cases[_function(item.nodeid), backend].append(item)
    for (_, backend), some in cases.items():
        for item in some if backend == "None" else {some[0], some[-1]}:
            item.user_properties.append(("cases", (backend, len(some))))
    items[:] = [item for item in items if "cases" in dict(item.user_properties)]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    """Name the context after the test, in this process and in those that it starts."""
    if measured := Coverage.current():
        name = _function(item.nodeid)
        measured.switch_context(name)
        measured.config.context = name
        os.environ["COVERAGE_PROCESS_CONFIG"] = measured.config.serialize()
        measured.config.context = None


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    """Measure a shared fixture, which only the first of its tests waits for."""
    start = time.perf_counter()
    try:
        return (yield)
    finally:
        if fixturedef.scope != "function":
            _fixtures[fixturedef.baseid, fixturedef.argname] = time.perf_counter() - start


def pytest_runtest_call(item):
    """Note what a test's shared fixtures took."""
    taken = (
        seconds
        for (place, name), seconds in _fixtures.items()
        if name in item.fixturenames and item.nodeid.startswith(place)
    )
    item.user_properties.append(("shared", sum(taken)))


def pytest_runtest_logreport(report):
    """Note how long all cases would take; a test that fails is never selected."""
    noted, test = dict(report.user_properties), _function(report.nodeid)
    backend, count = noted.get("cases", ("", 1))  # a test that ends its process has none
    _shared[test] = max(_shared[test], noted.get("shared", 0.0))
    key = test, backend, report.when
    other = _seconds.get(key, math.inf)
    _seconds[key] = math.nan if report.failed or math.isnan(other) else min(count * report.duration, other)


def pytest_sessionfinish(session):
    """Write the seconds; with pytest-xdist, the main process has those of all workers."""
    if not hasattr(session.config, "workerinput"):
        setup: dict[str, float] = defaultdict(float)
        total: dict[str, float] = defaultdict(float)
        for (test, _, phase), seconds in _seconds.items():
            (setup if phase == "setup" else total)[test] += seconds
        for test, seconds in setup.items():
            total[test] += max(seconds, _shared[test])
        Path(os.environ["FASTCNN_TEST_SECONDS"]).write_text(json.dumps(total, indent=0), encoding="utf-8")


def _function(nodeid: str) -> str:
    return nodeid.partition("[")[0]


class _Definition(NamedTuple):
    """A function, a class or a constant; what runs when it is called, and the names that this mentions."""

    file: str
    names: set[str]
    lines: range
    body: range
    mentions: set[str]


class Map:
    """The recorded data.

    Parameters
    ----------
    data, seconds : Path
        Coverage's data file and the file with the seconds.
    sources : dict of str to str
        The package's sources by their paths in ``fastcnn/``.
    """

    def __init__(self, data: Path, seconds: Path, sources: dict[str, str]):
        times = json.loads(seconds.read_text(encoding="utf-8"))
        self.seconds: dict[str, float] = {test: time for test, time in times.items() if math.isfinite(time)}
        recorded = CoverageData(str(data))
        recorded.read()
        # Everything is read now: in a process that is forked later, coverage.py would empty the file.
        self._by_line = {
            path.rpartition("/fastcnn/")[2]: {
                line: [sys.intern(test) for test in tests if test]
                for line, tests in recorded.contexts_by_lineno(path).items()
            }
            for path in recorded.measured_files()
        }
        self._definitions = {file: list(_definitions(file, ast.parse(text))) for file, text in sources.items()}
        self._all = [definition for some in self._definitions.values() for definition in some]

    def tests(self, file: str, change: Change, budget: float) -> list[str]:
        """Tests that may notice a change, the quickest first, which take about ``budget`` seconds.

        A line of a function has the tests that run it. Lines that run at import and those that Numba compiles have the
        tests of the functions that mention their names, or of those that mention these. The tests in the file of the
        same name come in addition, as far as they take half of ``budget``: if a fixture for all of them runs a line,
        the data names only the first one.
        """
        around = [d for d in self._definitions[file] if change.line in d.lines]
        inner = min(around, key=lambda d: len(d.lines), default=_Definition(file, set(), range(0), range(0), set()))
        at_call = change.line in inner.body and change.operator != "default changed"
        found = self._of_lines(file, [change.line]) if at_call else set()
        if not found or "/simd/" in file or "/kernels/" in file:
            found |= self._of_users(inner) or {test for d in around for test in self._of_lines(file, d.body)}
        stem = Path(file).stem.strip("_")
        found = (found or {test for test in self.seconds if stem in test} or {*self.seconds}) & self.seconds.keys()
        named = {test for test in self.seconds if f"/test_{stem}.py::" in test} - found
        chosen: list[tuple[float, str]] = []
        for some, limit in ((found, budget), (named, budget / 2)):
            total = 0.0
            for cost, test in sorted((self.seconds[test] * (0.2 if stem in test else 1), test) for test in some):
                total += self.seconds[test]
                if total > limit and total > self.seconds[test]:
                    break
                chosen.append((cost, test))
        return [test for _, test in sorted(chosen)]

    def _of_lines(self, file: str, lines: Iterable[int]) -> set[str]:
        by_line = self._by_line.get(file, {})
        return {test for line in lines for test in by_line.get(line, ())}

    def _of_users(self, defined: _Definition) -> set[str]:
        """Tests of the functions that use a definition."""
        names, seen = defined.names, set()
        while names:
            seen |= names
            users = [d for d in self._all if d.mentions & names or (d.file == defined.file and d.names & names)]
            if found := {test for d in users for test in self._of_lines(d.file, d.body)}:
                return found
            names = {name for d in users for name in d.names} - seen
        return set()


def _definitions(file: str, node) -> Iterator[_Definition]:
    for child in ast.iter_child_nodes(node):
        names, body = set(), range(0)
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            names = {child.name}
            if isinstance(child, ast.FunctionDef):
                body = range(child.body[0].lineno, (child.end_lineno or 0) + 1)
        elif isinstance(child, ast.Assign | ast.AnnAssign) and not isinstance(node, ast.FunctionDef):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            names = {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        if names:
            inside = list(ast.walk(child))
            mentions = {n.id for n in inside if isinstance(n, ast.Name)} - names
            mentions |= {n.attr for n in inside if isinstance(n, ast.Attribute)}
            yield _Definition(file, names, range(child.lineno, (child.end_lineno or 0) + 1), body, mentions)
        if not isinstance(child, ast.expr):
            yield from _definitions(file, child)
