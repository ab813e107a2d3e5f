"""Allowed imports between parts of the package, read from the source; and the cost of importing fastcnn."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fastcnn

PACKAGE = Path(fastcnn.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# part of the package: the other parts that it may import. Each line uses only parts of lines above it.
MAY_IMPORT = {
    "_errors": (),
    "_files": ("_errors", "_safetensors"),
    "_safetensors": (),
    "_gil": (),
    "_strict_json": (),
    "_names": (),
    "_text": (),
    "_validate": ("_names",),
    "_absent": ("_names",),
    "_convolution": ("_validate",),
    "_geometry": ("_validate",),
    "_inputs": ("_validate",),
    "_lifetimes": (),
    "_memory": (),
    "_processors": (),
    "_strategies": (),
    "_threads": ("_processors", "_validate"),
    "backends": ("_convolution", "_geometry", "_lifetimes", "_names", "_threads"),
    "functional": ("_absent", "_geometry", "_validate", "backends"),
    "nn": ("_absent", "_convolution", "_geometry", "_inputs", "_names", "_validate", "backends", "functional"),
    "optim": ("_absent", "_names", "_validate", "backends", "nn"),  # nn must not import optim
    "models": ("_names", "_validate", "nn"),
    "data": ("_absent", "_errors", "_inputs", "_names", "_text", "_validate"),
    "training": (  # and must not import models
        "",
        "_errors",
        "_files",
        "_inputs",
        "_names",
        "_processors",
        "_strategies",
        "_strict_json",
        "_threads",
        "_validate",
        "backends",  # for the time of compiling
        "data",
        "functional",
        "nn",
        "optim",
    ),
    "distributed": ("_processors", "_threads", "data", "nn", "training"),  # training must not import it
    "plotting": ("_names", "_text", "_validate", "nn"),  # uses a history, not a trainer
    "interop": (
        "",
        "_errors",
        "_files",
        "_geometry",
        "_inputs",
        "_lifetimes",
        "_names",
        "_validate",
        "data",
        "functional",
        "nn",
    ),
    "sklearn": ("", "_absent", "_validate", "data", "functional", "models", "nn", "optim", "training"),
    "testing": ("_geometry", "_threads", "_validate", "backends", "functional", "nn", "optim"),
    "commands": (
        "",
        "_absent",
        "_convolution",
        "_files",
        "_memory",
        "_names",
        "_processors",
        "_strict_json",
        "_text",
        "_threads",
        "backends",
        "data",
        "distributed",
        "functional",
        "interop",
        "models",
        "nn",
        "optim",
        "plotting",
        "training",
    ),
    "__main__": ("", "commands"),
    # fastcnn itself: all except the first seven are imported on first use, and for type checkers
    "": (
        "_absent",
        "_convolution",
        "_errors",
        "_gil",
        "_strategies",
        "_threads",
        "backends",
        "data",
        "distributed",
        "functional",
        "interop",
        "models",
        "nn",
        "optim",
        "plotting",
        "sklearn",
        "testing",
        "training",
    ),
}

# other packages: the only part that imports each
HOME = {
    "numba": "backends/numba_direct/",
    "llvmlite": "backends/numba_direct/",
    "threadpoolctl": "_threads.py",
    "matplotlib": "plotting/",
    "mpi4py": "distributed/",
    "pooch": "data/",
    "PIL": "data/",
    "onnx": "interop/onnx/file.py",
    "sklearn": "sklearn/",
    "torch": "interop/pytorch/",
    "tqdm": ("training/", "commands/"),
}


def imports(module: str, *, for_types: bool = True) -> set[str]:
    """Return the dotted names of all modules that a source file imports, with or without those for type checkers."""
    names, tree = set(), ast.parse((PACKAGE / module).read_text("utf-8"))
    if not for_types:
        tree = _WithoutTypes().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            folders = ["fastcnn", *Path(module).parts[:-1]]
            start = ".".join(folders[: len(folders) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (start, node.module) if part)
            names |= {f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base for alias in node.names}
    return names


class _WithoutTypes(ast.NodeTransformer):
    def visit_If(self, node):
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if is_for_types else self.generic_visit(node)


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return name.startswith("fastcnn.") and (path.is_dir() or path.with_suffix(".py").is_file())


def part(name: str) -> str:
    """Return the part of the package that a dotted name belongs to."""
    return name.removeprefix("fastcnn").removeprefix(".").split(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_parts_import_only_what_stands_below_them(module):
    own = part("fastcnn." + module.removesuffix(".py").replace("/", ".").removesuffix("__init__"))
    assert own in MAY_IMPORT, f"say in MAY_IMPORT what {own} may import"
    for name in imports(module):
        if name.split(".")[0] == "fastcnn" and part(name) != own:
            assert part(name) in MAY_IMPORT[own], f"{module} must not import {name}"


def test_no_file_needs_itself():
    """There are no import cycles, even with late imports; imports for type checkers do not count."""
    needs = {_dotted(module): {_file(name) for name in imports(module, for_types=False)} for module in MODULES}
    needs["fastcnn"] = set()  # its submodules are imported on first use
    done: set[str] = set()
    while ready := [name for name in needs if name not in done and needs[name] & needs.keys() <= done | {name}]:
        done.update(ready)
    assert not needs.keys() - done


def _dotted(module: str) -> str:
    return "fastcnn." + module.removesuffix(".py").replace("/", ".") if module != "__init__.py" else "fastcnn"


def _file(name: str) -> str:
    """Return the file of a module or a package."""
    return f"{name}.__init__" if PACKAGE.joinpath(*name.split(".")[1:]).is_dir() and name != "fastcnn" else name


@pytest.mark.parametrize("module", MODULES)
def test_other_packages_have_one_home(module):
    for name in imports(module):
        home = HOME.get(name.split(".")[0])
        assert home is None or module.startswith(home), f"{module} must not import {name}; that is for {home}"


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("backends/")])
def test_naive_and_numpy_stand_alone(module):
    folder = module.split("/")[1]
    for name in imports(module):
        if name.startswith("fastcnn.backends.") and folder != "numba_direct":
            assert name.split(".")[2] == folder, f"{module} must not import {name}"


NUMBA = ("runtime", "simd", "kernels")  # folders of the numba backend; each imports only those before it


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("backends/numba_direct/") and m.count("/") == 3])
def test_folders_of_the_numba_backend_know_those_below_them(module):
    folder = module.split("/")[2]
    for name in imports(module):
        if folder in NUMBA and name.startswith("fastcnn.backends.numba_direct."):
            assert name.split(".")[3] in NUMBA[: NUMBA.index(folder) + 1], f"{module} must not import {name}"


def test_all_that_is_imported_is_declared():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    declared = str([project["dependencies"], project["optional-dependencies"]])
    foreign = {name.split(".")[0] for module in MODULES for name in imports(module)} - set(sys.stdlib_module_names)
    for name in foreign - {"fastcnn", "llvmlite"}:  # llvmlite comes with Numba
        assert {"PIL": "Pillow", "google": "onnx", "sklearn": "scikit-learn"}.get(
            name, name
        ) in declared  # protobuf comes with onnx


def loaded_after(code: str) -> set[str]:
    """Return the names of the modules that a fresh interpreter has loaded after running ``code``."""
    print_modules = "import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{print_modules}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_fastcnn_is_cheap():
    heavy = {"numba", "matplotlib", "mpi4py", "torch", "pooch", "PIL", "safetensors", "tqdm", "onnx", "sklearn"}
    assert not loaded_after("import fastcnn") & (heavy | {"fastcnn.functional", "fastcnn.nn"})
    assert not loaded_after("import fastcnn.functional, fastcnn.nn, fastcnn.optim, fastcnn.models") & heavy
    assert not loaded_after("import fastcnn.interop") & {"numba", "onnx", "torch"}
    assert not loaded_after("import fastcnn.training") & {"fastcnn.distributed", "mpi4py"}
    assert "mpi4py" not in loaded_after("import fastcnn.distributed")
    assert "sklearn" not in loaded_after("import fastcnn.sklearn")


def test_the_other_backends_do_without_numba():
    call = "fastcnn.functional.relu(numpy.ones(3), backend='{}')"
    code = "\n".join(["import numpy, fastcnn", call.format("naive"), call.format("numpy")])
    assert "numba" not in loaded_after(code)


def test_submodules_come_when_they_are_first_used():
    code = "import fastcnn\nfastcnn.functional.relu\nfastcnn.nn.Conv2d\nfastcnn.optim.SGD\nfastcnn.models.LeNet5"
    assert {"fastcnn.functional", "fastcnn.nn", "fastcnn.optim", "fastcnn.models"} <= loaded_after(code)
