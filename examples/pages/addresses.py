"""Where the files of the repository and the names of the package are on the site, and the links to them."""

import html
import os
import posixpath
import re
from pathlib import Path, PurePosixPath

PICTURES = {".png", ".svg"}


def of(path: PurePosixPath) -> str:
    """The address of a file of the repository."""
    if path.suffix in PICTURES:
        return str(path)
    if str(path) == "README.md":
        return "index.html"
    return str(path.with_suffix(".html") if path.suffix in (".md", ".ipynb") else f"{path}.html")


class Linked:
    """Links in bodies of pages, from files of the repository to addresses of the site.

    Parameters
    ----------
    root : pathlib.Path
        The repository.
    names : dict of str to str
        The addresses of the package's public names.

    Attributes
    ----------
    files : set of pathlib.PurePosixPath
        The files that were linked to so far.
    """

    def __init__(self, root: Path, names: dict[str, str]):
        self.root, self.names, self.files = root, names, set()

    def body(self, body: str, page: PurePosixPath) -> str:
        """The body of a page, its relative links and its code in backquotes leading to pages of the site."""

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
        """The file of a relative path, a folder's ``__main__.py``; None where there is none."""
        path = PurePosixPath(posixpath.normpath(path))
        if (self.root / path).is_dir():
            path /= "__main__.py"
        if ".." in path.parts or not (self.root / path).is_file():
            return None
        self.files.add(path)
        return path

    def _to(self, address: str, page: PurePosixPath) -> str:
        return os.path.relpath(address, Path(of(page)).parent).replace(os.sep, "/")
