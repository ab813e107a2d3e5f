"""bench/against.py names what has become slower, and nothing else; the machine may be busy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
BENCH = ROOT / "bench"
FEW = "--threads", "1", "--rounds", "6", "--rows", "avg_pool2d 2x2"
SLOW = """

def _five_times(once):
    return lambda *given: [once(*given) for _ in range(5)][0]


avg_pool2d = _five_times(avg_pool2d)
"""
POOLING = "fastcnn/backends/numba_direct/pooling.py"


def against(checkout: Path, *options) -> subprocess.CompletedProcess:
    """Run the program of a checkout."""
    command = [sys.executable, checkout / "bench" / "against.py", *options]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)


def copy(to: Path) -> Path:
    """Copy what the program needs."""
    for folder in ("fastcnn", "bench"):
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__", "results"))
    return to


def append(file: Path, code: str) -> None:
    file.write_text(file.read_text("utf-8") + code, "utf-8")


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_slower_operation_is_named(tmp_path):
    checkout = copy(tmp_path)
    me = "-c", "user.name=me", "-c", "user.email=me@example.org"
    for arguments in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", "before"]):
        subprocess.run(["git", "-C", checkout, *arguments], check=True)
    append(checkout / POOLING, SLOW)
    done = against(checkout, "HEAD", *FEW)
    assert done.stdout.endswith("\nSlower: avg_pool2d 2x2, forward.\n"), done.stdout + done.stderr
    assert done.returncode == 1


def test_equal_code_is_not_slower_and_what_is_new_or_differs_is_not_judged(tmp_path):
    other = copy(tmp_path)
    append(other / "fastcnn/nn/pooling.py", "\nAvgPool2d.__init__ = None\n")
    append(other / "fastcnn/nn/activations.py", "\nSigmoid.backward_native = lambda self, dy, *_: dy\n")
    done = against(ROOT, other, *FEW, "sigmoid")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\nNo row is slower.\n")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if ", " in line]
    verdicts = {row[0]: row[-1] for row in rows if row}
    assert verdicts["sigmoid, forward"] == ""
    assert verdicts["sigmoid, backward"].startswith("another result: it differs by ")
    for which in ("forward", "backward"):
        assert verdicts[f"avg_pool2d 2x2, {which}"].startswith("new: the old revision fails with TypeError")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-revision"], "revision 'no-such-revision' is neither a revision nor a folder with fastcnn in it"),
        ([ROOT, "--rows", "no such row"], "--rows is ['no such row'], but no row has a name that contains this text"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    done = against(ROOT, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.fixture
def judge(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import against
    from _pairs import Pair

    return lambda ratios: against.bounds([Pair(1.0, ratio, ratio) for ratio in ratios])


@pytest.mark.parametrize(("n", "rank"), [(5, 1), (8, 2), (16, 5)])
def test_bounds_are_order_statistics(n, rank, judge):
    assert judge(range(n, 0, -1)) == (rank, n + 1 - rank)


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_bounds_hold(draw, judge, rng):
    median = {"normal": 0.0, "exponential": np.log(2)}[draw]
    found = np.array([judge(getattr(rng, draw)(size=8)) for _ in range(2000)])
    above, below = (found[:, 0] > median).mean(), (found[:, 1] < median).mean()
    assert 0.005 < above < 0.05
    assert 0.005 < below < 0.05
