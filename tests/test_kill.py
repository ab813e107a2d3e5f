"""A run is killed at random times, continues from its latest checkpoint, and ends with the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fastcnn
from tests.runs import BATCHES, EPOCHS

ROOT = Path(fastcnn.__file__).parents[1]
KILLS = 5


def live(folder: Path, until: int | None = None) -> int:
    """Run the program and kill it shortly after a number of batches; return its exit code."""
    environment = {**os.environ, "FASTCNN_BACKEND": "numba", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "runs.py"), str(folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        for batches, _ in enumerate(run.stdout, start=1):
            if batches == until:
                time.sleep(random.uniform(0, 0.015))  # within a step, while a checkpoint is written, or in between
                run.kill()
    return run.returncode


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL, which only POSIX has")
def test_killed_at_random_moments(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    assert live(whole) == 0
    for _ in range(KILLS):
        assert live(killed, until=random.randint(1, EPOCHS * BATCHES // KILLS - 1)) == -signal.SIGKILL
    assert live(killed) == 0
    expected, result = (json.loads((folder / "result.json").read_text()) for folder in (whole, killed))
    assert result == expected
    assert not list(killed.glob("*.part"))
    assert len(list(killed.glob("checkpoint-*.safetensors"))) == 2
