"""A short run with interrupts, kills, pauses and other commands equals an undisturbed one; see long_run.py."""

import os

import pytest

from tests.long_run import long_run


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and SIGSTOP, which only POSIX has")
def test_twenty_seconds(tmp_path):
    pytest.importorskip("PIL")
    pytest.importorskip("matplotlib")
    assert long_run(tmp_path, seconds=20, seed=0, gap=2) == []
