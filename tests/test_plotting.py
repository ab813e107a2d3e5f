"""The figure of a run."""

import subprocess
import sys

import numpy as np
import pytest

from fastcnn.plotting import plot_history
from fastcnn.training import Epoch, History

pytest.importorskip("matplotlib")

HISTORY = History(
    [Epoch(i, 3, 0.5, 1 / i, 1 - 0.1 / i, 0.5 / i, 1 - 0.05 / i, 0.006, 1e5) for i in (1, 2, 3)],
    list(np.geomspace(2.3, 0.01, 11)),  # two batches of an unfinished fourth epoch
)


def curves(axes) -> dict:
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_curves_hold_the_numbers():
    loss, accuracy = plot_history(HISTORY).axes
    losses = curves(loss)
    np.testing.assert_allclose(losses["training"], [(0.5, 1), (1.5, 1 / 2), (2.5, 1 / 3)])
    np.testing.assert_allclose(losses["test"], [(1, 0.5), (2, 0.25), (3, 0.5 / 3)])
    np.testing.assert_allclose(losses["training, each batch"][:, 0], np.arange(1, 12) / 3)
    np.testing.assert_allclose(losses["training, each batch"][:, 1], HISTORY.step_losses)
    names, lines = zip(*curves(accuracy).items(), strict=True)
    assert names == ("training, at last 96.67", "test, at last 98.33")
    np.testing.assert_allclose(lines[1][:, 1], [95, 97.5, 100 - 5 / 3])


def test_one_epoch_is_a_picture(tmp_path):
    history = History(HISTORY.epochs[:1], HISTORY.step_losses[:3])
    plot_history(history).savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="`history` has no finished epoch"):
        plot_history(History())


def test_importing_does_not_import_matplotlib():
    code = "import fastcnn.plotting, fastcnn.training, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
