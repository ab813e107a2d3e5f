"""Facts about the project that stand in several files agree."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import fastcnn

ROOT = Path(__file__).parent.parent
ENDINGS = {".md", ".py", ".ipynb"}
FOLDERS = (ROOT / name for name in ("fastcnn", "bench", "examples", "tests"))
TEXTS = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in folder.rglob("*.*") if path.suffix in ENDINGS)]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
COMPILING = ("kernel", "flushing_kernel", "stopping_kernel", "inlined", "_compiled")  # decorators


def test_the_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert PROJECT["version"] == fastcnn.__version__
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [fastcnn.__version__]
    assert f"the version is {fastcnn.__version__}." in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_text_offers_an_installation_that_does_not_exist():
    """The package is on no index, so only a clone can be installed."""
    offers = re.compile(r"pip install [^\n`']*\bfastcnn\b(?!/)")
    found = [
        str(path.relative_to(ROOT))
        for path in TEXTS
        if path != Path(__file__) and offers.search(path.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_readme_names_every_extra(extra):
    assert f"`{extra}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_coverage_leaves_out_only_what_numba_compiles_and_methods_that_subclasses_define():
    """Its patterns match the functions with a decorator that compiles, and those that `for_each_dtype` compiles."""
    patterns = re.compile("|".join(SETTINGS["tool"]["coverage"]["report"]["exclude_also"]), re.MULTILINE)
    for path in (ROOT / "fastcnn").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        left_out = {text.count("\n", 0, match.start()) + 1 for match in patterns.finditer(text)}
        tree = ast.parse(text)
        assert left_out == compiled_lines(tree) | abstract_lines(tree), path


def abstract_lines(tree: ast.Module) -> set[int]:
    """The lines that raise a NotImplementedError and are all that a method does."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    only = [body[-1] for body in bodies if len(body) - isinstance(body[0], ast.Expr) == 1]
    return {raised.lineno for raised in only if ast.unparse(raised).startswith("raise NotImplementedError")}


def compiled_lines(tree: ast.Module) -> set[int]:
    """The lines that introduce compiled functions: that of the decorator, or of an inner function."""
    lines = set()
    for function in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
        for decorator in function.decorator_list:
            name = ast.unparse(decorator).partition("(")[0].rpartition(".")[2]
            if name in COMPILING:
                lines.add(decorator.lineno)
            if name == "for_each_dtype":
                lines |= {inner.lineno for inner in function.body if isinstance(inner, ast.FunctionDef)}
    return lines
