"""A regressor."""

from typing import Self

import numpy as np
from sklearn.base import RegressorMixin

from fastcnn import nn, training
from fastcnn.sklearn.estimator import Estimator
from fastcnn.sklearn.inputs import Scale


class CNNRegressor(RegressorMixin, Estimator):
    """A convolutional network that says one or several numbers of each image, signal or row of features.

    It learns by `fastcnn.nn.MSELoss` numbers that are standardized, minus their mean, over their standard deviation, as
    `fit` or the first `partial_fit` was given them; `predict` gives what they were before. So `history_` is of
    standardized numbers. All else is as in `CNNClassifier`, and ``MLPRegressor``.

    Parameters
    ----------
    model, input_shape, solver, learning_rate_init, weight_decay, batch_size, max_iter, tol, n_iter_no_change
        As in `CNNClassifier`.
    early_stopping : bool, default False
        Whether what is to improve is R2 of rows that are held out, at least two, and not the loss of those that are
        trained on. The network then has the weights of its best epoch.
    validation_fraction, random_state, warm_start, backend, verbose
        As in `CNNClassifier`.

    Attributes
    ----------
    model_ : Module
        The network. Predictions come from a compiled copy.
    history_ : History
        Record of all epochs since the network was new.
    loss_curve_ : list of float
        The training loss of each of these.
    n_iter_ : int
        How many these are.
    input_shape_ : tuple of int
        Of one input.
    n_features_in_ : int
        Numbers in one input.
    feature_names_in_ : array of str
        Names of the columns of X, where it had such names.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.sklearn import CNNRegressor
    >>> X = np.random.default_rng(0).normal(size=(60, 1, 6, 6))
    >>> y = X[:, 0, :3].mean(axis=(1, 2)) - X[:, 0, 3:].mean(axis=(1, 2))
    >>> regressor = CNNRegressor(max_iter=60, tol=None, random_state=0, backend="numpy").fit(X, y)
    >>> regressor.predict(X[:3]).shape, regressor.score(X, y) > 0.9
    ((3,), True)
    >>> regressor.partial_fit(X, y).n_iter_
    61
    """

    _loss, _task, _better = nn.MSELoss, training.Regression, "r2"
    _is_multi_output = True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X, y) -> Self:
        """Train for an epoch; the first call makes the network, and is what inputs and targets are standardized by.

        Parameters
        ----------
        X : array-like of shape (N, C, H, W), (N, C, L) or (N, features)
        y : array-like of shape (N,) or (N, outputs)

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As `fit`; if there are other outputs than in the first call; if `early_stopping`.
        """
        return self._partial_fit(X, y)

    def predict(self, X) -> np.ndarray:
        """The numbers of each row.

        Parameters
        ----------
        X : array-like of shape (N, C, H, W), (N, C, L) or (N, features)

        Returns
        -------
        ndarray of shape (N,) or (N, outputs), float64
            As the targets had it.
        """
        output = self._output(X)
        output = self._target_scale.backward(output)
        return output[:, 0] if self._is_flat else output

    def _start_targets(self, y):
        self._is_flat = y.ndim == 1
        self._target_scale = Scale(_columns(y))

    def _outputs(self) -> int:
        return self._target_scale.mean.size

    def _encoded(self, y, dtype) -> np.ndarray:
        columns = _columns(y)
        if columns.shape[1] != self._outputs():
            raise ValueError(f"`y` has {columns.shape[1]} outputs, but {self._outputs()} were fitted.")
        return self._target_scale.forward(columns, dtype)


def _columns(y: np.ndarray) -> np.ndarray:
    """Of shape (N, outputs)."""
    return np.asarray(y, np.float64).reshape(len(y), -1)
