"""These tests cover every operation of the backends."""

import ast
from pathlib import Path

from fastcnn.backends import operations


def named(file: Path) -> set[str]:
    """Return all attributes and strings in a source file, including the expansions of ``f"{name}_backward"``."""
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
    assert set(operations()) - {"unpack"} <= set.union(*map(named, files))  # `call` unpacks its results
