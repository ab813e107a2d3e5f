"""The walk runs, its table names its steps, and the checks of its exercises accept the answers and no wrong ones."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PAGE = (EXAMPLES / "walk.md").read_text("utf-8")
ANSWERS = (EXAMPLES / "walk_answers.md").read_text("utf-8")
ANSWERS = dict(re.findall(r"^## Exercise (\d+): .*?```python\n(.*?)```", ANSWERS, re.M | re.S))
STEPS = ["1. seven loops", "2. im2col", "3. lanes of images", "4. tiles of lanes"]
BACKWARD = ["5. seven loops, backward", "6. im2col, backward", "7. two operations"]

# Wrong answers: the exercise, what to replace in its answer, and by what.
WRONG = {
    "dx of the first layer counted": ("1", " - forward[0]", ""),
    "a mean": ("2", "dy.sum", "dy.mean"),
    "the gradient of the padding not cut off": ("3", "dx[:, :, P:-P, P:-P]", "dx"),
    "no padding in dweight": ("3", "im2col_backward(dy, np.pad(x,", "im2col_backward(dy, np.pad(0 * x,"),
    "dy not spread out": ("4", "spread[:, :, ::S, ::S]", "spread[:, :, : dy.shape[2], : dy.shape[3]]"),
    "the last of equals wins": ("5", "windows.argmax(axis=-1)", "(3 - windows[..., ::-1].argmax(axis=-1))"),
    "columns not read again": ("6", "2 * columns", "columns"),
    "no registers for operands": ("7", " + min(tile) + 1", ""),
    "two loads for nothing": ("7", "R + P, ", ""),
    "images outermost": ("8", "np.ascontiguousarray(", "("),
    "idle lanes not empty": ("8", "np.zeros(", "np.ones("),
    "idle lanes left in": ("8", "[:images]", ""),
    "filters flipped": ("9", "weight[:, :, ky, kx, None]", "weight[:, :, -1 - ky, -1 - kx, None]"),
    "a wrong sign": ("10", "m1 - m2 - m3", "m1 - m2 + m3"),
    "six products": (
        "10",
        "attempt(",
        "def transformed(filter):\n    return filter\n\n\n"
        "def two_outputs(d, g):\n    return [sum(d[i + k] * g[k] for k in range(3)) for i in range(2)]\n\n\n"
        "attempt(",
    ),
}

RUN = """
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
import walk
namespace = walk.run(walk.PAGE, walk.ANSWERS)
outcomes = {}
for name, block in json.load(sys.stdin).items():
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(block, namespace)
        outcomes[name] = said.getvalue()
    except AssertionError:
        outcomes[name] = "AssertionError"
print(json.dumps(outcomes))
"""


def start(*command, given="") -> str:
    path = os.pathsep.join(filter(None, (str(EXAMPLES.parent), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        input=given, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ran() -> tuple[list[str], dict[str, str]]:
    """Lines that the page and the answers print, and the outcome of each wrong answer, all from one process."""
    wrong = {name: ANSWERS[number].replace(old, new) for name, (number, old, new) in WRONG.items()}
    assert all(wrong[name] != ANSWERS[number] for name, (number, _, _) in WRONG.items())
    *lines, outcomes = start("-c", RUN, EXAMPLES, given=json.dumps(wrong)).splitlines()
    return lines, json.loads(outcomes)


def test_its_steps_are_those_of_its_table(ran):
    matches = [re.match(r"(\d\. .+?) +([\d.]+) ms .* of peak", line) for line in ran[0]]
    steps = [match.groups() for match in matches if match]
    assert [name for name, _ in steps] == STEPS + BACKWARD
    ms = {name: float(time) for name, time in steps}
    assert ms["1. seven loops"] > 10 * ms["2. im2col"] > ms["4. tiles of lanes"]
    assert ms["5. seven loops, backward"] > 10 * ms["7. two operations"]
    assert re.findall(r"^\| (\d\. .+?) \|", PAGE, re.M) == STEPS + BACKWARD


def test_differences_are_best_in_the_middle_and_in_float64(ran):
    errors = [re.match(r"step (\S+): relative error (\S+) in float64, (\S+) in float32", line) for line in ran[0]]
    double, single = zip(*((float(match[2]), float(match[3])) for match in errors if match), strict=True)
    assert min(double) == min(double[3:7]) < 1e-8  # steps of 1e-4 to 1e-7
    assert max(double[0], double[-1]) > 1e-7
    assert 1e-7 < min(single) < 1e-2
    assert single[-1] > 0.1


def test_gradcheck_finds_the_mistake(ran):
    assert sum(line.startswith("The gradient of the input of Unflipped is ") for line in ran[0]) == 1


def test_all_exercises_are_to_do_and_all_answers_right(ran):
    numbers = re.findall(r"^### Exercise (\d+): ", PAGE, re.M)
    assert numbers == list(ANSWERS) == [str(number) for number in range(1, 11)]
    said = [line for line in ran[0] if line.startswith("check_")]
    assert said == [f"check_{n}: to do" for n in numbers] + [f"check_{n}: right" for n in numbers]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers_fail(ran, name):
    assert ran[1][name] == "AssertionError"


def test_every_exercise_has_a_wrong_answer():
    assert {number for number, _, _ in WRONG.values()} == set(ANSWERS)


def test_help():
    assert "--answers" in start(EXAMPLES / "walk.py", "--help")
