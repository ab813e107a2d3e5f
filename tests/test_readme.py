"""The README's Python blocks run, and .ci/run finds its two commands."""

import importlib
import re
import runpy
import shlex
from pathlib import Path

import pytest

from fastcnn import data
from fastcnn.__main__ import COMMANDS, main

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
GUIDE = sorted((ROOT / "examples" / "guide").glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(page: Path) -> dict:
    """Run the Python of a page in one namespace and return it."""
    namespace = {"__name__": page.stem}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)
    return namespace


def test_readme_runs(capsys):
    run(README)
    assert float(capsys.readouterr().out) > 0.5  # guessing gives 0.1


NEEDS = {"training": "matplotlib", "deployment": "onnx", "scikit_learn": "sklearn"}


@pytest.mark.parametrize("page", [page for page in GUIDE if blocks(page, "python")], ids=lambda page: page.stem)
def test_guide_runs(page, tmp_path, monkeypatch):
    if page.stem in NEEDS:
        pytest.importorskip(NEEDS[page.stem])
    monkeypatch.chdir(tmp_path)
    if page.stem == "deployment":  # uses a run and a picture of its reader's
        assert main(["train", "--data", "digits", "--limit", "500", "--epochs", "1", "--out", "runs/mnist"]) == 0
        pytest.importorskip("PIL.Image").fromarray(data.digits(10, 10)[0].images[3, 0]).save("seven.jpg")
    namespace = run(page)
    if page.stem == "training":
        assert namespace["result"].accuracy > 0.8
        pictures = {path.name for path in Path("runs/tour").glob("*.png")}
        shown = "confusion", "curves", "evidence", "filters", "maps", "mistakes", "saliency"
        assert pictures == {f"{name}.png" for name in shown}


def test_commands_have_the_options_that_pages_use():
    lines = [
        shlex.split(line, comments=True)
        for page in (README, *GUIDE)
        for block in blocks(page, "bash")
        for line in re.findall(r"^(?:\.venv/bin/)?fastcnn (.*)$", block, re.MULTILINE)
    ]
    found = {command for command, *_ in lines}
    assert found >= {"train", "evaluate", "predict", "plot", "summary", "export", "program"}
    for command, *arguments in lines:
        assert command in COMMANDS
        importlib.import_module(f"fastcnn.commands.{command}").parser().parse_args(arguments)


def test_readme_links_to_every_page_of_the_guide():
    linked = set(re.findall(r"\(examples/guide/(\w+\.md)\)", README.read_text(encoding="utf-8")))
    assert linked == {page.name for page in GUIDE}


@pytest.mark.parametrize(
    ("name", "end"), [("run", "fastcnn train --out runs/lenet5"), ("test", "-m pytest -n auto --dist loadfile")]
)
def test_a_command_is_one_line(name, end):
    (command,) = re.findall(rf"<!-- {name} -->\n```bash\n(.*)\n```", README.read_text(encoding="utf-8"))
    assert command.startswith("python3 -m venv .venv && ")
    assert command.endswith(end)


def test_tables_of_speed_are_those_of_the_committed_measurements():
    bench = runpy.run_path(str(ROOT / "bench" / "readme.py"))
    for page in bench["PAGES"]:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert "<!-- table: " in text
        assert bench["rewritten"](text) == text, "run python bench/readme.py"
