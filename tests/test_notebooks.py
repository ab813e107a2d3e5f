"""Notebooks are what jupytext makes of their Markdown, run from top to bottom, and show tables and figures.

`jupytext --update --to ipynb examples/*.md` makes them.
"""

import base64
import os
import struct
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

nbformat = pytest.importorskip("nbformat")


class Shown(NamedTuple):
    """How many figures and tables a notebook shows, and words that its outputs contain."""

    figures: int
    tables: int
    words: tuple[str, ...] = ()


SHOWN = {
    "first_steps": Shown(6, 2, ("61,706", "History(epochs=3", "It is a 9")),
    "look_inside": Shown(13, 0, ("Grad-CAM of the trained network and the image",)),
    "your_pictures": Shown(7, 1, ("180 images",)),
}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


def test_there_are_notebooks():
    assert {"first_steps", "look_inside", "your_pictures"} <= {path.stem for path in NOTEBOOKS}


def test_it_is_kept_without_outputs(path):
    for cell in nbformat.read(path, 4).cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


def test_it_is_what_its_markdown_says(path):
    jupytext = pytest.importorskip("jupytext")
    notebook, text = nbformat.read(path, 4), jupytext.read(path.with_suffix(".md"))
    command = f"examples/{path.stem}.md and .ipynb differ: jupytext --update --to ipynb examples/{path.stem}.md"
    assert cells(notebook) == cells(text), command
    assert notebook.metadata.kernelspec == text.metadata.get("kernelspec", notebook.metadata.kernelspec), command


def cells(notebook) -> list[tuple]:
    return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in notebook.cells]


@pytest.mark.filterwarnings("ignore")  # of Jupyter's own
def test_it_runs_and_shows(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    for package in ("ipykernel", "matplotlib", "PIL"):
        pytest.importorskip(package)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # Jupyter has one that shows figures
    notebook = nbformat.read(path, 4)
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path))  # raises what a cell raises
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    data = [out.data for out in outputs if "data" in out]
    figures = [base64.b64decode(one["image/png"]) for one in data if "image/png" in one]
    for figure in figures:
        assert figure[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", figure[16:24])) > 30
    tables = [one for one in data if "<td" in one.get("text/html", "")]
    expected = SHOWN.get(path.stem)
    if expected:
        assert (len(figures), len(tables)) == expected[:2]
    text = "".join(str(one.get("text/plain", "")) + str(one.get("text/html", "")) for one in data)
    text += "".join(out.text for out in outputs if out.output_type == "stream")
    for words in expected.words if expected else ():
        assert words in text
