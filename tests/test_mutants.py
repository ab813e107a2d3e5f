"""The faults that `tests.mutants` draws: each kind of change, and what is left alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _pytest.mark.expression import Expression

import fastcnn
from tests.mutants.__main__ import failing
from tests.mutants.changes import changes, differs, drawn
from tests.mutants.chosen import CHOSEN, Fault
from tests.mutants.trial import Outcome

ROOT = Path(__file__).parent.parent


def results(source: str) -> set[str]:
    """The sources that all changes of a source make."""
    return {change.apply(source) for change in changes(source) if differs(source, change)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"a <= b"}),
        ("a is not b", {"a is b"}),
        ("a in b", {"a not in b"}),
        ("a < b == c", {"a <= b == c", "a < b != c"}),
        ("(a) * (b)", {"(a) / (b)"}),
        ("a @ b", {"a * b"}),
        ("-a", {"+a"}),
        ("a += b", {"a -= b", "pass"}),
        ("a = 1", {"a = 0"}),
        ("a = 7", {"a = 8"}),
        ("a = 0.5", {"a = 1.0"}),
        ("a = True", {"a = False"}),
        ("a and b and c", {"a or b and c", "a and b or c"}),
        ("not a", {"a"}),
        ("a if b else c", {"a if (not (b)) else c"}),
        ("[a for a in b if c]", {"[a for a in b if (not (c))]"}),
        ("while a: b", {"while (not (a)): b"}),
        ("while a:\n    break", {"while (not (a)):\n    break", "while a:\n    continue"}),
        ("a[b:c]", {"a[:c]", "a[b:]"}),
        ("a.b = c", {"pass"}),
        ("a(b)", {"pass"}),
        ("a = b(c=d, e=f)", {"a = b( e=f)", "a = b(c=d, )"}),
        ("raise a", {"pass"}),
        ("def a():\n    return b", {"def a():\n    return None"}),
        ("def a(b=1, *, c='d'): pass", {"def a(b=0, *, c='d'): pass", "def a(b=1, *, c='d_'): pass"}),
        ("ä = 'ö', 7", {"ä = 'ö', 8"}),
    ],
)
def test_each_kind_of_change(source, expected):
    assert results(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Text."""',
        "import a",
        "__all__ = [1]",
        "def a(b: 1 | 2) -> 3: pass",
        "a: 1 | 2",
        "if TYPE_CHECKING:\n    a = 1",
        "raise NotImplementedError(1)",
        "a = b(help='c')",
        "@functools.lru_cache(1)\ndef a(): pass",
        "a = f'{1}'",
    ],
)
def test_what_is_no_fault_is_left_alone(source):
    assert results(source) == set()


def test_a_message_is_left_alone_but_not_its_error():
    assert results("if a:\n    raise ValueError(f'{b}' + c(1))") == {
        "if (not (a)):\n    raise ValueError(f'{b}' + c(1))",
        "if a:\n    pass",
    }


def test_all_files_take_part_in_a_draw_in_proportion():
    sources = {"few": "a = 1", "many": "\n".join(f"a = {k}" for k in range(2, 102)), "none": "a"}
    found = drawn(sources, 20, np.random.default_rng(0))
    files = [file for file, _ in found]
    assert (files.count("few"), files.count("many"), len(set(found))) == (1, 20, 21)
    assert found == drawn(sources, 20, np.random.default_rng(0))
    assert found != drawn(sources, 20, np.random.default_rng(1))
    assert all(change.line == int(change.new) - 2 for file, change in found if file == "many")


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: f"{fault.file}: {fault.old.strip():.30}")
def test_a_chosen_fault_is_possible(fault: Fault):
    source = Path(fastcnn.__file__).parent / fault.file
    assert source.read_text(encoding="utf-8").count(fault.old) == 1


@pytest.fixture(scope="module")
def collected() -> list[str]:
    """All tests in the files that chosen faults name."""
    files = sorted({path.partition("::")[0] for fault in CHOSEN for path in selection(fault)[0]})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if "::" in line]


def selection(fault: Fault) -> tuple[list[str], str]:
    """The files or tests that a fault names, and its expression of keywords."""
    paths, _, keywords = fault.tests.partition("|-k|")
    return paths.split("|"), keywords


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: f"{fault.file}: {fault.old.strip():.30}")
def test_the_tests_of_a_chosen_fault_exist(fault: Fault, collected):
    paths, keywords = selection(fault)
    chosen = Expression.compile(keywords)
    for path in paths:
        tests = [test for test in collected if test == path or test.startswith((f"{path}::", f"{path}["))]
        assert tests, path
        assert not keywords or any(
            chosen.evaluate(lambda word, test=test: word.lower() in test.lower()) for test in tests
        )


SHARED = """
import time
import pytest

@pytest.fixture(scope="module")
def slow():
    time.sleep(0.5)

@pytest.mark.parametrize("case", range(6))
def test_first(slow, case):
    time.sleep(0.1)

def test_second(slow):
    pass

def test_other():
    pass
"""


def test_seconds_include_shared_fixtures_and_all_cases(tmp_path):
    (tmp_path / "test_it.py").write_text(SHARED)
    seconds = tmp_path / "seconds.json"
    environment = {"PYTHONPATH": str(ROOT), "FASTCNN_TEST_SECONDS": str(seconds), "PYTEST_ADDOPTS": ""}
    command = ["-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-p", "tests.mutants.coverage_map", "test_it.py"]
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=os.environ | environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode()
    first, second, other = json.loads(seconds.read_text()).values()
    assert first >= 1.1
    assert 0.5 <= second < first
    assert other < 0.5


class FakeTree:
    """Tests of which some fail, run in an order of their own; pytest runs none if it does not know all of them."""

    def __init__(self, order, fails):
        self.order, self.fails = order, fails

    def run(self, tests, seconds):
        if not set(tests) <= set(self.order):
            return Outcome("crashed (4)", "", 0.0, "")
        ran = [test for test in self.order if test in tests]
        first = next((test for test in ran if test in self.fails), None)
        return Outcome("failed", first, 0.0, "") if first else Outcome("passed", ran[-1], 0.0, "")


@pytest.mark.parametrize("known", ["dbca", "dca"], ids=["all", "b only with a fault"])
def test_tests_that_fail_without_a_fault(known):
    assert failing(FakeTree(known, "ad"), {*"abcd"}) == {*"ad"}
