"""The site of the project can be built; its links, and those of the repository's Markdown files, are not broken."""

import html
import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTED = "functional", "nn", "optim", "training", "data", "models", "plotting", "interop", "testing"
MARKDOWN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("examples/**/*.md")]


class Links(HTMLParser):
    """The ids of a page, and what its elements lead to."""

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src"):
                self.links.append(value)


def broken_links(site: Path) -> list[str]:
    """Broken links of all pages, each with the address of its page."""
    pages = {path: Links(path.read_text("utf-8")) for path in site.rglob("*.html")}
    broken = []
    for page, parsed in pages.items():
        for link in parsed.links:
            if re.match(r"(https?|data|mailto):", link):
                continue
            name, _, fragment = link.partition("#")
            target = Path(os.path.normpath(page.parent / unquote(name))) if name else page
            if not target.is_file() or (fragment and unquote(fragment) not in pages[target].ids):
                broken.append(f"{page.relative_to(site)}: {link}")
    return broken


def broken_in_repository(file: Path) -> list[str]:
    """Relative links of a Markdown file that lead to no file, those in its code blocks left out."""
    text = re.sub(r"^```.*?^```", "", file.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    links = [link for link in links if not re.match(r"(https?|mailto):|#", link)]
    return [link for link in links if not (file.parent / unquote(link.partition("#")[0])).exists()]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    for package in ("pdoc", "nbconvert", "sklearn"):
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp("pages") / "site"
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, str(ROOT / "examples" / "pages"), "--out", str(out), "--no-execute"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "UserWarning" not in done.stderr  # of pdoc
    return out


def test_every_link_leads_somewhere(site):
    assert (site / "index.html").is_file()
    assert broken_links(site) == []


def test_ids_are_unique(site):
    for page in site.rglob("*.html"):
        ids = Links(page.read_text("utf-8")).ids
        assert sorted(set(ids)) == sorted(ids), page


def test_nothing_comes_from_the_network(site):
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        loaded = re.findall(
            r'<(?:script|img|iframe)[^>]* src="(?!data:)([^"]*)"|<link[^>]* href="(?!data:)([^"]*)"', text
        )
        assert [link for pair in loaded for link in pair if ":" in link] == [], page
        assert not re.search(r"@import|url\(['\"]?https?:", text), page


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_has_an_entry(site, name):
    ids = Links((site / "fastcnn" / f"{name}.html").read_text("utf-8")).ids
    public = importlib.import_module(f"fastcnn.{name}").__all__
    modules = {path.stem for path in (site / "fastcnn" / name).glob("*.html")}
    assert public
    assert [entry for entry in public if entry not in modules.union(ids)] == []


def test_annotations_do_not_depend_on_pytorch(site):
    text = re.sub(r"<[^>]*>", "", (site / "fastcnn" / "interop.html").read_text("utf-8"))
    assert re.search(r"to_torch\(.*\) -> torch\.nn\.Module:", html.unescape(text))


@pytest.mark.parametrize("file", [file for file in MARKDOWN if file.exists()], ids=lambda file: file.name)
def test_links_in_the_repository_lead_somewhere(file):
    assert broken_in_repository(file) == []


def test_broken_links_are_noticed(tmp_path):
    (tmp_path / "a.html").write_text('<p id="there"><a href="#there"></a><a href="#b"></a><a href="b.html"></a>')
    (tmp_path / "c.html").write_text('<a href="a.html#there"></a><a href="a.html#c"></a><img src="d.png">')
    assert sorted(broken_links(tmp_path)) == ["a.html: #b", "a.html: b.html", "c.html: a.html#c", "c.html: d.png"]
    (tmp_path / "a.md").write_text("[a](a.html#x) [b](b.md) ![c](https://c)\n```\n[d](d.md)\n```\n", "utf-8")
    assert broken_in_repository(tmp_path / "a.md") == ["b.md"]
