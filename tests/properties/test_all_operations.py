"""No operation of the backends is left out of these tests."""

import ast
from pathlib import Path

from fastcnn.backends import operations


def named(file: Path) -> set[str]:
    """Every attribute and every string of a source file, and what follows from ``f"{name}_backward"``."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    found = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    found |= {
        node.value.partition(",")[0]
        for node in nodes
        if isinstance(node, ast.Constant) and node.value and isinstance(node.value, str)
    }
    both = {"activations": "test_elements.py", "softmax": "test_rows.py"}
    if file.name in both.values():
        found |= {f"{name}_backward" for name in found}
    return found


def test_every_operation_is_drawn():
    files = [file for file in Path(__file__).parent.glob("test_*.py") if file != Path(__file__)]
    assert set(operations()) - {"unpack"} <= set.union(*map(named, files))  # `call` unpacks whatever it returns
