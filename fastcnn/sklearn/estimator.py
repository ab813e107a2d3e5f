"""Base class of both estimators: scikit-learn's conventions around a `fastcnn.training.Trainer`."""

import math
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fastcnn import _validate, data, nn, optim, training, use_backend
from fastcnn.sklearn.inputs import Scale, checked_shape, shape_of
from fastcnn.sklearn.nets import built

_SOLVERS = {
    name.lower(): kind
    for name, kind in vars(optim).items()
    if isinstance(kind, type) and optim.Optimizer in kind.__mro__[1:]
}
Pair = tuple[np.ndarray, np.ndarray]  # inputs and targets
_FLOATS = (np.float32, np.float64)  # X of any other dtype is converted to the first


class Estimator(BaseEstimator):
    """Base class; a subclass defines how targets are converted for the network.

    ``_start_targets(y)`` learns the encoding from the first targets, ``_encoded(y)`` returns the encoded targets, and
    ``_outputs()`` the number of outputs. `_loss` and `_task` are classes, and `_better` names the task's metric that
    early stopping monitors.
    """

    _loss: Any
    _task: Any
    _better: str
    _is_multi_output = False

    model_: nn.Module
    history_: training.History
    input_shape_: tuple[int, ...]
    _optimizer: optim.Optimizer
    _rng: np.random.Generator
    _scale: Scale
    _dtype: np.dtype
    _infer: nn.Inference  # of the trained network; exists only if the estimator is fitted

    def __init__(
        self,
        model=None,
        *,
        input_shape=None,
        solver="adam",
        learning_rate_init=0.001,
        weight_decay=None,
        batch_size="auto",
        max_iter=200,
        tol=1e-4,
        n_iter_no_change=10,
        early_stopping=False,
        validation_fraction=0.1,
        random_state=None,
        warm_start=False,
        backend=None,
        verbose=False,
    ):
        self.model = model
        self.input_shape = input_shape
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.warm_start = warm_start
        self.backend = backend
        self.verbose = verbose

    def fit(self, X, y) -> Self:
        """Train on rows and their targets.

        Parameters
        ----------
        X : array-like of shape (N, C, H, W), (N, C, L) or (N, features)
        y : array-like of shape (N,), of a regressor also (N, outputs)

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter is out of range, or `X` and `y` do not fit each other, the parameters or the network.
        FloatingPointError
            If the loss is not finite. The estimator is not fitted then, or with `warm_start` still has its last fit.
        """
        starts = self._starts(again=_validate.flag("warm_start", self.warm_start))
        max_iter = _validate.count("max_iter", self.max_iter)
        early_stopping = _validate.flag("early_stopping", self.early_stopping)
        with self._computing():
            x, y = self._checked(X, y, starts)
            if starts:
                self._start_targets(y)
            train, held_out = self._split(x, y) if early_stopping else ((x, y), None)
            trainer = self._trained(starts, train, held_out, max_iter, self._stops(early_stopping))
        if self.tol is not None and not trainer.stopped:
            warnings.warn(
                f"{type(self).__name__} was still improving after `max_iter`={max_iter} epochs. More epochs may help; "
                "with `tol`=None it trains for `max_iter` epochs without this warning.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    @property
    def loss_curve_(self) -> list[float]:
        """The training loss of each epoch."""
        return [epoch.metrics["train_loss"] for epoch in self.history_.epochs]

    @property
    def n_iter_(self) -> int:
        """Number of epochs since the network was created."""
        return len(self.history_.epochs)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_infer")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _partial_fit(self, X, y, **known) -> Self:
        """Train for one more epoch."""
        if self.early_stopping:
            raise ValueError("`early_stopping` must be False for partial_fit, which has no validation data.")
        starts = self._starts(again=True)
        with self._computing():
            x, y = self._checked(X, y, starts)
            if starts:
                self._start_targets(y, **known)
            self._trained(starts, (x, y), None, 1, [])
        return self

    def _starts(self, again: bool) -> bool:
        """Whether to train a new network; the previous fit is discarded then, even if training fails."""
        if self.__sklearn_is_fitted__() and not again:
            del self._infer
        return not self.__sklearn_is_fitted__()

    def _computing(self) -> AbstractContextManager:
        return nullcontext() if self.backend is None else use_backend(self.backend)

    def _checked(self, X, y, starts: bool) -> tuple[np.ndarray, np.ndarray]:
        """Check X and y as scikit-learn does; return X in the shape of inputs, not yet scaled, and y."""
        X, rows = _flat(X)
        X, y = validate_data(
            self, X, y, reset=starts, dtype=_FLOATS, multi_output=self._is_multi_output, y_numeric=self._is_multi_output
        )
        return self._shaped(X, rows, checked_shape(self.input_shape) if starts else self.input_shape_), y

    def _shaped(self, X: np.ndarray, rows: tuple[int, ...] | None, input_shape: tuple[int, ...] | None) -> np.ndarray:
        return X.reshape(len(X), *shape_of(rows or X.shape[1:], input_shape))

    def _split(self, x: np.ndarray, y: np.ndarray) -> tuple[Pair, Pair]:
        """Split the rows into training and held-out rows."""
        part = _validate.number("validation_fraction", self.validation_fraction, 0, 1, below_high=True)
        state = check_random_state(self.random_state)
        x, held_x, y, held_y = train_test_split(x, y, test_size=part, random_state=state, stratify=self._strata(y))
        return (x, y), (held_x, held_y)

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        return None

    def _stops(self, early_stopping: bool) -> list[training.Callback]:
        if self.tol is None:
            if early_stopping:
                raise ValueError("`tol` must be a number, not None, if `early_stopping` is True.")
            return []
        tol = _validate.number("tol", self.tol, 0, math.inf, below_high=True)
        patience = _validate.count("n_iter_no_change", self.n_iter_no_change)
        best = [training.BestWeights()] if early_stopping else []
        return [training.EarlyStopping(patience, min_delta=tol), *best]

    def _trained(
        self, starts: bool, train: Pair, held_out: Pair | None, epochs: int, callbacks: list[training.Callback]
    ) -> training.Trainer:
        """Train a new network or the existing one, and compile it for prediction."""
        if starts:
            self._start(train[0])
        images, targets = self._standardized(*train)
        size = min(200, len(images)) if self.batch_size == "auto" else _validate.count("batch_size", self.batch_size)
        one_is_left = len(images) > size and len(images) % size == 1
        loader = data.DataLoader(images, targets, size, shuffle=True, rng=self._rng, drop_last=one_is_left)
        validation = None if held_out is None else self._standardized(*held_out)
        task = self._task(best="loss" if validation is None else self._better)
        trainer = training.Trainer(
            self.model_, self._optimizer, self._loss(), callbacks=callbacks, task=task, verbose=self.verbose
        )
        trainer.history = self.history_
        trainer.fit(loader, validation, epochs)
        self._infer = self.model_.compile_inference()
        return trainer

    def _start(self, x: np.ndarray) -> None:
        """Create a network for such inputs, with its scale, optimizer and history."""
        self._rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31, size=4))
        self._scale, self._dtype, self.input_shape_ = Scale(x), x.dtype, x.shape[1:]
        self.model_ = built(self.model, self.input_shape_, self._outputs(), self._rng, self._dtype)
        self._optimizer, self.history_ = self._optimizer_of(self.model_), training.History()

    def _standardized(self, x: np.ndarray, y: np.ndarray) -> Pair:
        return self._scale.forward(x, self._dtype), self._encoded(y, self._dtype)

    def _optimizer_of(self, model: nn.Module) -> optim.Optimizer:
        if isinstance(self.solver, str):
            solver = _SOLVERS[_validate.choice("solver", self.solver, tuple(_SOLVERS))]
        elif callable(self.solver):
            solver = self.solver
        else:
            raise TypeError(f"`solver` must be a name or an optimizer's class, not {type(self.solver).__name__}.")
        options = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        rate = _validate.number("learning_rate_init", self.learning_rate_init, 0)
        return solver(model.parameters(), lr=rate, **options)

    def _output(self, X) -> np.ndarray:
        """Output of the network."""
        check_is_fitted(self)
        X, rows = _flat(X)
        X = self._shaped(validate_data(self, X, reset=False, dtype=_FLOATS), rows, self.input_shape_)
        with self._computing():
            return self._infer(self._scale.forward(X, self._dtype))


def _flat(X) -> tuple[Any, tuple[int, ...] | None]:
    """Flatten the inputs in X to rows, as scikit-learn's checks need; also return the previous shape of an input."""
    X = np.asarray(X) if isinstance(X, list | tuple) else X
    if getattr(X, "ndim", 2) <= 2:
        return X, None
    return np.reshape(X, (len(X), math.prod(X.shape[1:]))), X.shape[1:]
