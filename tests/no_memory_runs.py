"""Operations in which `tests.no_memory` lets each allocation fail.

``python tests/no_memory_runs.py array 1 [PART OF A NAME ...]`` prints the places where an allocation of an array
failed, with the outcomes; with 7, every seventh. Instead of ``array``, ``object`` lets allocations of Python objects
fail, and ``room`` limits the memory of the process.
"""

import collections
import functools
import importlib.util
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastcnn
from fastcnn import data, interop, models, nn, optim, training
from fastcnn.training import state
from fastcnn.training.generators import named_generators
from tests.no_memory import Action, Operation, State, array_fails, no_room, object_fails
from tests.runs import exact, make_run, outcome

# training steps


def lenet5(rng):
    """Make a LeNet-5 for images of 1 x 32 x 32."""
    return models.LeNet5(rng=rng)


def small(rng):
    """Make a net with branches, a residual, batch normalization, dropout, and convolutions by Winograd's algorithm."""
    body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, rng=rng), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(
        nn.Conv2d(2, 16, 3, padding=1, rng=rng), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.3, rng=rng),
        nn.Residual(body), nn.Concat(nn.MaxPool2d(2), nn.AvgPool2d(2)), nn.Flatten(),
        nn.Dropout(0.5, rng=np.random.default_rng(3)), nn.Linear(512, 3, rng=rng),
    )  # fmt: skip


def large(rng):
    """Make a net for images of 1 x 32 x 32 whose arrays do not fit into memory that is left over."""
    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 128, rng=rng), nn.ReLU(), nn.Linear(128, 10, rng=rng))


class Absolute(nn.Module):
    """A layer that cannot be recorded, so that a model with it is recorded in parts."""

    def forward(self, x):
        """Return the absolute values."""
        self._x = x
        return np.abs(x)

    def backward(self, dy):
        """Return the gradient."""
        return dy * np.sign(self._x)


def in_parts(rng):
    """Make a net that is recorded in parts."""
    return nn.Sequential(*small(rng).layers[:4], Absolute(), nn.Flatten(), nn.Dropout(0.5, rng=rng),
                         nn.Linear(1024, 3, rng=rng))  # fmt: skip


OPTIMIZERS = {
    "SGD": lambda groups: optim.SGD(groups, 0.05, momentum=0.9, weight_decay=1e-3),
    "Adam": lambda groups: optim.Adam(groups, 0.01, amsgrad=True),
    "RMSprop": lambda groups: optim.RMSprop(groups, 0.01, centered=True, momentum=0.5),
    "Muon": lambda groups: optim.Muon(groups, 0.01),
}


class Run:
    """A model with everything that trains it; the optimizer has two groups."""

    def __init__(self, net, optimizer: str):
        self.model = net(np.random.default_rng(0))
        first, *rest = self.model.parameters()
        self.optimizer = OPTIMIZERS[optimizer]([{"params": [first], "lr": 0.02}, {"params": rest}])
        self.loss = nn.CrossEntropyLoss()
        self.average = optim.ExponentialMovingAverage(self.model, 0.9)
        self.step = training.TrainStep(self.model, self.optimizer, self.loss)
        self.y: Any = None


def state_of_run(run: Run) -> State:
    """Return everything that a step changes."""
    found = {name: held.data.tobytes() for name, held in run.model.named_state()}
    for name, parameter in run.model.named_parameters():
        found[f"gradient of {name}"] = repr(parameter.grad is None or parameter.grad.tobytes()).encode()
    for name, generator in named_generators(run.model):
        found[name] = repr(generator.bit_generator.state).encode()
    found["optimizer"] = repr(exact(run.optimizer.state_dict())).encode()
    found["average"] = repr(exact(run.average.state_dict())).encode()
    return found


def batches(net, sizes: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Make batches for a net."""
    rng = np.random.default_rng(1)
    shape, classes = ((1, 32, 32), 10) if net in (lenet5, large) else ((2, 8, 8), 3)
    return [(rng.standard_normal((size, *shape), np.float32), rng.integers(0, classes, size)) for size in sizes]


def whole_steps(net, optimizer: str, backend: str) -> Operation:
    """Make steps by `TrainStep`: the first of a shape is recorded, the second repeated."""
    actions = [lambda run, batch=batch: run.step(*batch) for batch in batches(net, (4, 4, 2))]
    return Operation(lambda: Run(net, optimizer), actions, state_of_run, backend)


def separate_calls(net, optimizer: str, backend: str) -> Operation:
    """Make steps by separate calls, each of which is lost or complete; gradients are sums over two batches."""

    def forward(run, batch):
        run.y = run.model(batch[0])

    def backward(run, batch):
        run.loss(run.y, batch[1])
        run.model.backward(run.loss.backward(), input_grad=False)

    actions: list[Action] = []
    for batch in batches(net, (4, 4)):
        actions += [lambda run, call=call, batch=batch: call(run, batch) for call in (forward, backward) * 2]
        actions += [lambda run: optim.clip_grad_norm(run.model.parameters(), 0.5)]
        actions += [lambda run: optim.clip_grad_value(run.model.parameters(), 0.01)]
        actions += [lambda run: run.optimizer.step(), lambda run: run.average.update()]
        actions += [lambda run: run.optimizer.zero_grad(set_to_none=False)]
    actions += [lambda run: run.model.double()]
    return Operation(lambda: Run(net, optimizer), actions, state_of_run, backend)


def loading() -> Operation:
    """Load states of a model, an optimizer and an average, and use the average."""

    @functools.cache
    def later() -> Run:
        run = Run(small, "Adam")
        run.step(*batches(small, (4,))[0])
        run.average.update()
        return run

    def use_average(run):
        with run.average.applied():
            pass

    def load(run, part: str):
        getattr(run, part).load_state_dict(getattr(later(), part).state_dict())

    actions: list[Action] = [lambda run, part=part: load(run, part) for part in ("model", "optimizer", "average")]
    swapped = {"1.weight": "1.bias", "1.bias": "1.weight"}
    actions += [use_average, lambda run: run.model.load_state_dict(_renamed(run.model, swapped))]
    return Operation(lambda: Run(small, "Adam"), actions, state_of_run)


def _renamed(model, names: dict[str, str]) -> dict[str, np.ndarray]:
    """Return the arrays of a model themselves, some under each other's names."""
    arrays = {name: held.data for name, held in model.named_state()}
    return arrays | {name: arrays[other] for name, other in names.items()}


def inference() -> Operation:
    """Compute one image and several, by a prepared model and by the model itself."""
    images = batches(small, (5,))[0][0]

    class Results:
        def __init__(self):
            self.model = small(np.random.default_rng(0)).eval()
            self.prepared, self.found = None, {}

        def compute(self, name: str, x):
            self.found[name] = (self.model if self.prepared is None else self.prepared)(x).tobytes()

    def prepare(results):
        results.prepared = results.model.compile_inference(4)

    actions: list[Action] = [lambda r: r.compute("5", images), lambda r: r.compute("5 again", images), prepare]
    actions += [lambda r: r.compute("1", images[:1]), lambda r: r.compute("1 again", images[:1])]
    actions += [lambda r: r.compute("5 prepared", images)]
    return Operation(Results, actions, lambda results: dict(results.found), "numba")


# data


class Epochs:
    """A loader, and the batches that it has given."""

    def __init__(self):
        images = np.arange(10 * 9, dtype=np.float32).reshape(10, 1, 3, 3)
        augment, rng = data.augment.Shift(1), np.random.default_rng(0)
        self.loader = data.DataLoader(images, np.arange(10), 4, shuffle=True, rng=rng, augment=augment)
        self.iterator: Any = None
        self.given: list[bytes] = []

    def next(self):
        """Take the next batch; continue after an error from the position that the loader gives."""
        if self.iterator is None:
            self.iterator = iter(self.loader)
        try:
            images, labels = next(self.iterator, (None, None))
        except MemoryError:
            self.iterator = None
            self.loader.load_state_dict(self.loader.state_dict())
            raise
        if labels is None:
            self.iterator = None
        else:
            self.given.append(images.tobytes() + labels.tobytes())


def state_of_epochs(epochs: Epochs) -> State:
    """Return the batches so far, and the position."""
    return {"position": repr(epochs.loader.state_dict()).encode(), "given": b"".join(epochs.given)}


def loader() -> Operation:
    """Take the batches of two epochs."""
    return Operation(Epochs, [Epochs.next] * 8, state_of_epochs)


# files


class Folder:
    """A run, and an empty folder for its files."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, self.path)
        average = optim.ExponentialMovingAverage
        self.trainer, self.loader, self.validation = make_run(training.BestWeights())
        model = self.trainer.model
        self.trainer.callbacks.append(training.WeightAverage(average(model, 0.9)))
        self.trainer.verbose = False


def state_of_files(folder: Folder) -> State:
    """Return the files; a partial one would be a difference."""
    return {path.name: path.read_bytes() for path in folder.path.iterdir()}


def state_of_trainer(folder: Folder) -> State:
    """Return everything that a checkpoint restores."""
    return {name: repr(exact(part)).encode() for name, part in outcome(folder.trainer, folder.loader).items()}


@functools.cache
def trained() -> Folder:
    """Return a run after an epoch, with its files."""
    folder = Folder()
    with fastcnn.use_backend("numpy"):
        folder.trainer.fit(folder.loader, folder.validation, 1)
    for write in writers().values():
        write(folder)
    return folder


def writers() -> dict[str, Action]:
    """Return functions that write a file for a run, by the file's name."""
    found: dict[str, Action] = {
        "weights.safetensors": lambda f: training.save_weights(f.trainer.model, f.path / "weights.safetensors"),
        "run.safetensors": lambda f: training.save_checkpoint(f.path / "run.safetensors", f.trainer, f.loader),
        "history.json": lambda f: f.trainer.history.to_json(f.path / "history.json"),
        "history.csv": lambda f: f.trainer.history.to_csv(f.path / "history.csv"),
    }
    if importlib.util.find_spec("onnx"):
        found["model.onnx"] = lambda f: interop.to_onnx(f.trainer.model, f.path / "model.onnx", (1, 8, 8))
    return found


def restore(folder: Folder) -> None:
    """Restore the run after an epoch."""
    training.load_checkpoint(trained().path / "run.safetensors").restore(folder.trainer, folder.loader)


def writing() -> Operation:
    """Write each kind of file, then write another one over it."""
    captured = state.capture(trained().trainer, trained().loader)
    write = list(writers().values())
    return Operation(Folder, [*write, lambda f: state.apply(captured, f.trainer, f.loader), *write], state_of_files)


def reading() -> Operation:
    """Restore a checkpoint, and load weights into the run of another epoch."""

    def load_weights(folder):
        training.load_weights(folder.trainer.model, trained().path / "weights.safetensors")

    return Operation(Folder, [load_weights, restore], state_of_trainer)


def large_files() -> Operation:
    """Write and read the weights of a large model."""

    class Weights:
        def __init__(self):
            self.path, self.model = Path(tempfile.mkdtemp()), large(np.random.default_rng(0))
            weakref.finalize(self, shutil.rmtree, self.path)

        def save(self):
            training.save_weights(self.model, self.path / "weights.safetensors")

        def load(self):
            training.load_weights(self.model, self.path / "weights.safetensors")

    def change(weights):
        weights.model[1].weight.data *= 2

    def state_of_weights(weights) -> State:
        return state_of_files(weights) | {"weight": weights.model[1].weight.data.tobytes()}

    return Operation(Weights, [Weights.save, change, Weights.load, change, Weights.save], state_of_weights)


def operations() -> dict[str, Callable[[], Operation]]:
    """Return functions that make the operations, by name."""
    found: dict[str, Callable[[], Operation]] = {
        "loading of states": loading, "inference": inference, "loader": loader, "writing": writing,
        "reading": reading, "files of large": large_files,
    }  # fmt: skip
    for net, optimizer in ((lenet5, "SGD"), (small, "Adam"), (small, "Muon"), (in_parts, "RMSprop"), (large, "Adam")):
        for backend in ("numba", "numpy"):
            for how in (whole_steps, separate_calls):
                name = f"{how.__name__.replace('_', ' ')} of {net.__name__} with {optimizer}, {backend}"
                found[name] = functools.partial(how, net, optimizer, backend)
    return found


FAILS = {"array": array_fails, "object": object_fails, "room": no_room}


def main(which: str, stride: str, *parts: str) -> None:
    """Print the outcomes of the operations whose names contain one of ``parts``, or of all."""
    for name, make in operations().items():
        if parts and not any(part in name for part in parts):
            continue
        outcomes = collections.Counter(make().sweep(FAILS[which], int(stride), 3 if which == "object" else 0))
        print(f"\n{name}: {outcomes.total()} failures")
        for (place, result), count in sorted(outcomes.items()):
            print(f"  {count:4} {place:60} {result}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
