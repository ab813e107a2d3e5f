"""The notebook runs from top to bottom, and its values are displayed: tables as HTML, figures as images."""

import base64
import os
import struct
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")


def test_it_is_kept_without_outputs():
    for cell in nbformat.read(NOTEBOOK, 4).cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


@pytest.mark.filterwarnings("ignore")  # of Jupyter itself
def test_it_runs_and_shows(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, 4)
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path))  # raises the error of a cell
    shown = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown[cell.source.splitlines()[-1]] = [out.data for out in cell.outputs if "data" in out]
    (summary,) = shown["model.summary()"]
    assert "<td" in summary["text/html"]
    assert "61,706" in summary["text/html"]
    figures = {line: data for line, data in shown.items() if line.startswith("plotting.plot_")}
    assert len(figures) == 5
    for line, (data,) in figures.items():
        start = base64.b64decode(data["image/png"])[:24]
        assert start[:8] == b"\x89PNG\r\n\x1a\n", line
        assert min(struct.unpack(">II", start[16:])) > 100
    (history,) = shown["history"]
    assert "text/plain" in history
