"""The regressor."""

from typing import Self

import numpy as np
from sklearn.base import RegressorMixin

from fastcnn import nn, training
from fastcnn.sklearn.estimator import Estimator
from fastcnn.sklearn.inputs import Scale


class CNNRegressor(RegressorMixin, Estimator):
    """Scikit-learn regressor for images, signals or rows of features, by a convolutional network.

    It predicts one or several numbers for each row and minimizes `fastcnn.nn.MSELoss`. Targets are standardized by the
    mean and standard deviation of those in `fit` or in the first `partial_fit`, and `predict` undoes this. So the
    losses in `history_` are those of standardized numbers. Everything else is as in `CNNClassifier` and
    ``MLPRegressor``.

    Parameters
    ----------
    model, input_shape, solver, learning_rate_init, weight_decay, batch_size, max_iter, tol, n_iter_no_change
        As in `CNNClassifier`.
    early_stopping : bool, default False
        Whether to monitor R2 on held-out rows, at least two, instead of the training loss. The network then gets the
        weights of its best epoch.
    validation_fraction, random_state, warm_start, backend, verbose
        As in `CNNClassifier`.

    Attributes
    ----------
    model_ : Module
        The network. Predictions use a compiled copy.
    history_ : History
        Record of all epochs since the network was created.
    loss_curve_ : list of float
        Training loss of each of these epochs.
    n_iter_ : int
        Number of these epochs.
    input_shape_ : tuple of int
        Shape of one input.
    n_features_in_ : int
        Number of features, or of values in one input.
    feature_names_in_ : array of str
        Names of the columns of X, if it had names.

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
        """Train for one epoch; the first call creates the network and sets the standardization.

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
            Like `fit`; also if the number of outputs differs from the first call, or if `early_stopping` is True.
        """
        return self._partial_fit(X, y)

    def predict(self, X) -> np.ndarray:
        """Predict the numbers of each row.

        Parameters
        ----------
        X : array-like of shape (N, C, H, W), (N, C, L) or (N, features)

        Returns
        -------
        ndarray of shape (N,) or (N, outputs), float64
            In the shape of the targets.
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
            raise ValueError(f"`y` has {columns.shape[1]} outputs but must have {self._outputs()}, as before.")
        return self._target_scale.forward(columns, dtype)


def _columns(y: np.ndarray) -> np.ndarray:
    """Return the targets as float64 of shape (N, outputs)."""
    return np.asarray(y, np.float64).reshape(len(y), -1)
