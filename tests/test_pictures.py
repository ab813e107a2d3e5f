"""The figures in the repository are what their script makes of the committed measurements, are small, and are shown."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "examples" / "pictures"
RESULTS = ROOT / "bench" / "results"


def committed() -> list[Path]:
    return sorted(path for path in PICTURES.iterdir() if path.suffix in (".png", ".svg"))


def texts(svg: str) -> list[str]:
    """What stands in a figure: matplotlib writes it beside the outlines of the letters."""
    return re.findall(r"<!-- (.*?) -->", svg)


def numbers(svg: str) -> list[float]:
    """All coordinates and sizes."""
    return [float(number) for number in re.findall(r"(?<![\w#.-])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])", svg)]


@pytest.mark.parametrize("name", ["speed", "ladder"])
def test_a_figure_is_of_the_committed_measurements(name, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, str(PICTURES), name, "--out", str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours, made = ((folder / f"{name}.svg").read_text("utf-8") for folder in (PICTURES, tmp_path))
    assert texts(made)
    assert texts(made) == texts(ours)
    if f"Matplotlib v{matplotlib.__version__}," in ours:  # others lay text out a little differently
        assert numbers(made) == pytest.approx(numbers(ours), abs=0.01)


def test_figures_are_small_and_shown():
    pages = [ROOT / "README.md", *ROOT.glob("examples/**/*.md"), *ROOT.glob("examples/*.ipynb")]
    shown = {
        (page.parent / link).resolve()
        for page in pages
        for link in re.findall(r'\]\(([^)\s]+)\)|src=\\?"([^"\\]+)', page.read_text("utf-8"))
        for link in link
        if link.endswith((".png", ".svg"))
    }
    assert [path.name for path in committed() if path.stat().st_size > 200_000] == []
    assert [path.name for path in committed() if path.resolve() not in shown] == []


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_measurements_are_reports_without_folder_names(path):
    text = path.read_text("utf-8")
    report = json.loads(text)
    assert report["settings"]["quick"] is False
    assert report["tables"]
    assert re.findall(r'"[^"]*(?:/(?:home|root|tmp|work|Users)/|[A-Z]:\\)[^"]*"', text) == []


def test_tables_of_the_measurements():
    files = sorted(map(str, RESULTS.glob("*.json")))
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "tables.py"), *files],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "### A training step" in done.stdout
    assert "### Inference of lenet5" in done.stdout
