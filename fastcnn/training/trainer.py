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
from fastcnn.nn.parameter import note_grads
from fastcnn.nn.undoing import all_or_nothing, note
from fastcnn.optim import Optimizer, Schedule
from fastcnn.training.bar import somebody_looks, tqdm
from fastcnn.training.batch_result import BatchResult
from fastcnn.training.callbacks import Callback
from fastcnn.training.checks import check, check_optimizer, check_parts
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
    """Train a model and record its progress.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Optimizer of the parameters of `model`.
    loss : callable
        ``loss(output, target)`` is the mean over a batch, and ``loss.backward()`` its gradient with respect to the
        output, as for `fastcnn.nn.CrossEntropyLoss`. The mean's denominator is ``loss.mean_over`` if there is one, else
        the number of images. Images with the label ``loss.ignore_index`` count neither in losses nor in accuracies.
    scheduler : Schedule, optional
        Stepped after each batch or each epoch, according to its attribute ``every``. If its ``needs_metric`` is true,
        it gets the metric that `monitored` names.
    callbacks : iterable of Callback
        Called in this order, except that those with ``runs_last``, such as `Checkpoint`, come last.
    distributed : mpi4py.MPI.Intracomm or Strategy, optional
        The processes that train together, such as ``MPI.COMM_WORLD`` under ``mpiexec -n 4 python ...``; see
        `fastcnn.distributed.DataParallel`.
    task : Task, optional
        What the model is trained for: `Classification` (the default), `Regression`, `MultiLabel`, `Segmentation`, or a
        task of your own.
    verbose : bool, default True
        Whether `fit` prints its progress. If False, it prints nothing to stdout or stderr.

    Attributes
    ----------
    history : History
        Grows while `fit` runs, so that it is also available after an exception.
    progress : Progress or None
        The current epoch; None between epochs.
    evaluation : Evaluation, Scores or None
        Result for the validation data after the last epoch; None without validation data.
    loader, validation : iterable or None
        Training and validation data of `fit`.
    stopped : str or None
        Why a callback stopped the last `fit`.
    rank : int
        Rank of this process, from 0.
    interrupt : Interrupt
        Defers Ctrl-C and SIGTERM to the end of a batch if a `Checkpoint` or several ranks need it.

    Raises
    ------
    TypeError
        If `model`, `optimizer`, `loss` or `scheduler` is something else, a callback is not a `Callback`, `distributed`
        is neither a communicator nor a strategy, `task` is not a `Task`, or `verbose` is not a bool.
    ValueError
        If the loss is not a mean; if no task is given and the loss is one of fastcnn's that is not for classification;
        or if a schedule that needs a metric has the ``mode`` "max" for a metric that is better when lower, or the other
        way round.
    ImportError
        If `distributed` is given and mpi4py or its MPI library is missing.

    Notes
    -----
    In every epoch each module trains in the mode that it has when `fit` begins. For example, after ``model[1].eval()``
    a batch normalization ``model[1]`` uses its running statistics and does not change them. If no module is in training
    mode, as after ``model.eval()``, all modules are put into training mode.

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
        check_parts(model, optimizer, loss)
        if scheduler is not None and not isinstance(scheduler, Schedule):
            raise TypeError(f"`scheduler` must be a Schedule or None, not {type(scheduler).__name__}.")
        if getattr(loss, "reduction", "mean") != "mean":
            raise ValueError(f"`loss` is {loss!r} but must be a mean: the history records means over images.")
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
        self._modes: Modes = []  # for training
        self.resumption: Resumption | None = None  # an epoch that a checkpoint left unfinished; see SavedRun.restore

    def fit(
        self,
        train: Iterable[tuple[Any, np.ndarray]],
        validation: tuple[Any, np.ndarray] | Iterable[tuple[Any, np.ndarray]] | None = None,
        epochs: int = 1,
    ) -> History:
        """Train; if `verbose`, show a progress bar in a terminal or notebook, and print one line for each epoch.

        Parameters
        ----------
        train : iterable of (images, labels)
            The batches of an epoch, such as a `fastcnn.data.DataLoader`.
        validation : (images, labels) or iterable of such batches, optional
            Held-out data, evaluated after each epoch; see `fastcnn.training.evaluate`. By default nothing is evaluated.
        epochs : int, default 1
            Number of further epochs. After a checkpoint was restored, an unfinished epoch is the first of them: for 10
            in all, pass ``10 - len(trainer.history.epochs)``.

        Returns
        -------
        History
            The attribute `history`, which also has the epochs of earlier calls.

        Raises
        ------
        FloatingPointError
            If the loss of a batch is not finite. The message names the first such value: in the images, a parameter or
            the output of a layer. The parameters are those from before that batch, but the running statistics of batch
            normalization include it.
        TypeError, ValueError
            Before the first batch: if there is no batch; if the training or validation data do not fit the model, the
            loss or the task, which includes a batch of one image that batch normalization cannot train on; if a
            callback monitors a metric that is not measured; if the optimizer's parameters are not the model's; or if
            the schedule is for another optimizer. Later, if no image of a batch counts.
        MemoryError
            If memory runs out. The step of a batch has then changed nothing, or the parameters, the optimizer and the
            running statistics all include it. To repeat or skip no batch, restore the latest checkpoint.
        KeyboardInterrupt
            After Ctrl-C: at once, or with a `Checkpoint` after the current batch, when the checkpoint is written. A
            `Checkpoint` does the same after SIGTERM.
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
                with ExitStack() as stack:  # calls every `on_exit`, even if some of them raise
                    for callback in reversed(self.callbacks):
                        stack.callback(callback.on_exit, self)
        return self.history

    @property
    def monitored(self) -> str:
        """Name of the metric that decides which epoch is best: on the validation data if there are any."""
        return f"{'train' if self.validation is None else 'validation'}_{self.task.best}"

    def stop(self, reason: str) -> None:
        """End `fit` after the current batch or, if called at the end of an epoch, after that epoch.

        An unfinished epoch is not evaluated, and only the losses of its batches are recorded.
        """
        self.stopped = reason

    def _train_epoch(self, train) -> Progress | None:
        """Train on all batches; return None if a callback stopped the run."""
        put_into(self._modes)
        progress, batches = self._begin(train)
        self.progress, clock = progress, self._compiling.clock
        start = clock() - progress.seconds
        with tqdm(  # shows when kernels are compiled, but does not count that time
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
            raise ValueError(f"`train` gave no batch in epoch {progress.epoch}; a generator can be used only once.")
        return progress

    def _step(self, images, labels: np.ndarray) -> BatchResult:
        """Train on one batch; return its result from before the step."""
        batch = self._whole_step(images, labels) if self._takes_whole_steps() else self._parts_of_step(images, labels)
        if self.scheduler and self.scheduler.every == "batch":
            self.scheduler.step()
        return batch

    def _takes_whole_steps(self) -> bool:
        """Whether no strategy and no callback intervenes between the parts of a step."""
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
        with all_or_nothing():
            batch = self._strategy.forward(self.model, self.loss, images, labels, self.task)
            self._note(batch, images)
            note(self.history.step_losses.pop)
            note_grads({*self.optimizer.params, *self.model.parameters()})
            self.optimizer.zero_grad()
            self._strategy.backward(self.model, self.loss)
            self._call("on_backward_end")
            self.optimizer.step()
        return batch

    def _note(self, batch: BatchResult, images) -> None:
        """Record the loss of a batch; raise if no image counts or the loss is not finite."""
        number = len(self.history.step_losses) + 1
        if not batch.counts:
            raise ValueError(
                f"No image of batch {number} counts: the weight of each is 0, or its label is the loss's "
                "`ignore_index`. Leave out such a batch."
            )
        if not math.isfinite(batch.loss):
            raise FloatingPointError(
                f"The loss of batch {number} is {batch.loss}; the learning rate was {self.optimizer.lr:g}. "
                f"{self._strategy.explain(self.model, images)}"
            )
        self.history.step_losses.append(batch.loss)

    def _end_epoch(self, progress: Progress) -> None:
        """Evaluate if there are validation data, and record the epoch."""
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
        """Return a new epoch, or one that a checkpoint left unfinished, and its batches."""
        resumption, self.resumption = self.resumption, None
        if resumption:
            return resumption.progress, resumption.batches(train)
        return Progress(self.task, len(self.history.epochs) + 1, self.optimizer.lr), train

    def _call(self, method: str) -> None:
        for callback in self.callbacks:
            getattr(callback, method)(self)

    def _heed_interrupt(self) -> None:
        """Raise after an interrupt, now that everything is consistent and saved."""
        if self.interrupt.came:
            raise KeyboardInterrupt

    @property
    def _talks(self) -> bool:
        return self.verbose and self._strategy.is_main_process

    def _shows_bar(self) -> bool:
        return self._talks and somebody_looks()

    def _say(self, text: str) -> None:
        """Print a line in the main process only; sys.stdout is None if a daemon closed it."""
        if self._talks and sys.stdout:
            tqdm.write(text)


def _checked(callbacks: Iterable[Callback]) -> list[Callback]:
    """Return the callbacks; raise a TypeError if one is something else."""
    callbacks = list(callbacks)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"`callbacks` must hold only Callbacks, not {type(callback).__name__}.")
    return callbacks


def _fitting(scheduler: Schedule | None, task: Task) -> Schedule | None:
    """Return the schedule; raise a ValueError if its mode is opposite to the direction of the task's best metric."""
    mode, better = getattr(scheduler, "mode", None), next(kind for kind in task.kinds if kind.name == task.best).better
    wanted = {"higher": "max", "lower": "min"}[better]
    if scheduler and scheduler.needs_metric and mode in ("min", "max") and mode != wanted:
        raise ValueError(
            f"`scheduler` has mode={mode!r}, but a {better} {task.best} is better for the task {task!r}: give the "
            f"schedule mode={wanted!r}, or the task another `best`."
        )
    return scheduler


def _length(batches) -> int | None:
    return len(batches) if hasattr(batches, "__len__") else None
