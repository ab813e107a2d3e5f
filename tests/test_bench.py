"""Run every benchmark in quick mode with the installed libraries, and check that its report is complete."""

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"
PROGRAMS = runpy.run_path(str(BENCH / "run_all.py"))["PROGRAMS"]


def start(program: str, *options) -> subprocess.CompletedProcess:
    """Start a program of bench/."""
    environment = {**os.environ, "PYTHONPATH": str(BENCH.parent)}
    environment.pop("FASTCNN_DATA", None)  # preparing MNIST would take longer than the run
    command = [sys.executable, str(BENCH / f"{program}.py"), *map(str, options)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


def run(program: str, *options) -> str:
    """Run a program of bench/ and return its output."""
    done = start(program, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def values(row, place: str):
    """Return the value at a place such as "times/fastcnn/ms" of a row; None if there is none."""
    for name in place.split("/"):
        row = row.get(name) if row else None
    return row


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, Path]:
    """The JSON report of every program in quick mode."""
    folder = tmp_path_factory.mktemp("bench")
    files = {program: folder / f"{program}.json" for program in PROGRAMS}
    for program, file in files.items():
        run(program, "--quick", "--json", file)
    return files


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_report_is_complete(program, reports):
    report = json.loads(reports[program].read_text(encoding="utf-8"))
    assert report["program"] == program
    assert report["environment"]
    assert report["tables"]
    for table in report["tables"]:
        assert table["rows"], table["title"]
        for row in table["rows"]:
            shown = [values(row, column["place"]) for column in table["columns"]]
            assert any(isinstance(value, (int, float)) for value in shown), (table["title"], row)
            assert all(value >= 0 for value in shown if isinstance(value, (int, float))), (table["title"], row)


def test_tables_are_markdown_with_the_machine(reports):
    text = run("tables", *reports.values())
    for file in reports.values():
        for table in json.loads(file.read_text(encoding="utf-8"))["tables"]:
            assert table["title"] in text
    assert text.count("\n| ---") + text.count("\n|---") >= len(PROGRAMS)
    assert "Numba" in text


def test_the_roofline_is_a_picture(reports, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "roofline.png"
    run("roofline", reports["layers"], picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_scaling_is_a_picture(reports, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "scaling.png"
    run("scaling_plot", reports["scaling"], picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_pytorch_learns_the_same(reports):
    pytest.importorskip("torch")
    curves = json.loads(reports["accuracy_over_time"].read_text(encoding="utf-8"))["curves"]
    ours, theirs = ([point["loss"] for point in curve["points"]] for curve in curves)
    assert [curve["side"] for curve in curves] == ["fastcnn", "PyTorch"]
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_nets_are_chosen(tmp_path):
    file = tmp_path / "nets.json"
    run("nets", "--quick", "--nets", "conv8_conv16", "--json", file)
    steps, launches = (table["rows"] for table in json.loads(file.read_text(encoding="utf-8"))["tables"])
    assert [row["net"] for row in (*steps, *launches)] == ["conv8_conv16"] * 2
    assert launches[0]["launches"] > 0
    assert 0 < launches[0]["outside"] < 1


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL, which only POSIX has")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_busy_loop_ends_with_who_started_it(name):
    code = f"import os, signal, _measure\nwith _measure.busy_loop():\n    os.kill(os.getpid(), signal.{name})"
    command, environment = [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": str(BENCH)}
    # The busy loop shares stderr, so `run` returns only when both have ended.
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == -getattr(signal, name)


@pytest.mark.parametrize("nodes", [1, 2, 3, 16])
def test_an_exchange_moves_what_it_must(nodes, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    from scaling import exchange

    gradients, rest = exchange(nodes, 1000, latency=0.0, overhead=0.0, bandwidth=1.0)
    assert gradients == pytest.approx(2 * (nodes - 1) / nodes * 1000)
    assert rest == 0
    gradients, rest = exchange(nodes, 0, latency=1.0, overhead=0.0, bandwidth=1.0)
    doublings = {1: 0, 2: 1, 3: 2, 16: 4}[nodes]
    assert gradients == (1 + doublings if nodes > 1 else 0)
    assert rest == 2 * doublings


@pytest.mark.parametrize(
    ("program", "option"), [("to_c", "--rounds"), ("busy", "--processes"), ("run_all", "--rounds")]
)
def test_an_option_that_a_program_does_not_use_is_refused(program, option, tmp_path):
    done = start(program, option, "3", *(["--out", tmp_path] if program == "run_all" else []))
    assert done.returncode == 2
    assert f"unrecognized arguments: {option}" in done.stderr


@pytest.mark.parametrize("value", ["0", "-1"])
def test_rounds_are_at_least_one(value):
    done = start("ladder", "--rounds", value)
    assert done.returncode == 2
    assert f"--rounds is {value} but must be at least 1" in done.stderr


def test_a_file_that_is_no_report_is_said_so(tmp_path):
    file = tmp_path / "no.json"
    file.write_text("{}")
    done = start("tables", file)
    assert done.returncode == 2
    assert "is not the JSON of a benchmark" in done.stderr
