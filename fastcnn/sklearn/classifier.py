"""The classifier."""

from typing import Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from fastcnn import functional, nn, training
from fastcnn.sklearn.estimator import Estimator


class CNNClassifier(ClassifierMixin, Estimator):
    """Scikit-learn classifier for images, signals or rows of features, by a convolutional network.

    It minimizes `fastcnn.nn.CrossEntropyLoss` on labels of any kind, one for each row of X. Parameters that
    scikit-learn's ``MLPClassifier`` also has have the same names, meanings and defaults.

    Rows of X are images (C, H, W), signals (C, L) or features. The network computes in float64 if X is float64, else in
    float32, which is about twice as fast. Inputs are standardized: the mean is subtracted and the result divided by the
    standard deviation, for each channel or feature, as computed from the first training rows.

    Parameters
    ----------
    model : str or callable, optional
        A name from `fastcnn.models.NAMES`, such as "lenet5" or "resnet20"; or a function ``model(input_shape, outputs,
        rng)`` that returns a new `fastcnn.nn.Module`, defined in a module if the estimator is to be pickled. By default
        two 3x3 convolutions with 16 and 32 filters, each with ReLU and max-pooling, and a linear layer; for features, a
        hidden layer of 100 with ReLU, and a linear one.
    input_shape : sequence of int, optional
        Shape of one input: (C, H, W), (C, L) or (features,). Rows of X may then be flat, as in pipelines, or without
        the axis of a single channel. It is required for rows with two axes, (H, W) or (C, L). Without it, flat rows are
        features.
    solver : str or callable, default "adam"
        The name of an optimizer of `fastcnn.optim` in lower case, such as "sgd"; or its class, possibly with options:
        ``functools.partial(optim.SGD, momentum=0.9)``.
    learning_rate_init : float, default 0.001
        The learning rate, which is constant.
    weight_decay : float, optional
        Weight decay of the optimizer; by default the optimizer's own default.
    batch_size : int or "auto", default "auto"
        Rows in a batch, drawn in a new order in each epoch. "auto" is 200, or all rows if there are fewer. A last batch
        with a single row is dropped, because batch normalization cannot train on it.
    max_iter : int, default 200
        Maximum number of epochs.
    tol : float or None, default 1e-4
        A change counts as an improvement only if it is larger than this. With None, as in ``SGDClassifier``, training
        always takes `max_iter` epochs.
    n_iter_no_change : int, default 10
        Epochs without improvement after which training stops.
    early_stopping : bool, default False
        Whether to monitor the score on held-out rows (stratified by class) instead of the training loss. The network
        then gets the weights of its best epoch.
    validation_fraction : float, default 0.1
        Fraction of the rows that is held out if `early_stopping` is True.
    random_state : int, RandomState or None, default None
        Determines the initial weights, the order of rows and the held-out rows; pass an int for reproducible results.
    warm_start : bool, default False
        Whether `fit` continues from the previous fit.
    backend : {"naive", "numpy", "numba"}, optional
        The backend that computes; by default the current one, see `fastcnn.get_backend`.
    verbose : bool, default False
        Whether to print a line for each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The labels, sorted.
    model_ : Module
        The network, without softmax. Predictions use a compiled copy.
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

    Notes
    -----
    Sample weights are not supported. Every process uses all processors: if scikit-learn starts several processes
    (``n_jobs=2``), set the environment variable FASTCNN_NUM_THREADS to the number of threads of each.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.sklearn import CNNClassifier
    >>> X = np.random.default_rng(0).normal(size=(60, 1, 6, 6))
    >>> y = np.where(X[:, 0, :3].mean(axis=(1, 2)) > X[:, 0, 3:].mean(axis=(1, 2)), "above", "below")
    >>> classifier = CNNClassifier(max_iter=40, tol=None, random_state=0, backend="numpy").fit(X, y)
    >>> classifier.predict(X[:3])
    array(['below', 'above', 'above'], dtype='<U5')
    >>> classifier.score(X, y) > 0.95
    True
    >>> bool(np.allclose(np.exp(classifier.predict_log_proba(X)), classifier.predict_proba(X)))
    True
    >>> flat = CNNClassifier(input_shape=(1, 6, 6), backend="numpy")
    >>> flat = flat.partial_fit(X.reshape(60, 36), y, classes=["above", "below"])
    >>> flat.input_shape_, flat.n_features_in_, flat.n_iter_
    ((1, 6, 6), 36, 1)
    """

    _loss, _task, _better = nn.CrossEntropyLoss, training.Classification, "accuracy"

    def partial_fit(self, X, y, classes=None) -> Self:
        """Train for one epoch; the first call creates the network and sets the standardization of inputs.

        Parameters
        ----------
        X : array-like of shape (N, C, H, W), (N, C, L) or (N, features)
        y : array-like of shape (N,)
        classes : array-like of shape (classes,), optional
            All labels that may occur; required in the first call.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            Like `fit`; also if `classes` is missing in the first call or differs in a later one, or if `early_stopping`
            is True.
        """
        known = self.__sklearn_is_fitted__()
        if classes is None and not known:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None and known and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"`classes` is {classes!r:.100} but must be {self.classes_!r:.100}, as in the first call.")
        return self._partial_fit(X, y, classes=classes)

    def predict(self, X) -> np.ndarray:
        """Predict the most probable label of each row.

        Parameters
        ----------
        X : array-like of shape (N, C, H, W), (N, C, L) or (N, features)

        Returns
        -------
        ndarray of shape (N,), dtype of the labels
        """
        output = self._output(X)
        return self.classes_[output.argmax(axis=1)]

    def predict_proba(self, X) -> np.ndarray:
        """Predict the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array-like of shape (N, C, H, W), (N, C, L) or (N, features)

        Returns
        -------
        ndarray of shape (N, classes), float32 or float64
        """
        output = self._output(X)
        with self._computing():
            return functional.softmax(output)

    def predict_log_proba(self, X) -> np.ndarray:
        """Predict the logarithms of the probabilities, without underflow.

        Parameters
        ----------
        X : array-like of shape (N, C, H, W), (N, C, L) or (N, features)

        Returns
        -------
        ndarray of shape (N, classes), float32 or float64
        """
        output = self._output(X)
        with self._computing():
            return functional.log_softmax(output)

    def _start_targets(self, y, classes=None):
        check_classification_targets(y)
        self.classes_ = np.unique(y if classes is None else classes)

    def _outputs(self) -> int:
        return len(self.classes_)

    def _strata(self, y):
        return y

    def _encoded(self, y, dtype) -> np.ndarray:
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"`y` holds {unknown[0]!r}, but the classes are {self.classes_.tolist()!r:.100}.")
        return np.searchsorted(self.classes_, y)
