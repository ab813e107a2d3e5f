"""All small changes of a source text that might be faults: operators swapped, constants changed, statements removed.

They are found in the syntax tree and made in the text, so that a changed line is easy to read. mutmut and cosmic-ray
do not fit here: they know nothing of kernels that Numba compiles and keeps on disk.
"""

import ast
import functools
import itertools
from typing import NamedTuple

import numpy as np

COMPARISONS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"), ast.Pow: ("**", "*"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.BitXor: ("^", "|"), ast.MatMult: ("@", "*"),
}  # fmt: skip
LOGIC = {ast.And: ("and", "or"), ast.Or: ("or", "and")}
TEXTS = ("help", "metavar", "description", "epilog", "stacklevel")  # keywords that change a message only
HINTS = ("lru_cache", "TypeVar", "cast", "overload")  # calls that change the speed or the types only


class Change(NamedTuple):
    """A piece of a source, as UTF-8, and what replaces it.

    Attributes
    ----------
    operator : str
        The kind of change.
    start, end : int
        The bytes that are replaced.
    new : str
    line : int
        Number of the first line that changes.
    """

    operator: str
    start: int
    end: int
    new: str
    line: int

    def apply(self, source: str) -> str:
        """Return the changed source."""
        text = source.encode()
        return (text[: self.start] + self.new.encode() + text[self.end :]).decode()


def changes(source: str) -> list[Change]:
    """All changes of a source, in the order of their places. A few of them do nothing; see `differs`."""
    return sorted(set(_Finder(source).changes), key=lambda change: (change.start, change.end, change.new))


def differs(source: str, change: Change) -> bool:
    """Whether the changed source compiles and is another program."""
    try:
        changed = ast.parse(change.apply(source))
        compile(changed, "<mutant>", "exec")
    except SyntaxError:
        return False
    return ast.dump(changed) != _dump(source)


@functools.lru_cache(1)
def _dump(source: str) -> str:
    return ast.dump(ast.parse(source))


def drawn(sources: dict[str, str], count: int, rng: np.random.Generator) -> list[tuple[str, Change]]:
    """About ``count`` changes in random order: from each file as large a share as from the others, and at least one."""
    found = {file: changes(source) for file, source in sorted(sources.items())}
    share = count / sum(map(len, found.values()))
    pairs: list[tuple[str, Change]] = []
    for file, some in found.items():
        shuffled = (some[k] for k in rng.permutation(len(some)))
        good = (change for change in shuffled if differs(sources[file], change))
        pairs += [(file, change) for change in itertools.islice(good, max(1, round(share * len(some))))]
    return [pairs[k] for k in rng.permutation(len(pairs))]


class _Finder(ast.NodeVisitor):
    """Collects the changes of a source in ``changes``."""

    def __init__(self, source: str):
        self.text, self.changes = source.encode(), []
        lengths = [len(line) for line in self.text.splitlines(keepends=True)]
        self._starts = [0, *np.cumsum(lengths).tolist()]
        self.visit(ast.parse(source))

    def _span(self, node) -> tuple[int, int]:
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _replace(self, operator: str, node, new: str) -> None:
        self._edit(operator, *self._span(node), new)

    def _edit(self, operator: str, start: int, end: int, new: str) -> None:
        line = self.text.count(b"\n", 0, start) + 1
        self.changes.append(Change(operator, start, end, new, line))

    def _swap(self, operator: str, left, right, names: tuple[str, str]) -> None:
        """Replace an operator between two nodes."""
        start, end = self._span(left)[1], self._span(right)[0]
        at = self.text.find(names[0].encode(), start, end)
        if at >= 0:
            self._edit(operator, at, at + len(names[0]), names[1])

    # What has no changes inside

    def _nothing(self, node) -> None:
        pass

    visit_JoinedStr = visit_Import = visit_ImportFrom = visit_Assert = _nothing

    def visit_Raise(self, node):
        if node.exc is None or "NotImplementedError" not in ast.unparse(node.exc):
            self._replace("statement removed", node, "pass")

    def visit_If(self, node):
        if ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.orelse:
                self.visit(statement)
        else:
            self._condition(node)

    def visit_Assign(self, node):
        names = [ast.unparse(target) for target in node.targets]
        if names == ["__all__"]:
            return
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            self._replace("statement removed", node, "pass")
        self.generic_visit(node)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            if isinstance(node.target, ast.Attribute):
                self._replace("statement removed", node, "pass")
            self.visit(node.value)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node.value, ast.Call):
            self._replace("statement removed", node, "pass")
        self.visit(node.value)

    # Definitions, without annotations

    def visit_FunctionDef(self, node):
        for decorator in node.decorator_list:
            self.visit(decorator)
        self.visit(node.args)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node):
        for part in (*node.keywords, *node.decorator_list):
            self.visit(part)
        for statement in node.body:
            self.visit(statement)

    def visit_arguments(self, node):
        for default in (*node.defaults, *filter(None, node.kw_defaults)):
            if isinstance(default, ast.Constant) and isinstance(default.value, str):
                self._replace("default changed", default, repr(default.value + "_"))
            elif (new := _other(default)) is not None:
                self._replace("default changed", default, new)
            elif not isinstance(default, ast.Constant):
                self.visit(default)

    # Operators

    def visit_Compare(self, node):
        nodes = [node.left, *node.comparators]
        for k, operator in enumerate(node.ops):
            self._swap("comparison", nodes[k], nodes[k + 1], COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_BinOp(self, node):
        if not any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in (node.left, node.right)):
            self._swap("arithmetic", node.left, node.right, ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        old, new = ARITHMETIC[type(node.op)]
        self._swap("arithmetic", node.target, node.value, (old + "=", new + "="))
        self._replace("statement removed", node, "pass")
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._swap("and, or", left, right, LOGIC[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        start = self._span(node)[0]
        if isinstance(node.op, ast.Not):
            rest = self.text[start + len("not") :]
            self._edit("not removed", start, len(self.text) - len(rest.lstrip()), "")
        elif isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            self._edit("arithmetic", start, start + 1, "+")
        self.generic_visit(node)

    def _condition(self, node):
        start, end = self._span(node.test)
        self._edit("condition negated", start, end, f"(not ({self.text[start:end].decode()}))")
        self.generic_visit(node)

    visit_While = visit_IfExp = _condition

    def visit_comprehension(self, node):
        for test in node.ifs:
            start, end = self._span(test)
            self._edit("condition negated", start, end, f"(not ({self.text[start:end].decode()}))")
        self.generic_visit(node)

    def visit_Constant(self, node):
        if (new := _other(node)) is not None:
            self._replace("constant", node, new)

    # Statements, slices and calls

    def visit_Return(self, node):
        if node.value is not None and ast.unparse(node.value) != "None":
            self._replace("statement removed", node, "return None")
            self.visit(node.value)

    def visit_Break(self, node):
        self._replace("break, continue", node, "continue")

    def visit_Continue(self, node):
        self._replace("break, continue", node, "break")

    def visit_Slice(self, node):
        for bound in filter(None, (node.lower, node.upper)):
            self._replace("slice bound removed", bound, "")
        self.generic_visit(node)

    def visit_Call(self, node):
        if ast.unparse(node.func).rpartition(".")[2] in HINTS:
            return
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in TEXTS:
                continue
            start, end = self._span(keyword)
            rest = self.text[end:]
            comma = len(rest) - len(rest.lstrip())
            if rest[comma : comma + 1] == b",":
                end += comma + 1
            self._edit("keyword removed", start, end, "")
        self.generic_visit(node)


def _other(node) -> str | None:
    """Another number or truth value than a constant's; None if it is neither."""
    value = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, int):
        return "0" if value == 1 else str(value + 1)
    if isinstance(value, float):
        return repr(value * 2 if value else 1.0)
    return None


def _is_text(node) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
