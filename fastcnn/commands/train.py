"""``fastcnn train``: train a model."""

import math
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import fastcnn
from fastcnn import _files, _processors, data, distributed, nn, optim, training
from fastcnn.commands import held_out, prepare, settings
from fastcnn.commands.arguments import Parser, path
from fastcnn.commands.classes import listed_names
from fastcnn.commands.classifier import load
from fastcnn.commands.errors import CommandError, UsageError, exit_code, remark, sentence, usage
from fastcnn.commands.parts import OPTIMIZERS, SCHEDULES, make_augment, make_optimizer, make_schedule
from fastcnn.commands.pretrained import Pretrained, freeze, frozen_at_random, pretrained, take
from fastcnn.commands.records import BEST, SETTINGS, Records, remove_run, results, write_curves
from fastcnn.data import DataError, DataLoader, ImageFolder, Preprocessing
from fastcnn.training.checkpoint import SavedRun, checkpoints
from fastcnn.training.checks import check
from fastcnn.training.diagnosis import only_guesses

UNCERTAIN = 50  # with fewer validation images, the uncertainty of the accuracy is reported
FEW = 8  # with fewer batches per epoch, a smaller batch size is suggested

EXAMPLES = """\
  fastcnn train                                            LeNet-5 on MNIST, into runs/lenet5-mnist
  fastcnn train --augment shift rotation elastic --epochs 15 --out runs/augmented
  fastcnn train --model resnet20 --data cifar10 --optimizer sgd --optimizer-options weight_decay=5e-4 \\
                --augment crop flip --epochs 60
  fastcnn train --model vgg7 --data my/pictures --image-size 32 --validation 0.1 --early-stopping 5
  fastcnn train --weights runs/vgg7-pictures --freeze body --data other/pictures      train a new head only
  fastcnn train --config run.toml --lr 0.01                 settings from a file, with another learning rate
  fastcnn train --resume runs/lenet5-mnist                  continue after Ctrl-C, kill or a power cut
  fastcnn train --resume runs/lenet5-mnist --epochs 10      5 epochs more, after the first 5
  mpiexec -n 4 fastcnn train --distributed                  four processes share each batch, on one machine or more

A TOML file holds the same settings: epochs = 10, augment = {shift = 3, flip = true}; see a run's settings.toml.
The output folder holds checkpoints, best.safetensors, history.json, history.csv, settings.toml and curves.png.
"""


def parser() -> Parser:
    """Describe the options."""
    parser = Parser("fastcnn train", "Train a model, print its progress and write the results to a folder.", EXAMPLES)
    parser.add_argument("--config", type=path, metavar="FILE", help="settings from a TOML file; options override it")
    parser.add_argument("--out", type=path, metavar="DIR", help="the output folder (default: runs/MODEL-DATA)")
    parser.add_argument(
        "--resume",
        type=path,
        nargs="?",
        const=False,
        metavar="RUN",
        help="continue from the newest checkpoint in this folder (default: that of --out), with the settings of the "
        "run; the result is bit-identical to an uninterrupted run. Add --epochs N to train longer, and --data DIR if "
        "the pictures have moved",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="start a new run in a folder that holds a run: the files that fastcnn train wrote there are removed",
    )
    parser.add_argument(
        "--distributed", action="store_true", help="train together with the other processes that mpiexec started"
    )
    settings.add_to(parser)
    return parser


def run(args) -> int:
    """Train, in this process or as one of several ranks."""
    if not args.distributed:
        return _run(args)
    ranks = distributed.world()
    with distributed.abort_on_error(ranks):
        try:
            with _only_first_speaks(ranks.Get_rank()):
                return _run(args, ranks)
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            remark(f"fastcnn train: error: {sentence(error)}")
            raise SystemExit(code) from error


@contextmanager
def _only_first_speaks(rank: int) -> Iterator[None]:
    """Silence stdout and stderr on all ranks but the first."""
    with open(os.devnull, "w", errors="replace") as nowhere:
        if rank == 0:
            yield
        else:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield


def _run(args, ranks=None) -> int:
    """Train with the given arguments; ``ranks`` is the communicator of a distributed run."""
    given = settings.read_file(args.config) if args.config else {}
    given = settings.absolute(given | {name: value for name, value in vars(args).items() if name in settings.SETTINGS})
    out = args.out
    saved: Any = None  # a SavedRun to resume
    source: Any = None  # a Pretrained to start from
    if args.resume is not None:
        if args.overwrite:
            raise UsageError("--resume continues a run but --overwrite removes it: give only one of them.")
        out = _folder(args.resume, args.out, given)
        saved = load(out) if ranks is None or ranks.Get_rank() == 0 else None
        saved = ranks.bcast(saved) if ranks else saved  # other ranks may not have access to the folder
        chosen = settings.resumed(saved.settings["settings"], given, out, len(saved.history.epochs))
    else:
        if given.get("weights"):
            source = pretrained(given["weights"]) if ranks is None or ranks.Get_rank() == 0 else None
            source = ranks.bcast(source) if ranks else source
            given = source.completed(given)
        chosen = settings.complete(given)
        out = out or _default_folder(chosen)
        if checkpoints(out) and not args.overwrite:
            raise UsageError(
                f"{out} already holds a run: continue it with --resume {shlex.quote(str(out))}, replace it with "
                "--overwrite, or choose another --out."
            )
        if (found := results(out)) and not args.overwrite:
            raise UsageError(
                f"{out} already holds the results of another run ({listed_names(found)}): choose another --out, or "
                "add --overwrite to train into this folder."
            )
    if chosen["threads"] is not None:
        with usage("--threads: "):
            fastcnn.set_num_threads(chosen["threads"])
        if chosen["threads"] > (usable := _processors.usable()):
            remark(
                f"--threads is {chosen['threads']}, but this process may use {usable} processor{'s' * (usable > 1)}: "
                "more threads give the same results, slower."
            )
    with settings.in_use(chosen):
        return Run(chosen, out, saved, source, ranks, args.overwrite).train()


class Run:
    """A training run made from its settings: data, model, optimizer, callbacks and trainer.

    Parameters
    ----------
    chosen : dict
        All settings.
    out : Path
        The output folder; created if it does not exist.
    saved : SavedRun, optional
        The checkpoint to continue from.
    source : Pretrained, optional
        The weights to start from.
    ranks : mpi4py.MPI.Intracomm, optional
        The communicator of the ranks that train together.
    overwrite : bool
        Whether to remove a run that is in the folder already.
    """

    def __init__(
        self,
        chosen: Mapping,
        out: Path,
        saved: SavedRun | None = None,
        source: Pretrained | None = None,
        ranks=None,
        overwrite: bool = False,
    ):
        self.out = out
        streams = prepare.Streams.of(chosen["seed"])
        with _moved(chosen, out, saved):
            self.parts = train, validation, test = prepare.parts(chosen, streams)
        self.no_test = validation is test and prepare.lacks_test(chosen["data"])
        self.given, self.chosen = chosen, settings.for_images(chosen, len(train))
        chosen = self.chosen
        self._workers = fastcnn.get_num_threads() if isinstance(train, ImageFolder) else 0
        seen = prepare.look_at(train, self._workers)
        for part in {id(part): part for part in (validation, test)}.values():
            prepare.read_through(part, self._workers)
        described_data = {
            "source": train.source,
            "classes": list(train.classes),
            "image_shape": list(train.image_shape),
            "digits": chosen["data"] in prepare.DIGITS,
            "fingerprint": seen.fingerprint,
            "held_out": held_out.described(chosen["data"], test),
        }
        if saved and (differ := _differences(described_data, saved.settings["data"])):
            raise DataError(f"{train.source} is not what the run in {out} was trained on: {differ}.")
        self.preprocess = prepare.preprocessing(chosen, train, seen)
        if saved:
            self.preprocess = Preprocessing(**saved.settings["preprocessing"])
        elif source and len(source.preprocessing.mean) == train.image_shape[0]:  # as the weights were trained
            self.preprocess = replace(source.preprocessing, size=self.preprocess.size)
        architecture = prepare.architecture(chosen, train, self.preprocess)
        self.model = prepare.build(architecture, streams.model)
        self._said = [take(self.model, source)] if source else []
        if chosen["freeze"]:
            self._said.append(freeze(self.model, chosen["freeze"]))
            self._said += [] if saved else frozen_at_random(self.model, source)
        prepared: Any
        labels: Any = None
        if isinstance(train, ImageFolder):
            prepared = train.transformed(self.preprocess)
        else:
            prepared, labels = self.preprocess(train.images), train.labels
        self.loader = DataLoader(
            prepared,
            labels,
            chosen["batch_size"],
            shuffle=True,
            num_workers=self._workers,
            rng=streams.loader,
            augment=make_augment(chosen["augment"], self.preprocess.size, self.preprocess.black),
        )
        optimizer = make_optimizer(chosen, self.model.parameters())
        schedule = make_schedule(chosen, optimizer, chosen["epochs"] * len(self.loader))
        loss = nn.CrossEntropyLoss(label_smoothing=chosen["label_smoothing"])
        strategy = distributed.DataParallel(ranks) if ranks else training.Strategy()
        self.ranks, self.first = ranks, strategy.is_main_process
        self.validation = self._prepared(validation)
        with usage():  # `fit` checks this, too, but would not raise a UsageError
            check(self.model, loss, self.loader, self.validation, strategy)
        if self.first:
            out.mkdir(parents=True, exist_ok=True)
        if self.first and overwrite:
            remove_run(out)
        self.best = training.BestWeights(chosen["monitor"], out / BEST)
        described = {
            "settings": dict(chosen),
            "preprocessing": asdict(self.preprocess),
            "data": described_data,
        }
        checkpoint = training.Checkpoint(
            out, every_seconds=chosen["checkpoint_every"], architecture=architecture, settings=described
        )
        self._more = ""  # about epochs that are added to a finished run
        callbacks = [*self._wishes(), self.best, Records(out), checkpoint]
        self.trainer = training.Trainer(self.model, optimizer, loss, schedule, callbacks, strategy)
        if saved:
            saved.restore(self.trainer, self.loader)
            self._go_on(saved)
            if self.first and chosen["data"] != saved.settings["settings"]["data"]:  # for later commands
                training.save_checkpoint(saved.path, self.trainer, self.loader, architecture, described)

    def _prepared(self, images: prepare.Images) -> Any:
        """Prepare images for evaluation: arrays, or for a lazy folder a loader with the batch size of training."""
        if isinstance(images, ImageFolder):
            pictures = images.transformed(self.preprocess)
            return DataLoader(pictures, self.chosen["batch_size"], num_workers=self._workers)
        return self.preprocess(images.images), images.labels

    def _go_on(self, saved: SavedRun) -> None:
        """If epochs were added to a run whose schedule depends on their number, start a new schedule for these."""
        more = self.chosen["epochs"] - saved.settings["settings"]["epochs"]
        if more and SCHEDULES[self.chosen["schedule"]].needs_epochs:
            self.trainer.optimizer.lr = self.chosen["lr"]
            self.trainer.scheduler = make_schedule(self.chosen, self.trainer.optimizer, more * len(self.loader))
            schedule = self.chosen["schedule"]
            self._more = f" for {more} more, with a new {schedule} schedule"

    def train(self) -> int:
        """Train to the end and report the result; return the exit code."""
        self._announce()
        if self.first:
            _files.write(self.out / SETTINGS, settings.toml(self.chosen).encode())
        left = self.chosen["epochs"] - len(self.trainer.history.epochs)
        try:
            self.trainer.fit(self.loader, self.validation, left)
        except KeyboardInterrupt:
            self._draw()
            remark(f"fastcnn train: interrupted; {_how_to_go_on(self.out)}")
            return 130
        self._draw()
        self._report()
        return 0

    def _draw(self) -> None:
        """Write curves.png, on the first rank."""
        if self.first:
            write_curves(self.trainer.history, self.chosen["monitor"], self.out)

    def _wishes(self):
        """Yield the callbacks that the settings ask for."""
        if self.chosen["clip_norm"] is not None:
            yield training.ClipGradients(self.chosen["clip_norm"])
        if self.chosen["ema"] is not None:
            yield training.WeightAverage(optim.ExponentialMovingAverage(self.model, self.chosen["ema"]))
        if self.chosen["early_stopping"] is not None:
            yield training.EarlyStopping(self.chosen["early_stopping"], self.chosen["monitor"])

    def _announce(self) -> None:
        """Print the data, the model and the batches of the run."""
        train, validation, test = self.parts
        C, H, W = train.image_shape
        held = f"{len(validation):,} validation and " if validation is not test else ""
        role = "validation" if self.no_test else "test"
        fitted = (
            f", fitted into {self.preprocess.size}x{self.preprocess.size}"
            if (self.preprocess.size,) * 2 != (H, W)
            else ""
        )
        remark(
            f"Data: {train.source}; {len(train):,} training, {held}{len(test):,} {role} images of {C}x{H}x{W}{fitted}; "
            f"{len(train.classes)} classes."
        )
        if self.no_test:
            folder = Path(test.source).name
            remark(f"There is no test folder, so the final accuracy is measured on the images from {folder}, too.")
        elif validation is test:
            remark("Validation uses the test images, because --validation holds out no training images.")
        if isinstance(train, ImageFolder):
            remark("The pictures are decoded when they are needed; --no-lazy keeps all in memory.")
        threads, parameters = fastcnn.get_num_threads(), sum(p.size for p in self.model.parameters())
        each = f" on each of {self.ranks.Get_size()} ranks" if self.ranks and self.ranks.Get_size() > 1 else ""
        remark(
            f"Model: {self.chosen['model']}, {parameters:,} parameters. Backend: {self.chosen['backend']}, {threads} "
            f"thread{'s' * (threads > 1)}{each}. Folder: {self.out}."
        )
        for text in self._said:
            remark(text)
        self._announce_batches()
        if self.trainer.history.step_losses:
            remark(self._how_far())

    def _how_far(self) -> str:
        """Say whether a resumed run is finished, has stopped early, or goes on, and after what."""
        history = self.trainer.history
        epochs = len(history.epochs)
        batches = len(history.step_losses) - sum(epoch.batches for epoch in history.epochs)
        after = f"after epoch {epochs}" if not batches else f"after batch {batches:,} of epoch {epochs + 1}"
        if epochs >= self.chosen["epochs"]:
            how = f"add --epochs {2 * epochs} to train for {epochs} more"
            return f"This run is finished after {epochs} epoch{'s' * (epochs > 1)}; {how}."
        for callback in self.trainer.callbacks:
            if isinstance(callback, training.EarlyStopping) and callback.waited >= callback.patience:
                how = f"--weights {shlex.quote(str(self.out))} starts a new run from its best weights"
                return f"This run has stopped early, {after} of {self.chosen['epochs']}; {how}."
        return f"Continuing {self.out} {after}{self._more}."

    def _announce_batches(self) -> None:
        """Print the batch size and epochs, whether they are defaults, and a better batch size if batches are few."""
        size, epochs, batches = self.chosen["batch_size"], self.chosen["epochs"], len(self.loader)
        options = {"batch size": "--batch-size", "epochs": "--epochs"}
        free = [what for what in options if self.given[what.replace(" ", "_")] is None]
        chosen = ""
        if free:
            what, are = " and ".join(free), "is" if free == ["batch size"] else "are"
            may = " and ".join(options[one] for one in free) + (" override" if len(free) > 1 else " overrides")
            chosen = f" The {what} {are} chosen for {len(self.parts.train):,} images; {may} this."
        per_epoch = f"{batches:,} batch{'es' * (batches > 1)} per epoch"
        remark(f"Batch size {size}, {per_epoch}, {epochs} epoch{'s' * (epochs > 1)}.{chosen}")
        suits = settings.for_images({"batch_size": None, "epochs": None}, len(self.parts.train))
        if batches < FEW and suits["batch_size"] < size:
            times = f"{batches * epochs} times" if batches * epochs > 1 else "once"
            remark(
                f"With {per_epoch} the weights are updated {times} in all; "
                f"--batch-size {suits['batch_size']} suits {len(self.parts.train):,} images better."
            )

    def _report(self) -> None:
        """Print the best epoch, whose weights the model has now, and their accuracy on the test images."""
        epochs, best = self.trainer.history.epochs, self.trainer.history.best(self.chosen["monitor"])
        if not best or not self.first:
            return
        print(f"best epoch: {best.epoch} of {len(epochs)}, validation accuracy {best.validation_accuracy:.2%}", end="")
        test = self.parts.test
        if self.parts.validation is not test:
            prepared = self._prepared(test)
            arrays = prepared if isinstance(prepared, tuple) else (prepared,)
            result = training.evaluate(self.model, *arrays)
            print(f"; test accuracy {result.accuracy:.2%} on {len(test):,} images.")
        elif self.no_test:
            print(f" on the {len(test):,} validation images.")
        else:
            print(f" on the {len(test):,} test images, which were the validation images.")
        if (n := len(self.parts.validation)) < UNCERTAIN:
            points = 100 * standard_error(best.validation_accuracy, n)
            what = f"about {points:.2g} percentage points (one standard error)"
            remark(f"{n} validation picture{'s' * (n > 1)}: the accuracy is uncertain by {what}.")
        if only_guesses(epochs, self.parts.train.labels, self.chosen["label_smoothing"]):
            remark(f"The network has learned nothing: its training accuracy is no better than guessing. {self._try()}")
        remark(f"Written to {self.out}: {', '.join(sorted(path.name for path in self.out.iterdir()))}.")

    def _try(self) -> str:
        """Say what to try if the network has learned nothing."""
        lr, optimizer = self.chosen["lr"], self.chosen["optimizer"]
        default = OPTIMIZERS[optimizer][1]
        if lr != default:
            return f"Try another learning rate: --lr is {lr:g}, and {default:g} suits {optimizer} in most cases."
        return f"Try a lower learning rate than --lr {lr:g} or more epochs, and check the labels of the images."


def standard_error(accuracy: float, n: int) -> float:
    """Return the standard error of an accuracy on ``n`` images; 0 % and 100 % count as half an image from there."""
    p = min(max(accuracy, 0.5 / n), 1 - 0.5 / n)  # else the error of 100 % would be 0
    return math.sqrt(p * (1 - p) / n)


@contextmanager
def _moved(chosen: Mapping, out: Path, saved: SavedRun | None) -> Iterator[None]:
    """Add to the error for missing data of a resumed run how to name their new place."""
    try:
        yield
    except (CommandError, UsageError) as error:
        if saved is None or chosen["data"] in data.names() or Path(chosen["data"]).exists():
            raise
        how = f"fastcnn train --resume {shlex.quote(str(out))} --data DIR"
        raise CommandError(f"{error} If the data have moved, run {how}.") from error


def _differences(now: Mapping, before: Mapping) -> str:
    """Say in words what has changed in the data of a resumed run, apart from their place."""
    parts = {"fingerprint": "its images or labels", "classes": "its classes", "held_out": "the pictures held out"}
    differ = " and ".join(what for name, what in parts.items() if now[name] != before.get(name, now[name]))
    return differ and f"{differ} differ"


def _folder(resume, out: Path | None, given: Mapping) -> Path:
    """Return the folder of the run to resume."""
    if resume is False:
        if out is None and not given.keys() & {"model", "data"}:
            known = [str(path) for path in sorted(Path("runs").glob("*/")) if checkpoints(path)]
            which = f"the runs here are {listed_names(known)}" if known else "for example --resume runs/lenet5-mnist"
            raise UsageError(f"--resume does not say which run to continue. Name its folder; {which}.")
        return out or _default_folder(settings.complete(given))
    if resume.is_file():
        raise UsageError(f"--resume is {resume}, a file, but must be the folder of a run, such as {resume.parent}.")
    if out is not None and out.resolve() != resume.resolve():
        raise UsageError(f"--out is {out}, but a resumed run writes to its own folder, {resume}.")
    return resume


def _default_folder(chosen: Mapping) -> Path:
    """Return the default output folder, runs/MODEL-DATA."""
    return Path("runs", f"{chosen['model']}-{Path(chosen['data']).stem}")


def _how_to_go_on(folder: Path) -> str:
    """Say how to resume an interrupted run."""
    if not checkpoints(folder):
        return "there is no checkpoint yet."
    return f"continue with: fastcnn train --resume {shlex.quote(str(folder))}"
