"""Docstrings of the public interface are complete, and true for the arrays in their examples."""

import doctest
import functools
import inspect
import math

import numpy as np
import pytest

from tests.docstrings import Documented, fault, public

pytest.importorskip("numpydoc")
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

PUBLIC = {str(documented): documented for documented in public()}

SKIPPED = {
    "GL01": "a docstring starts right after its quotes",
    "ES01": "one sentence may be enough",
    "EX01": "the example of a class also shows its methods",
    "SA01": "names in backquotes refer to related objects",
    "SS05": "a summary may start with a noun; the check takes plurals for verbs in the third person",
    "PR03": "parameters that are described in another function share a line",
    "PR04": "their types are those of the other function",
    "PR07": "a name and a type are often enough",
    "PR08": "a description may start with a name",
    "RT02": "results of one type share a line",
    "RT03": "a type is often enough",
    "YD01": "nearly all generators here are context managers, which yield nothing",
}
"""Checks of numpydoc that are skipped, with the reason."""


def parsed(documented: Documented) -> NumpyDocString:
    return NumpyDocString(inspect.getdoc(documented.function) or "")


def names(entries) -> list[str]:
    """List the names in a section; several parameters may share a line."""
    return [name.strip() for entry in entries for name in entry.name.split(",")]


def signature(documented: Documented) -> list[str]:
    """List the names of the parameters in numpydoc's notation."""
    if inspect.isclass(documented.function) and documented.function.__init__ is ValueError.__init__:
        return []  # Python has no signature for it
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(documented.function).parameters.values()
    return [stars.get(p.kind, "") + p.name for p in parameters if p.name not in ("self", "cls")]


@pytest.mark.parametrize("name", PUBLIC)
def test_numpydoc_finds_nothing(name):
    """A method may consist of one sentence without sections; a class that only fastcnn instantiates, of attributes."""
    doc, skipped = parsed(PUBLIC[name]), set(SKIPPED)
    if PUBLIC[name].is_method and not doc["Parameters"]:
        skipped |= {"PR01", "RT01"}
    is_protocol = getattr(PUBLIC[name].function, "_is_protocol", False)  # which has no instances
    if is_protocol or (doc["Attributes"] and not doc["Parameters"]):
        skipped |= {"PR01"}
    assert [error for error in validate(name)["errors"] if error[0] not in skipped] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_parameters_have_types_and_their_order(name):
    """Parameters described as in another function may share a line without types."""
    alike = [entry for entry in parsed(PUBLIC[name])["Parameters"] if not entry.type]
    for entry in alike:
        assert " ".join(entry.desc).startswith(("As in", "As given to", "Of the", "Those of")), f"no type: {entry.name}"
    others = [entry for entry in parsed(PUBLIC[name])["Parameters"] if entry.type]
    for line in ([entry] for entry in alike):
        assert in_order(line, PUBLIC[name])
    assert in_order(others, PUBLIC[name])


def in_order(entries, documented: Documented) -> bool:
    return sorted(names(entries), key=signature(documented).index) == names(entries)


@pytest.mark.parametrize("name", PUBLIC)
def test_defaults_are_stated_and_true(name):
    """Each number, flag and word; parameters described as in another function have none of their own."""
    function = PUBLIC[name].function
    if not signature(PUBLIC[name]):
        return
    known = inspect.signature(function).parameters
    for entry in parsed(PUBLIC[name])["Parameters"]:
        values = [known[given.strip("*")].default for given in names([entry])]
        plain = [value for value in values if isinstance(value, bool | int | float | str) and value != ""]
        text = entry.type.rpartition("default ")[2] if "default " in entry.type else entry.type.partition(" or ")[0]
        if plain and entry.type:
            stated = [eval(word, {"inf": math.inf}) for word in text.split(" and ")]
            assert values in (stated, stated * len(values)), f"{entry.name} : {entry.type}"


@pytest.mark.parametrize("name", PUBLIC)
def test_arrays_have_shapes(name):
    """Except for arrays by name, as in a state."""
    doc = parsed(PUBLIC[name])
    for section in ("Parameters", "Returns", "Yields", "Attributes"):
        for entry in doc[section]:
            if "ndarray" in entry.type and "of str to ndarray" not in entry.type:
                assert "shape" in f"{entry.type} {' '.join(entry.desc)}", f"{entry.name} : {entry.type}"


def arrays_of(documented: Documented, sections=(("Parameters", ""), ("Returns", "returned "))):
    """Yield names and types of the arrays that a docstring states, with the names of `Watch`."""
    doc = parsed(documented)
    for section, prefix in sections:
        for entry in doc[section]:
            if "ndarray" in entry.type and "of str to ndarray" not in entry.type:
                yield from ((prefix + name, entry.type) for name in names([entry]))


class Watch:
    """Compares the arrays in calls with the docstrings of the called functions."""

    def __init__(self):
        self.faults, self.seen = [], set()

    def around(self, documented: Documented, function):
        """Wrap a function to check the arrays of each call."""
        known, stated = inspect.signature(function), dict(arrays_of(documented))
        returned = names(parsed(documented)["Returns"])

        @functools.wraps(function)
        def watched(*given, **options):
            found = function(*given, **options)
            bound, sizes = known.bind(*given, **options), {}
            bound.apply_defaults()
            results = found if isinstance(found, tuple) else (found,)  # max_pool2d's second result is optional
            results = {f"returned {name}": result for name, result in zip(returned, results, strict=False)}
            for name, array in (bound.arguments | results).items():
                if name in stated and isinstance(array, np.ndarray):
                    self.hold(documented, name, stated[name], array, sizes, bound.arguments)
            return found

        return watched

    def look_at(self, thing):
        """Check the attributes of an object that an example leaves."""
        documented = next((documented for documented in PUBLIC.values() if documented.function is type(thing)), None)
        stated = dict(arrays_of(documented, [("Attributes", "")])) if documented else {}
        values, sizes = {name: getattr(thing, name) for name in stated}, {}
        for name, array in values.items():
            if isinstance(array, np.ndarray):
                self.hold(documented, f"attribute {name}", stated[name], array, sizes, values)

    def hold(self, documented: Documented, name: str, text: str, array: np.ndarray, sizes: dict, arguments: dict):
        self.seen.add((documented.name, name))
        wrong = fault(text, array, sizes, arguments)
        if wrong:
            self.faults.append(f"{documented}: {name} is stated to be {text!r}, but {wrong}")


def test_shapes_and_dtypes_are_true_of_the_examples(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    watch = Watch()
    examples = {name: inspect.getdoc(documented.function) or "" for name, documented in PUBLIC.items()}
    for documented in PUBLIC.values():
        if inspect.isfunction(documented.function):
            raw = inspect.getattr_static(documented.owner, documented.function.__name__)
            watched = watch.around(documented, documented.function)
            kind = type(raw) if isinstance(raw, staticmethod | classmethod) else lambda f: f
            monkeypatch.setattr(documented.owner, documented.function.__name__, kind(watched))
        elif "__init__" in vars(documented.function):
            watched = watch.around(documented, documented.function.__init__)
            monkeypatch.setattr(documented.function, "__init__", watched)
    for name, text in examples.items():
        example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
        doctest.DocTestRunner(verbose=False).run(example, out=lambda text: None, clear_globs=False)
        for thing in example.globs.values():
            watch.look_at(thing)
    assert watch.faults == []
    stated = {(str(documented), name): text for documented in PUBLIC.values() for name, text in arrays_of(documented)}
    assert [key for key in stated.keys() - watch.seen if "optional" not in stated[key]] == []


@pytest.mark.parametrize(
    ("text", "shape", "dtype", "wrong"),
    [
        ("ndarray of shape (N, C, H, W), float32 or float64", (2, 3, 4, 4), "f4", None),
        ("ndarray of shape (N, C, H, W), float32 or float64", (2, 3, 4), "f4", "has shape (2, 3, 4)"),
        ("ndarray of shape (N, C, H, W), float32 or float64", (2, 3, 4, 4), "i8", "is int64"),
        ("ndarray of shape (N, C, H, W) or (N, features)", (2, 3), "f4", None),
        ("ndarray of shape (N, C, H, W) or (N, features)", (2, 3, 4), "f4", "has shape (2, 3, 4)"),
        ("ndarray of shape (M, C)", (7, 5), "f4", "has shape (7, 5) where {'C': 3}"),
        ("ndarray of shape (O, 2 * C / groups)", (7, 6), "f4", None),
        ("ndarray of shape (O, 2 * C / groups)", (7, 5), "f4", "has shape (7, 5) where {'C': 3}"),
        ("ndarray of shape (N, ...)", (7, 5, 2), "f4", None),
        ("ndarray of shape (N, 4)", (7, 5), "f4", "has shape (7, 5)"),
        ("ndarray of the shape and dtype of `x`", (2, 3), "f8", None),
        ("ndarray of the shape of `x`", (3, 3), "f8", "has shape (3, 3), not (2, 3)"),
        ("ndarray of uint8, shape `x_shape`", (4, 5), "u1", None),
        ("ndarray of uint8, shape `x_shape`", (4, 6), "u1", "has shape (4, 6), not (4, 5)"),
        ("ndarray, dtype of `x`", (3, 3), "f4", "is float32, not float64"),
    ],
)
def test_an_untrue_docstring_is_noticed(text, shape, dtype, wrong):
    found = fault(text, np.zeros(shape, dtype), {"C": 3}, {"x": np.zeros((2, 3)), "x_shape": (4, 5), "groups": 1})
    assert found is None if wrong is None else found.startswith(wrong)
