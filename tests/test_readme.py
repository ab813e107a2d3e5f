"""The README's Python blocks run, and its two commands are what .ci/run looks for."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run_in_order(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 2
    namespace = {}
    for block in blocks:
        exec(block, namespace)
    loss = float(re.search(r"loss of the last batch: (\S+)", capsys.readouterr().out).group(1))
    assert loss < 2.0  # it started at ln 10 = 2.3


def test_the_two_commands_are_one_line_each():
    for name, end in ("run", "examples/lenet5.py --out runs/lenet5"), ("test", "-m pytest"):
        (command,) = re.findall(rf"<!-- {name} -->\n```bash\n(.*)\n```", README)
        assert command.startswith("python3 -m venv .venv && ")
        assert command.endswith(end)
