"""The training loop."""

import math
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from operator import attrgetter
from typing import Any

import numpy as np

from fastcnn import _validate
from fastcnn.functional.losses import EmptyMeanError
from fastcnn.nn import Module, recording
from fastcnn.optim import Optimizer, Schedule
from fastcnn.training.bar import somebody_looks, tqdm
from fastcnn.training.batch_result import BatchResult
from fastcnn.training.callbacks import Callback
from fastcnn.training.checks import check, check_optimizer
from fastcnn.training.compiling import Compiling
from fastcnn.training.history import History
from fastcnn.training.interrupt import Interrupt
from fastcnn.training.modes import Modes, for_training, put_into
from fastcnn.training.progress import Progress
from fastcnn.training.state import Resumption
from fastcnn.training.strategy import Strategy, strategy_of
from fastcnn.training.tasks import Task
from fastcnn.training.tasks.choice import chosen
from fastcnn.training.train_step import TrainStep

_BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} batches{postfix}"


class Trainer:
    """Train a model and record how it goes.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Of the parameters of `model`.
    loss : callable
        ``loss(output, target)`` is the mean over a batch, and ``loss.backward()`` its gradient by what the model gave,
        as `fastcnn.nn.CrossEntropyLoss`. What a mean is over is ``loss.mean_over``, or its images. Those whose label is
        ``loss.ignore_index`` do not count, neither in losses nor in accuracies.
    scheduler : Schedule, optional
        Stepped after each batch or after each epoch, as its attribute ``every`` says; with the number that `monitored`
        names, if it says ``needs_metric``.
    callbacks : iterable of Callback
        Called in this order, those that run last (`Checkpoint`) after the others.
    distributed : mpi4py.MPI.Intracomm or Strategy, optional
        The processes that train together, as ``MPI.COMM_WORLD`` under ``mpiexec -n 4 python ...``; see
        `fastcnn.distributed.DataParallel`.
    task : Task, optional
        What the model is trained for: `Classification`, which it is by default, `Regression`, `MultiLabel`,
        `Segmentation`, or one of your own.
    verbose : bool, default True
        Whether to say how training goes: see `fit`. Without it, neither stdout nor stderr has a word of that.

    Attributes
    ----------
    history : History
        Grows while `fit` runs, so that it is there after an exception too.
    progress : Progress or None
        The epoch that is being trained; None between epochs.
    evaluation : Evaluation, Scores or None
        Of the validation data after the last epoch; None where there are none.
    loader, validation : iterable or None
        What `fit` trains on, and what it evaluates.
    stopped : str or None
        Why a callback stopped the last `fit`.
    rank : int
        Of this process among those that train together, from 0.
    interrupt : Interrupt
        Ctrl-C, where it is to wait for the end of a batch.

    Raises
    ------
    TypeError
        If a callback is not a `Callback`, `distributed` neither a communicator nor a strategy, `task` not a `Task`, or
        `verbose` no flag.
    ValueError
        If the loss is no mean; if no task is given and the loss is one of fastcnn's that does not classify; or if a
        schedule that needs a metric waits for a higher one where a lower one is better, or the other way round.
    ImportError
        If processes train together and there is no mpi4py, or no MPI library for it.

    Notes
    -----
    What is frozen stays so: in every epoch each module trains in the mode that it has when `fit` begins. After
    ``model[1].eval()`` that batch normalization goes on with its running statistics, which do not change. A model none
    of whose modules is in training mode, as after ``model.eval()``, trains as a whole.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import data, nn, optim, training
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100, 2))
    >>> labels = (x[:, 0] > x[:, 1]).astype(int)
    >>> model = nn.Linear(2, 2, rng=rng, dtype=np.float64)
    >>> trainer = training.Trainer(model, optim.SGD(model.parameters(), lr=1.0), nn.CrossEntropyLoss())
    >>> history = trainer.fit(data.DataLoader(x, labels, 10), (x, labels), epochs=1)  # doctest: +ELLIPSIS
    epoch 1: ... validation accuracy 97.00%
    >>> len(history.step_losses)
    10
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss,
        scheduler: Schedule | None = None,
        callbacks: Iterable[Callback] = (),
        distributed=None,
        task: Task | None = None,
        verbose: bool = True,
    ):
        if getattr(loss, "reduction", "mean") != "mean":
            raise ValueError(f"`loss` is {loss!r} but must be a mean: the record has means over images.")
        self.task: Task = chosen(task, loss)
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.scheduler = _fitting(scheduler, self.task)
        self.verbose = _validate.flag("verbose", verbose)
        self._strategy: Strategy = strategy_of(distributed)
        self.rank = self._strategy.rank
        self.callbacks = sorted(self._strategy.callbacks(_checked(callbacks)), key=attrgetter("runs_last"))
        self.history = History()
        self.progress: Progress | None = None
        self.evaluation: Any = None
        self.loader: Iterable[tuple[Any, np.ndarray]] | None = None
        self.validation: Any = None
        self.stopped: str | None = None
        self.interrupt = Interrupt()
        self._train_step: TrainStep | None = None
        self._modes: Modes = []  # to train in
        self.resumption: Resumption | None = None  # where a checkpoint left an epoch; see SavedRun.restore

    def fit(
        self,
        train: Iterable[tuple[Any, np.ndarray]],
        validation: tuple[Any, np.ndarray] | Iterable[tuple[Any, np.ndarray]] | None = None,
        epochs: int = 1,
    ) -> History:
        """Train; if `verbose`, with a progress bar in a terminal or a notebook and one line on stdout for each epoch.

        Parameters
        ----------
        train : iterable of (images, labels)
            The batches of an epoch, as `fastcnn.data.DataLoader`.
        validation : (images, labels) or iterable of such batches, optional
            What is held out: evaluated after each epoch, see `fastcnn.training.evaluate`. Without it, nothing is.
        epochs : int, default 1
            How many more. Where a checkpoint was restored, the epoch that it finds begun is the first of them: for 10
            in all, ``10 - len(trainer.history.epochs)``.

        Returns
        -------
        History
            The attribute `history`; it goes on from earlier calls.

        Raises
        ------
        FloatingPointError
            If the loss of a batch is not finite. It says what first held such a value: the images, a parameter, or
            which layer's output. The parameters are those before that batch, but the running statistics of a batch
            normalization have seen it.
        TypeError, ValueError
            Before the first batch, if there is none, or the images and labels, those for validation too, do not fit the
            model, the loss or the task, down to a last batch of one image, or a callback monitors what is not measured;
            if the optimizer trains other parameters than the model's, or the schedule sets another optimizer's rates;
            and if no image of a batch counts.
        KeyboardInterrupt
            After Ctrl-C: at once, or with a `Checkpoint` after the batch, when that is written.
        """
        self.loader, self.validation, self.stopped, self.progress = train, validation, None, None
        with self._strategy.fitting(self):
            check_optimizer(self.model, self.optimizer, self.loss, self.scheduler)
            check(self.model, self.loss, train, validation, self._strategy, self.task)
            self._compiling = Compiling()
            last = self._strategy.broadcast(len(self.history.epochs) + _validate.count("epochs", epochs, least=0))
            batches = self._strategy.batches(train, self.model)
            try:
                self._call("on_fit_start")
                self._modes = for_training(self.model)
                while not self.stopped and len(self.history.epochs) < last:
                    if progress := self._train_epoch(batches):
                        self._end_epoch(progress)
                if self.stopped:
                    self._say(f"Stopped: {self.stopped}.")
                self._call("on_fit_end")
                self._heed_interrupt()
            finally:
                with ExitStack() as stack:  # every callback's, whatever those of others raise
                    for callback in reversed(self.callbacks):
                        stack.callback(callback.on_exit, self)
        return self.history

    @property
    def monitored(self) -> str:
        """The number of an epoch's record by which it is the best: the task's, of the validation where there is one."""
        return f"{'train' if self.validation is None else 'validation'}_{self.task.best}"

    def stop(self, reason: str) -> None:
        """End `fit` after this batch or, from a callback at the end of an epoch, after this epoch.

        An epoch that is not trained to its end is not evaluated and has no record but the losses of its batches.
        """
        self.stopped = reason

    def _train_epoch(self, train) -> Progress | None:
        """Train on all batches; None where a callback stopped it."""
        put_into(self._modes)
        progress, batches = self._begin(train)
        self.progress, clock = progress, self._compiling.clock
        start = clock() - progress.seconds
        with tqdm(  # which shows that kernels are compiled, but does not count it
            batches, f"epoch {progress.epoch}", _length(train), leave=False, bar_format=_BAR,
            initial=progress.batches, disable=not self._shows_bar(),
        ) as bar, self._compiling.shown(bar):  # fmt: skip
            for images, labels in bar:
                if self.stopped:
                    return None
                progress.add(self._step(images, labels), clock() - start)
                self._call("on_batch_end")
                self._heed_interrupt()
                if not bar.disable:
                    bar.set_postfix_str(str(progress), refresh=False)
        if not progress.batches:
            raise ValueError(f"`train` gave no batch in epoch {progress.epoch}; a generator can be used once only.")
        return progress

    def _step(self, images, labels: np.ndarray) -> BatchResult:
        """Train on one batch; return how it was before the step."""
        batch = self._whole_step(images, labels) if self._takes_whole_steps() else self._parts_of_step(images, labels)
        if self.scheduler and self.scheduler.every == "batch":
            self.scheduler.step()
        return batch

    def _takes_whole_steps(self) -> bool:
        """Whether nobody comes between the parts of a step."""
        strategy = type(self._strategy)
        return (
            recording.is_fastcnns(type(self.loss))
            and (strategy.forward, strategy.backward) == (Strategy.forward, Strategy.backward)
            and all(type(callback).on_backward_end is Callback.on_backward_end for callback in self.callbacks)
        )

    def _whole_step(self, images, labels: np.ndarray) -> BatchResult:
        step = self._train_step
        if step is None or (step.model, step.optimizer, step.loss) != (self.model, self.optimizer, self.loss):
            step = self._train_step = TrainStep(self.model, self.optimizer, self.loss)
        try:
            output, loss, weight = step.learn(images, labels)
            batch = BatchResult(loss, weight, len(labels), self.task.count(output, labels, self.loss))
        except EmptyMeanError:
            batch = BatchResult()
        self._note(batch, images)
        return batch

    def _parts_of_step(self, images, labels: np.ndarray) -> BatchResult:
        batch = self._strategy.forward(self.model, self.loss, images, labels, self.task)
        self._note(batch, images)
        self.optimizer.zero_grad()
        self._strategy.backward(self.model, self.loss)
        self._call("on_backward_end")
        self.optimizer.step()
        return batch

    def _note(self, batch: BatchResult, images) -> None:
        """Write down the loss of a batch from which something can be learned."""
        number = len(self.history.step_losses) + 1
        if not batch.counts:
            raise ValueError(
                f"No image of batch {number} counts: the weight of each is 0, or its label is the loss's "
                "`ignore_index`. There is nothing to learn from such a batch; leave it out."
            )
        if not math.isfinite(batch.loss):
            raise FloatingPointError(
                f"The loss of batch {number} is {batch.loss}; the learning rate was {self.optimizer.lr:g}. "
                f"{self._strategy.explain(self.model, images)}"
            )
        self.history.step_losses.append(batch.loss)

    def _end_epoch(self, progress: Progress) -> None:
        """Evaluate, if there is something to evaluate, and record."""
        with ExitStack() as stack:
            for callback in self.callbacks:
                stack.enter_context(callback.evaluating(self))
            self.evaluation = None
            if self.validation is not None:
                self.evaluation = self._strategy.evaluate(self.model, self.validation, self.loss, self.task)
            record = progress.record(self.evaluation)
            self.history.epochs.append(record)
            self._call("on_evaluation_end")
        if self.scheduler and self.scheduler.every == "epoch":
            self.scheduler.step(*[record.metrics[self.monitored]] if self.scheduler.needs_metric else [])
        self.progress = None
        if self._talks:
            self._compiling.say()
        self._say(str(record))
        self._call("on_epoch_end")
        self._heed_interrupt()

    def _begin(self, train) -> tuple[Progress, Iterable]:
        """A new epoch, or one that a checkpoint found begun, and its batches."""
        resumption, self.resumption = self.resumption, None
        if resumption:
            return resumption.progress, resumption.batches(train)
        return Progress(self.task, len(self.history.epochs) + 1, self.optimizer.lr), train

    def _call(self, method: str) -> None:
        for callback in self.callbacks:
            getattr(callback, method)(self)

    def _heed_interrupt(self) -> None:
        """After Ctrl-C, when everything is in order and saved."""
        if self.interrupt.came:
            raise KeyboardInterrupt

    @property
    def _talks(self) -> bool:
        return self.verbose and self._strategy.is_main_process

    def _shows_bar(self) -> bool:
        return self._talks and somebody_looks()

    def _say(self, text: str) -> None:
        """Print a line, once, where there is somewhere to print: Python has no stdout where a daemon closed it."""
        if self._talks and sys.stdout:
            tqdm.write(text)


def _checked(callbacks: Iterable[Callback]) -> list[Callback]:
    """The callbacks, or a TypeError where something else is among them."""
    callbacks = list(callbacks)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"`callbacks` must hold Callbacks only, not {type(callback).__name__}.")
    return callbacks


def _fitting(scheduler: Schedule | None, task: Task) -> Schedule | None:
    """The schedule, or a ValueError where it takes the task's best number for its worst."""
    mode, better = getattr(scheduler, "mode", None), next(kind for kind in task.kinds if kind.name == task.best).better
    wanted = {"higher": "max", "lower": "min"}[better]
    if scheduler and scheduler.needs_metric and mode in ("min", "max") and mode != wanted:
        raise ValueError(
            f"`scheduler` has mode={mode!r}, but the task is {task!r}, whose {task.best} is better when it is "
            f"{better}: give the schedule mode={wanted!r}, or the task another `best`."
        )
    return scheduler


def _length(batches) -> int | None:
    return len(batches) if hasattr(batches, "__len__") else None
