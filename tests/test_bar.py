"""A progress bar is shown only in a terminal or a notebook."""

import subprocess
import sys

import pytest

TRAIN = """
import warnings
warnings.simplefilter("error")
import numpy as np
from fastcnn import data, nn, optim, training, use_backend
x, model = np.eye(2, dtype=np.float32), nn.Linear(2, 2)
with use_backend("numpy"):
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
    trainer.fit(data.DataLoader(x, np.arange(2), 1))
"""
NOTEBOOK = """
import sys, types
class Shell:
    config = {"IPKernelApp": {}}
shell, ipython = types.ModuleType("ipykernel.zmqshell"), types.ModuleType("IPython")
ipython.get_ipython = Shell
sys.modules |= {"ipykernel.zmqshell": shell, "IPython": ipython}
"""
NO_WIDGETS = "sys.modules['ipywidgets'] = None\n"
IPYTHON = NOTEBOOK.replace('{"IPKernelApp": {}}', "{}").replace("ipykernel.zmqshell", "elsewhere")
WIDGETS = """
widgets = types.ModuleType("ipywidgets")
class Widget:
    def __init__(self, *args, **options):
        self.children, self.layout, self.style = (), types.SimpleNamespace(), types.SimpleNamespace(bar_color=None)
        vars(self).update({"bar_style": "", "value": ""} | options)
    def close(self):
        print("closed", file=sys.stderr)
widgets.FloatProgress = widgets.IntProgress = widgets.HBox = widgets.HTML = Widget
display = types.ModuleType("IPython.display")
display.display = lambda *shown: print("a widget is displayed", file=sys.stderr)
sys.modules |= {"ipywidgets": widgets, "IPython.display": display}
"""


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        pytest.param("", "", id="a pipe"),
        pytest.param(IPYTHON, "", id="ipython, piped"),
        pytest.param(NOTEBOOK + NO_WIDGETS, "epoch 1", id="a notebook without widgets"),
        pytest.param(NOTEBOOK + WIDGETS, "a widget is displayed", id="a notebook"),
    ],
)
def test_a_bar_is_shown_where_somebody_looks(place, seen):
    done = subprocess.run([sys.executable, "-c", place + TRAIN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("epoch 1: ")
    assert seen in done.stderr if seen else not done.stderr
