"""Scenarios that the ranks of test_distributed.py run: ``mpiexec -n N python ranks_program.py FOLDER SCENARIO ...``.

Each scenario gets a folder and a communicator, or None for a single process without MPI, and returns its results for
JSON.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn import _processors, data, distributed, nn, optim, training
from fastcnn._inputs import each
from fastcnn.data import augment


def make(comm=None, *, images=18, batch_size=8, model=None, callbacks=(), shift=False, lr=0.1, strategy=None,
         task=None, loss=None, inputs=lambda x: x, targets=None):  # fmt: skip
    """Make a trainer, its loader and validation images; initial weights and order of images differ between ranks."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(images, 1, 6, 6)).astype(np.float32)
    labels = rng.integers(3, size=images) if targets is None else targets(x)
    x = inputs(x)
    rng = np.random.default_rng(comm.Get_rank() if comm else 0)
    model = (model or plain)(rng)
    moved = augment.Shift(1) if shift else None
    loader = data.DataLoader(x, labels, batch_size, shuffle=True, rng=rng, augment=moved)
    optimizer = optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=0.01)
    schedule = optim.OneCycleLR(optimizer, lr, total_steps=100)
    trainer = training.Trainer(
        model, optimizer, loss or nn.CrossEntropyLoss(), schedule, callbacks, strategy or comm, task
    )
    return trainer, loader, (each(lambda array: array[::-1][:7], x), labels[::-1][:7])


def plain(rng):
    return nn.Sequential(nn.Conv2d(1, 4, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3, rng=rng))


def with_dropout(rng):
    """Make a net whose dropout draws from the generator of the loader."""
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8, rng=rng), Dropout(0.5, rng=rng), nn.Linear(8, 3, rng=rng))


class Dropout(nn.Dropout):
    """A dropout that keeps its last training mask."""

    def forward_native(self, x, backend):
        y = super().forward_native(x, backend)
        if self.training:
            self.drawn = self._mask
        return y


def with_batch_norm(rng):
    chain = nn.Conv2d(1, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3, rng=rng)
    return nn.Sequential(*chain)


def synchronized(comm):
    """Return a function that makes such a model with statistics over the images of all ranks."""
    if comm is None:
        return with_batch_norm
    return lambda rng: distributed.convert_sync_batch_norm(with_batch_norm(rng), comm)


def of_numbers(folder, comm, *, held_out=None, resume=None, **options):
    """A regression, whose mean is over the numbers of the images on all ranks."""

    def model(rng):
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 2, rng=rng))

    options |= {"model": model, "task": training.Regression(), "loss": nn.MSELoss(), "lr": 0.02}
    trainer, loader, (x, target) = make(comm, targets=lambda x: x[:, 0, 0, :2] * 3, **options)
    if resume and trainer.rank == 0:
        training.latest_checkpoint(resume).restore(trainer, loader)
    epochs = trainer._strategy.broadcast(2 - len(trainer.history.epochs))
    trainer.fit(loader, held_out(x, target) if held_out else (x, target), epochs)
    return found(trainer)


def of_pixels(folder, comm):
    """A segmentation in which all pixels on some ranks are ignored."""

    def model(rng):
        return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, rng=rng))

    def labels(x):
        return np.digitize(x[:, 0], [-0.5, 0.5])

    options = {"model": model, "task": training.Segmentation(), "loss": nn.CrossEntropyLoss(ignore_index=-1)}
    trainer, loader, (x, _) = make(comm, targets=labels, **options)
    loader.labels[::2] = -1
    trainer.fit(loader, (x, labels(x)), 2)
    return found(trainer, confusion=trainer.evaluation.confusion.tolist())


def by_loader(folder, comm):
    """Ranks take turns to evaluate whole batches, of which there may be fewer than ranks."""
    return of_numbers(folder, comm, held_out=lambda x, target: data.DataLoader(x, target, 3))


def by_loader_of_classes(folder, comm):
    trainer, loader, (x, labels) = make(comm)
    trainer.fit(loader, data.DataLoader(x, labels, 2), 2)
    return found(trainer)


def unmeasured(folder, comm):
    """Training without validation."""
    trainer, loader, _ = make(comm, callbacks=[training.BestWeights()])
    trainer.fit(loader, epochs=2)
    return found(trainer)


def numbers_resumed(folder, comm):
    """A run that stops in the middle of the second epoch and is resumed."""
    stop = StopAt(4, 0, lambda trainer: trainer.stop("enough"))
    of_numbers(folder, comm, callbacks=[stop, training.Checkpoint(folder / "numbers")])
    return of_numbers(folder, comm, callbacks=[training.Checkpoint(folder / "numbers")], resume=folder / "numbers")


def found(trainer, **more) -> dict:
    """Return everything that must be equal on all ranks, and ``more``."""
    record = [epoch.to_dict() for epoch in trainer.history.epochs]
    return {
        "losses": trainer.history.step_losses,
        "epochs": [{k: v for k, v in epoch.items() if "second" not in k} for epoch in record],
        "weights": {name: array.tolist() for name, array in trainer.model.state_dict().items()},
        "evaluation": trainer.evaluation.logits.tolist() if hasattr(trainer.evaluation, "logits") else None,
        "stopped": trainer.stopped,
        **more,
    }


def train(folder, comm, *, epochs=2, **options) -> dict:
    trainer, loader, validation = make(comm, **options)
    trainer.fit(loader, validation, epochs)
    return found(trainer)


def uneven(folder, comm):
    """Batches of 8, 8 and 2; with four ranks, some get no image of the last one."""
    return train(folder, comm, callbacks=[training.ClipGradients(0.5)])


def frozen(folder, comm):
    """Like `uneven`, but the first layer is frozen and its gradient is not exchanged."""

    def model(rng):
        net = plain(rng)
        net[0].requires_grad_(False)
        return net

    trainer, loader, validation = make(comm, model=model)
    trainer.fit(loader, validation, 2)
    assert [parameter.grad is None for parameter in trainer.model.parameters()] == [True, True, False, False]
    return found(trainer)


def of_two_inputs(folder, comm):
    """Train on batches of the form ((image, row), label)."""

    def model(rng):
        look = nn.Sequential(nn.Conv2d(1, 4, 3, rng=rng), nn.ReLU(), nn.GlobalAvgPool2d())
        return nn.Sequential(nn.Parallel(look, nn.Identity()), nn.Linear(4 + 6, 3, rng=rng))

    return train(folder, comm, model=model, inputs=lambda x: (x, x[:, 0, 0]))


def weighted(folder, comm):
    """A mean over class weights, whose sums differ between ranks."""
    trainer, loader, validation = make(comm)
    trainer.loss.weight = np.array([1, 5, 0.5], np.float32)
    trainer.fit(loader, validation, 1)
    return found(trainer)


def by_strategy(folder, comm):
    """Like `uneven`, with the strategy that a trainer would make from the communicator."""
    return train(folder, comm, callbacks=[training.ClipGradients(0.5)], strategy=distributed.DataParallel(comm))


class Watched(nn.CrossEntropyLoss):
    """A loss that counts batches in which all labels are ignored."""

    empty = 0

    def __call__(self, x, target):
        self.empty += bool((target == self.ignore_index).all())
        return super().__call__(x, target)


def ignored(folder, comm):
    """Ignored labels; a rank all of whose labels in a batch are ignored must still take part in the exchange."""
    trainer, loader, validation = make(comm, model=synchronized(comm), images=20)
    trainer.loss = Watched(ignore_index=1)
    loader.labels[loader.labels == 2] = 1
    trainer.fit(loader, validation, 1)
    if comm:
        assert comm.allreduce(trainer.loss.empty), "every part had a label that counts"
    return found(trainer)


def ignored_all(folder, comm):
    """All labels of the second batch are ignored."""
    trainer, loader, _ = make(comm, images=16)
    loader.shuffle, loader.labels[8:] = False, -100
    try:
        trainer.fit(loader, (loader.dataset.images, loader.labels), 1)
    except ValueError as error:
        return {"error": str(error)}


def dropout(folder, comm):
    return train(folder, comm, model=with_dropout)


def masks(folder, comm):
    """The last dropout masks of the ranks."""
    trainer, loader, validation = make(comm, model=with_dropout, images=8)
    trainer.fit(loader, validation, 1)
    return {"mask": trainer.model[2].drawn.tolist()}


def augmented(folder, comm):
    return train(folder, comm, shift=True)


def batch_norm(folder, comm):
    """Batch normalization with statistics over the images of all ranks."""
    return train(folder, comm, model=synchronized(comm), images=20, batch_size=8)


def batch_norm_too_few(folder, comm):
    trainer, _, _ = make(comm, model=synchronized(comm))
    trainer.loader = make(comm, images=9)[1]
    try:
        trainer._strategy._check(trainer)
    except ValueError as error:
        return {"error": str(error)}


def batch_norm_apart(folder, comm):
    return train(folder, comm, model=with_batch_norm, images=24)


class StopAt(training.Callback):
    """Call a function after a number of batches, on one rank."""

    def __init__(self, batches, rank, what):
        self.batches, self.rank, self.what = batches, rank, what

    def on_batch_end(self, trainer):
        if trainer.rank == self.rank and len(trainer.history.step_losses) == self.batches:
            self.what(trainer)


def saved(folder, comm):
    """A run that the last rank stops in the middle of an epoch, and that rank 0 writes."""
    last = comm.Get_size() - 1 if comm else 0
    stop = StopAt(4, last, lambda trainer: trainer.stop("enough"))
    best = training.BestWeights(path=folder / f"best-{comm.Get_rank() if comm else 0}.safetensors")
    callbacks = [stop, best, training.Checkpoint(folder / "checkpoints")]
    return train(folder, comm, model=with_dropout, images=24, callbacks=callbacks)


def resumed(folder, comm):
    """A run that continues from the checkpoint of `saved`, which only rank 0 reads."""
    callbacks = [training.BestWeights(), training.Checkpoint(folder / "checkpoints")]
    trainer, loader, validation = make(comm, model=with_dropout, images=24, callbacks=callbacks)
    if trainer.rank == 0:
        training.latest_checkpoint(folder / "checkpoints").restore(trainer, loader)
    trainer.fit(loader, validation, 2 - len(trainer.history.epochs))
    return found(trainer)


def whole(folder, comm):
    """The run of `saved` and `resumed` without interruption."""
    return train(folder, comm, model=with_dropout, images=24, callbacks=[training.BestWeights()])


def interrupted(folder, comm):
    """One rank receives Ctrl-C; all ranks raise an error after a checkpoint."""
    ctrl_c = StopAt(2, 1, lambda trainer: os.kill(os.getpid(), signal.SIGINT))
    trainer, loader, validation = make(comm, callbacks=[ctrl_c, training.Checkpoint(folder / "interrupted")])
    try:
        trainer.fit(loader, validation, 2)
    except KeyboardInterrupt:
        handler = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        return found(trainer, raised=True, handler_is_back=handler)


def not_finite(folder, comm):
    """Train with an image on the last rank that is not finite."""
    trainer, loader, validation = make(comm, images=16, batch_size=16)
    if trainer.rank == comm.Get_size() - 1:
        loader.dataset.images[:] = np.inf
    try:
        trainer.fit(loader, validation, 1)
    except FloatingPointError as error:
        return {"error": str(error)}


def one_image(folder, comm):
    """A last batch of three images, of which rank 0 gets one."""

    def with_rows(rng):
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 4, rng=rng), nn.BatchNorm1d(4), nn.Linear(4, 3, rng=rng))

    train(folder, comm, model=with_rows, images=19, callbacks=[StopAt(1, 0, lambda trainer: print("a batch"))])


def threads(folder, comm):
    return {"threads": fastcnn.get_num_threads(), "processors": _processors.usable()}


def raises(folder, comm):
    def fail(trainer):
        raise RuntimeError("the disk is full of eels")

    train(folder, comm, callbacks=[StopAt(2, 1, fail)])


def exits(folder, comm):
    if comm.Get_rank() == 1:
        sys.exit("no data on this machine")
    train(folder, comm)


def dies(folder, comm):
    train(folder, comm, callbacks=[StopAt(2, 1, lambda trainer: os.kill(os.getpid(), signal.SIGKILL))])


def trains_until_interrupted(folder, comm):
    mark = StopAt(5, 0, lambda trainer: (folder / "going").touch())
    train(folder, comm, epochs=10**6, callbacks=[mark, training.Checkpoint(folder / "by_mpiexec")])


def main() -> None:
    folder, scenarios = Path(sys.argv[1]), sys.argv[2:]
    comm = distributed.world()
    with distributed.abort_on_error(comm), fastcnn.use_backend("numpy"):
        for scenario in scenarios:
            result = globals()[scenario](folder, comm)
            Path(folder, f"{scenario}-{comm.Get_rank()}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
