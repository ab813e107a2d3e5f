"""Type checking of user programs: mypy accepts a correct one and reports the errors in a wrong one."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastcnn

RIGHT = '''
"""The README's example, with a custom layer and a custom callback."""

from pathlib import Path
from typing import Any

import numpy as np

import fastcnn
from fastcnn import data, models, nn, optim, plotting, training
from fastcnn import functional as F


class Absolute(nn.Module):
    def forward_native(self, x: Any, backend: Any) -> Any:
        self._x = x
        return backend.leaky_relu(x, -1.0)

    def backward_native(self, dy: Any, backend: Any, input_grad: bool) -> Any:
        return backend.leaky_relu_backward(dy, self._x, -1.0)


class StopEarly(training.Callback):
    def on_batch_end(self, trainer: training.Trainer) -> None:
        if len(trainer.history.step_losses) >= 6:
            trainer.stop("six batches are enough")


def step(model: nn.Module, optimizer: optim.Optimizer, x: np.ndarray, labels: np.ndarray) -> float:
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    value = loss(model(x), labels)
    optimizer.zero_grad()
    model.backward(loss.backward(), input_grad=False)
    optim.clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    return value


def gradients(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = F.relu(F.conv2d(x, weight, stride=2, padding="same"))
    pooled = F.max_pool2d(y, (2, 2), padding=(0, 1))
    pooled, indices = F.max_pool2d(y, 2, return_indices=True, backend="naive")
    z, mean, invstd = F.batch_norm(pooled, None, None, training=True, return_statistics=True)
    dpooled, _, _ = F.batch_norm_backward(np.ones_like(z), pooled, mean, invstd, training=True)
    assert dpooled is not None
    dy = F.relu_backward(F.max_pool2d_backward(dpooled, indices, y.shape), y)
    dx, dweight, dbias = F.conv2d_backward(dy, x, weight, stride=2, padding="same")
    assert dx is not None and dweight is not None and dbias is not None
    return dx / len(x), dweight - 0.1 * weight


def main(folder: Path) -> dict[str, float]:
    rng = np.random.default_rng(0)
    train, test = data.digits(200, 50)
    images = data.standardize(data.pad_images(train.images, 2), *data.mean_and_std(train.images))
    vary = data.augment.Compose(data.augment.Shift(1), lambda images, rng: images[:, :, ::-1])
    batches = data.DataLoader(images, train.labels, batch_size=50, shuffle=True, rng=rng, augment=vary)
    validation = data.standardize(data.pad_images(test.images, 2), mean=0.1, std=0.3), test.labels

    net = nn.Sequential(nn.Conv2d(1, 6, (5, 5), padding=2), Absolute(), nn.GlobalAvgPool2d(), nn.Linear(6, 10)).eval()
    filters = net[0].weight.data[:, 0]
    for x, labels in batches:
        last = step(net.train(), optim.SGD(net.parameters(), lr=0.1, momentum=0.9), x, labels)

    model = models.build("lenet5", rng=rng)
    optimizer = optim.AdamW(model.parameters(), lr=0.003)
    schedule = optim.OneCycleLR(optimizer, max_lr=0.01, total_steps=3 * len(batches))
    callbacks = [training.EarlyStopping(patience=3), training.BestWeights(), StopEarly(), training.Checkpoint(folder)]
    trainer = training.Trainer(model, optimizer, nn.CrossEntropyLoss(), schedule, callbacks)
    with fastcnn.use_backend("numpy"):
        history = trainer.fit(batches, validation, epochs=2)
    saved = training.latest_checkpoint(folder)
    if saved is not None:
        saved.restore(trainer, batches)

    training.save_weights(model, folder / "weights.safetensors")
    twin = models.LeNet5()
    training.load_weights(twin, str(folder / "weights.safetensors"))
    twin.load_state_dict(model.state_dict())
    result = training.evaluate(twin.eval(), *validation)
    plotting.plot_history(history).savefig(folder / "curves.png")
    plotting.plot_filters(model[0]).savefig(folder / "filters.png")
    model.summary()
    dx, _ = gradients(images, filters[:, None])
    fastcnn.set_num_threads(fastcnn.get_num_threads())
    return {"loss": result.loss, "last": last, "dx": float(dx.sum()), "epochs": history.epochs[-1].validation_accuracy}
'''

WRONG = """
import numpy as np

import fastcnn
from fastcnn import data, functional, models, nn, optim, training

x = np.zeros((8, 1, 28, 28), np.float32)
nn.Conv2d("1", 6, 5)  # arg-type
nn.Linear(10)  # call-arg
nn.Conv3d(1, 6, 5)  # attr-defined
fastcnn.optimizers  # attr-defined
nn.Sequential([nn.ReLU()])  # arg-type
functional.conv2d(x, x, stride="2")  # arg-type
functional.max_pool2d(x, 2, return_indices=True).shape  # attr-defined
models.LeNet5().forward([1.0])  # arg-type
optim.SGD(models.LeNet5(), lr=0.1)  # arg-type
data.DataLoader(x, "12", 2)  # arg-type
training.Trainer(models.LeNet5(), nn.ReLU(), nn.CrossEntropyLoss())  # arg-type
data.digits(10)[0].labels.append(3)  # attr-defined
fastcnn.set_num_threads("2")  # arg-type
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[str]:
    """The errors that mypy reports in both programs, as code of a user who has installed fastcnn."""
    pytest.importorskip("mypy")
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("user")
    (folder / "right.py").write_text(RIGHT)
    (folder / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache", "right.py", "wrong.py"]
    # Of installed packages mypy reads only those with a py.typed, and reports no errors inside them.
    installed = {**os.environ, "PYTHONPATH": str(Path(fastcnn.__file__).parent.parent)}
    done = subprocess.run(command, cwd=folder, env=installed, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def test_a_right_program_is_clean(found):
    assert [line for line in found if not line.startswith("wrong.py") and "error:" in line] == []


def test_each_mistake_is_found(found):
    marked = {i: line.split("  # ")[1] for i, line in enumerate(WRONG.splitlines(), 1) if "  # " in line}
    errors = [re.fullmatch(r"wrong\.py:(\d+): error: .*\[(.*)\]", line) for line in found]
    assert {int(error[1]): error[2] for error in errors if error} == marked


def test_submodules_are_known():
    """Submodules that are imported on first use must be imported for type checkers."""
    source = Path(fastcnn.__file__).read_text("utf-8")
    (block,) = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    assert [alias.name for alias in block.body[0].names] == list(fastcnn._SUBMODULES)
