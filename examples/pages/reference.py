"""The reference of the public modules, made by pdoc from their docstrings."""

import importlib
import inspect
import re
import zlib
from types import ModuleType, SimpleNamespace

import pdoc.doc
from markupsafe import Markup
from matplotlib.figure import Figure
from pdoc import render_helpers

from fastcnn.interop.pytorch import reading, writing
from fastcnn.plotting import _style

PLACES: dict[type, str] = {}
"""Public classes and their public names."""


def modules() -> dict[str, pdoc.doc.Module]:
    """The package and all modules that are public names of it, or of each other."""
    # Names in annotations that only type checkers import; the pages are the same with and without PyTorch.
    _style.Figure = Figure
    reading.torch = writing.torch = SimpleNamespace(
        nn=SimpleNamespace(Module=type("Module", (), {"__module__": "torch.nn"}))
    )
    found, names = {}, ["fastcnn"]
    while names:
        module = importlib.import_module(names.pop(0))
        for name in getattr(module, "__all__", ()):
            value = vars(module)[name] = getattr(module, name)  # pdoc reads vars; some names are imported on first use
            if isinstance(value, ModuleType):
                names.append(value.__name__)
            elif isinstance(value, type):
                PLACES.setdefault(value, f"{module.__name__}.{name}")
        found[module.__name__] = pdoc.doc.Module(module)
    return dict(sorted(found.items()))


def addresses(modules: dict[str, pdoc.doc.Module]) -> dict[str, str]:
    """Addresses of all entries, by their names in texts: "fastcnn.nn.Conv2d", "nn.Conv2d", "Conv2d"."""
    found = {}
    for name, module in modules.items():
        page = f"{name.replace('.', '/')}.html"
        names = {name, name.removeprefix("fastcnn."), "F" if name == "fastcnn.functional" else name}
        found |= dict.fromkeys(names - {"F"}, page)
        for entry in (member.qualname for member in entries(module, module)):
            found |= {f"{prefix}.{entry}": f"{page}#{entry}" for prefix in names}
            if entry[0].isupper():
                found.setdefault(entry, f"{page}#{entry}")
    return found


def entries(namespace: pdoc.doc.Namespace, module: pdoc.doc.Module):
    """Members of a module and of its classes that have an entry."""
    for member in namespace.members.values():
        if not member.name.startswith("_") and is_entry(member, module):
            yield member
            if isinstance(member, pdoc.doc.Class):
                member.own_members = list(entries(member, module))  # with those of private base classes, too
                yield from member.own_members


def is_entry(member: pdoc.doc.Doc, module: pdoc.doc.Module) -> bool:
    """Whether a member has an entry: only if it adds something to its class and to a public base class."""
    owner, _, name = member.qualname.rpartition(".")
    if name == "__init__" or (member.kind == "variable" and not member.docstring):
        return not owner and name in getattr(
            module.obj, "__all__", ()
        )  # the entry of the class shows its signature and attributes
    if not owner:
        return True
    if member.kind == "function" and not (getattr(member.obj, "__module__", "") or "").startswith("fastcnn"):
        return False  # scikit-learn puts some into its estimators
    classes = module.get(owner).obj.__mro__
    defining = [cls for cls in classes if name in vars(cls)] or [classes[0]]
    if defining[0] is not classes[0]:  # inherited
        return (
            defining[0] not in PLACES and defining[0].__module__.startswith("fastcnn") and "\n---" in member.docstring
        )
    return not any(cls in PLACES for cls in defining[1:]) or "Parameters\n---" in member.docstring


def bases(cls: pdoc.doc.Class) -> list[str]:
    """Names of the nearest public base classes."""
    found = [base for base in cls.obj.__mro__[1:] if base in PLACES]
    return [PLACES[base] for base in found if not any(issubclass(other, base) for other in found if other is not base)]


def format_signature(signature: inspect.Signature, colon: bool) -> Markup:
    """Show a signature as pdoc does, but with the public names of NumPy's classes."""
    text = str(render_helpers.format_signature(signature, colon))
    text = re.sub(r"&lt;class &#x27;([\w.]+)&#x27;&gt;", r"\1", text)
    return Markup(text.replace('<span class="o">.</span><span class="n">_generator</span>', ""))


def to_html(markdown: str) -> str:
    """Render Markdown as pdoc does, but with types as in numpydoc ("x : ndarray"), and with unique ids."""
    html = render_helpers.to_html(markdown)
    typed = r'\1 <span class="type">\2</span><br>'
    changed = re.sub(r"(<strong>.+?</strong>) \((.+)\):(?=$|</p>|</li>)", typed, html, flags=re.MULTILINE)
    changed = re.sub(r'<h6 id="[^"]*">', "<h6>", changed)
    changed = re.sub(r'(["#]fn(?:ref)?-)(?=\w+")', rf"\g<1>{zlib.crc32(markdown.encode()):x}-", changed)
    result = type(html)(changed)
    result.toc_html = html.toc_html
    return result


FILTERS = {"bases": bases, "format_signature": format_signature, "is_entry": is_entry, "to_html": to_html}
