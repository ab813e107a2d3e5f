"""Addresses on the site: of files of the repository and of public names; and the links to them."""

import html
import os
import posixpath
import re
from pathlib import Path, PurePosixPath

PICTURES = {".jpg", ".png", ".svg"}


def of(path: PurePosixPath) -> str:
    """The address of a file of the repository."""
    if path.suffix in PICTURES:
        return str(path)
    if str(path) == "README.md":
        return "index.html"
    return str(path.with_suffix(".html") if path.suffix in (".md", ".ipynb") else f"{path}.html")


class Linked:
    """Turns links between files of the repository into links between pages of the site.

    Parameters
    ----------
    root : pathlib.Path
        The repository.
    names : dict of str to str
        The addresses of the package's public names.

    Attributes
    ----------
    files : set of pathlib.PurePosixPath
        The files that pages link to, so far.
    """

    def __init__(self, root: Path, names: dict[str, str]):
        self.root, self.names, self.files = root, names, set()

    def body(self, body: str, page: PurePosixPath) -> str:
        """Change the relative links of a page, and link names and files that are set as code."""

        def link(match: re.Match) -> str:
            attribute, target = match.groups()
            path, mark, fragment = html.unescape(target).partition("#")
            file = self._file(page.parent / path) if path and ":" not in path else None
            return f'{attribute}="{self._to(of(file), page)}{mark}{fragment}"' if file else match[0]

        def code(match: re.Match) -> str:
            name, _, _ = html.unescape(match[1]).partition("(")
            file = self._file(PurePosixPath(name)) if "/" in name or name.endswith(".md") else None
            address = of(file) if file else self.names.get(name)
            return f'<a href="{self._to(address, page)}">{match[0]}</a>' if address else match[0]

        linked = re.sub(r'\b(href|src)="([^"]+)"', link, body)
        return re.sub(r"(?<!<pre>)(?<!\">)<code>([^<>]+)</code>(?!</a>)", code, linked)

    def _file(self, path: PurePosixPath) -> PurePosixPath | None:
        """The file of the repository at a path; of a folder its ``__main__.py``; None if it does not exist."""
        path = PurePosixPath(posixpath.normpath(path))
        if (self.root / path).is_dir():
            path /= "__main__.py"
        if path.is_absolute() or ".." in path.parts or not (self.root / path).is_file():
            return None
        self.files.add(path)
        return path

    def _to(self, address: str, page: PurePosixPath) -> str:
        return os.path.relpath(address, Path(of(page)).parent).replace(os.sep, "/")
