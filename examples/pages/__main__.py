"""Build the project's site: the reference of the public modules, the guide and the notebooks, as pages of HTML.

python examples/pages --out site

It needs pip install -e '.[docs]'. Open site/index.html in a browser; the site works without a network.
"""

import argparse
import shutil
import sys
from pathlib import Path

import addresses
import documents
import pdoc.render
import reference
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="pages", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="where to write the site")
    parser.add_argument("--no-execute", action="store_true", help="do not run the notebooks: show their text and code")
    args = parser.parse_args()
    build(args.out, execute=not args.no_execute)
    print(f"Written: {args.out / 'index.html'}")
    return 0


def build(out: Path, execute: bool) -> None:
    """Write all pages."""
    pdoc.render.configure(docformat="numpy", search=True, template_directory=Path(__file__).parent / "templates")
    modules = reference.modules()
    linked = addresses.Linked(ROOT, reference.addresses(modules))
    pages = documents.collect(ROOT, execute)
    environment = pdoc.render.env
    environment.filters |= reference.FILTERS
    environment.globals["site"] = {"pages": pages, "modules": modules}
    environment.globals["dark_code"] = HtmlFormatter(style="github-dark").get_style_defs(".pdoc-code")
    for name, module in modules.items():
        write(out / f"{name.replace('.', '/')}.html", pdoc.render.html_module(module, modules))
    write(out / "search.js", pdoc.render.search_index(modules))

    def write_page(page: documents.Page, body: str) -> None:
        depth = page.address.count("/")  # the templates count ../, pdoc's search the dots of a module's name
        places = {"root": "../" * depth, "module": {"modulename": "." * depth}}
        write(out / page.address, environment.get_template("page.html.jinja2").render(page=page, body=body, **places))

    for page in pages:
        write_page(page, linked.body(page.body, page.path))
    for path in sorted(linked.files):
        if path.suffix in addresses.PICTURES:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, out / path)
        elif addresses.of(path) not in {page.address for page in pages}:
            page = documents.source(ROOT, path)
            write_page(page, page.body)


def write(path: Path, text: str) -> None:
    """Write a file; create its folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
