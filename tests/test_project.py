"""Facts about the project that stand in several files agree."""

import re
import tomllib
from pathlib import Path

import pytest

import fastcnn

ROOT = Path(__file__).parent.parent
ENDINGS = {".md", ".py", ".ipynb"}
FOLDERS = (ROOT / name for name in ("fastcnn", "bench", "examples", "tests"))
TEXTS = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in folder.rglob("*.*") if path.suffix in ENDINGS)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


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
