"""Pages made of Markdown files, notebooks and source files of the repository."""

import base64
import re
import tempfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import addresses
import nbclient
import nbformat
import pygments
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from pdoc.render_helpers import to_html
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename, guess_lexer
from pygments.util import ClassNotFound

GROUPS = {"examples/guide": "Guide", "examples": "Notebooks", ".": "Project"}


class Page(NamedTuple):
    """A page of the site, made of a file of the repository."""

    path: PurePosixPath
    title: str
    body: str  # HTML, its links as in the file
    contents: str  # HTML, a list of its headings

    @property
    def address(self) -> str:
        """Where it is on the site."""
        return addresses.of(self.path)

    @property
    def group(self) -> str:
        """Its heading in the navigation."""
        return GROUPS[str(self.path.parent)]


def collect(root: Path, execute: bool) -> list[Page]:
    """All pages, in the order of the lists of links in the README."""
    found = [*root.glob("*.md"), *root.glob("examples/*.ipynb"), *root.glob("examples/guide/*.md")]
    found += [path for path in root.glob("examples/*.md") if path.with_suffix(".ipynb") not in found]
    lines = (root / "README.md").read_text("utf-8").splitlines()
    order = re.findall(r"\]\(([^)#]+)", "\n".join(line for line in lines if line.startswith(("* ", "  "))))
    paths = [PurePosixPath(path.relative_to(root).as_posix()) for path in found]

    def place(path: PurePosixPath):
        names = {str(path), str(path.with_suffix(".md"))} & set(order)
        return str(path) != "README.md", min(map(order.index, names), default=len(order)), str(path)

    return [page(path, text(root / path, execute)) for path in sorted(paths, key=place)]


def text(file: Path, execute: bool) -> str:
    """The Markdown of a file; that of a notebook includes its outputs."""
    if file.suffix != ".ipynb":
        return re.sub(r"\A---\n.*?\n---\n", "", file.read_text("utf-8"), flags=re.DOTALL)  # without settings
    notebook = nbformat.read(file, 4)
    notebook.metadata.setdefault("language_info", {"name": "python"})  # for the colours of its code
    if execute:
        with tempfile.TemporaryDirectory() as folder:
            nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=folder)
    for cell in notebook.cells:
        if cell.cell_type == "code":  # progress bars, and messages about compilation
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    exporter = MarkdownExporter()
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    body, resources = exporter.from_notebook_node(notebook)
    for name, picture in resources["outputs"].items():
        body = body.replace(f"({name})", f"(data:image/png;base64,{base64.b64encode(picture).decode()})")
    return body


def page(path: PurePosixPath, markdown: str) -> Page:
    """The page of a Markdown text; its title is the first heading."""
    body = to_html(markdown)
    title = re.search(r"^# (.+)$", markdown, re.MULTILINE)[1].replace("`", "")
    return Page(path, title, str(body), body.toc_html or "")


def source(root: Path, path: PurePosixPath) -> Page:
    """A page that shows a source file."""
    text = (root / path).read_text("utf-8")
    try:
        lexer = get_lexer_for_filename(path.name)
    except ClassNotFound:
        lexer = guess_lexer(text)
    formatter = HtmlFormatter(cssclass="pdoc-code codehilite", linenos="inline", anchorlinenos=True, lineanchors="L")
    code = pygments.highlight(text, lexer, formatter)
    return Page(path, str(path), f"<h1>{path}</h1>\n{code}", "")
