"""The README's Python blocks run, and its two commands are what .ci/run looks for."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from fastcnn.__main__ import COMMANDS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run_in_order(capsys, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 2
    namespace = {}
    for block in blocks:
        exec(block, namespace)
    loss = float(re.search(r"loss of the last batch: (\S+)", capsys.readouterr().out).group(1))
    assert loss < 2.0  # it started at ln 10 = 2.3
    assert namespace["result"].accuracy > 0.8
    pictures = {path.name for path in Path("runs/tour").glob("*.png")}
    assert pictures == {"curves.png", "confusion.png", "filters.png", "maps.png", "mistakes.png"}


def test_commands_have_the_options_that_it_names():
    blocks = "".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL))
    lines = [shlex.split(line, comments=True) for line in re.findall(r"^fastcnn (.*)$", blocks, re.MULTILINE)]
    assert {command for command, *_ in lines} >= {"train", "evaluate", "predict", "plot", "summary", "export"}
    for command, *arguments in lines:
        assert command in COMMANDS
        importlib.import_module(f"fastcnn.commands.{command}").parser().parse_args(arguments)


def test_the_two_commands_are_one_line_each():
    for name, end in ("run", "examples/lenet5.py --out runs/lenet5"), ("test", "-m pytest -n auto --dist loadfile"):
        (command,) = re.findall(rf"<!-- {name} -->\n```bash\n(.*)\n```", README)
        assert command.startswith("python3 -m venv .venv && ")
        assert command.endswith(end)
