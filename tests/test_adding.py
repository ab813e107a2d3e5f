"""Follow CONTRIBUTING.md's instructions for adding an activation, in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EDIT = re.compile(
    r"^[^\n]*?(?:At the end of|in `(?P<table>\w+)` of)\s`(?P<file>[\w/]+\.py)`.*?^```python\n(?P<code>.*?)^```$",
    re.M | re.S,
)
TRY = """
import numpy as np
import fastcnn
from fastcnn import functional as F, nn

x = 2 * np.random.default_rng(0).standard_normal((20, 2, 5, 3))
for name in ("naive", "numpy", "numba"):
    with fastcnn.use_backend(name):
        np.testing.assert_allclose(F.hardsigmoid(x), np.clip((x + 3) / 6, 0, 1), rtol=1e-15)
        layer = nn.Hardsigmoid()
        y = layer(x)
        np.testing.assert_allclose(layer.backward(np.ones_like(y)), (abs(x) < 3) / 6, rtol=1e-15)
assert "hardsigmoid" in F.__all__ and "Hardsigmoid" in nn.__all__
model = nn.Sequential(nn.Hardsigmoid(), nn.Flatten(), nn.Linear(30, 2, dtype=np.float64))
assert not nn.unrecorded(model)
np.testing.assert_array_equal(model.compile_inference()(x), model.eval()(x))
print("works")
"""
READ = """
import onnx
from onnx import helper
from fastcnn import interop

for given in ({}, {"alpha": 1 / 6}, {"alpha": 1 / 6, "beta": 0.5}):
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("HardSigmoid", ["x"], ["y"], **given)], "graph", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "one.onnx")
    try:
        print([type(layer).__name__ for layer in interop.from_onnx("one.onnx")])
    except ValueError as error:
        print(str(error).partition("HardSigmoid")[2])
"""


@pytest.fixture(scope="module")
def added(tmp_path_factory) -> Path:
    """A copy of the package with the edits of the page."""
    if not (ROOT / "CONTRIBUTING.md").exists():
        pytest.skip("needs a checkout of the repository")
    copy = tmp_path_factory.mktemp("added")
    for folder in ("fastcnn", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    edits = [*EDIT.finditer((ROOT / "CONTRIBUTING.md").read_text("utf-8"))]
    assert len(edits) == 7
    for edit in edits:
        path = copy / edit["file"]
        text = path.read_text("utf-8")
        if edit["table"]:
            head = re.search(rf"^{edit['table']}\b.*{{\n", text, re.M)
            text = text[: head.end()] + edit["code"] + text[head.end() :]
        else:
            text += "\n\n" + edit["code"]
        path.write_text(text, "utf-8")
    return copy


def run(added: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=added,
        env={**os.environ, "PYTHONPATH": str(added)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_works(added):
    pytest.importorskip("numba")
    assert run(added, "-c", TRY) == "works\n"


def test_the_tests_find_it(added):
    tests = [
        "tests/test_activations.py",
        "tests/test_backends.py",
        "tests/properties/test_elements.py",
        "tests/test_onnx.py",
    ]
    said = run(added, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "hardsigmoid or Hardsigmoid", *tests)
    assert int(re.search(r"(\d+) passed", said)[1]) >= 10


def test_it_is_read_from_a_file_of_others(added):
    """Without attributes, the operator has ONNX's defaults, for which there is no layer."""
    pytest.importorskip("onnx")
    other, *same = run(added, "-c", READ).splitlines()
    assert other == " ('y') has alpha=0.2, but fastcnn's Hardsigmoid has 0.16666667 only."
    assert same == ["['Hardsigmoid']"] * 2


def test_it_is_clean(added):
    run(added, "-m", "ruff", "check", "--no-cache", ".")
    run(added, "-m", "ruff", "format", "--no-cache", "--check", ".")
