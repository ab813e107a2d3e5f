"""A classifier."""

from typing import Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from fastcnn import functional, nn, training
from fastcnn.sklearn.estimator import Estimator


class CNNClassifier(ClassifierMixin, Estimator):
    """A convolutional network that classifies images, signals or rows of features, as an estimator of scikit-learn.

    It learns by `fastcnn.nn.CrossEntropyLoss`, from labels of any kind, one for each row of X. Parameters that
    scikit-learn's ``MLPClassifier`` has, too, have their names, meanings and defaults from there.

    Rows of X are images (C, H, W), signals (C, L) or features. The network computes in float64 where X is float64, and
    else in float32, which is about twice as fast. It is shown inputs that are standardized: minus the mean, over the
    standard deviation, of each channel or feature of the rows that the network first learns from.

    Parameters
    ----------
    model : str or callable, optional
        A name of `fastcnn.models.NAMES`, as "lenet5" or "resnet20"; or a function ``model(input_shape, outputs, rng)``
        that returns a new `fastcnn.nn.Module`, defined in a module if the estimator is to be pickled. By default two
        3x3 convolutions of 16 and 32 filters, each with ReLU and max-pooling, and a linear layer; for features, a
        hidden layer of 100 with ReLU, and a linear one.
    input_shape : sequence of int, optional
        Of one input: (C, H, W), (C, L) or (features,). Rows of X may then be flat, as pipelines have them, or leave out
        a single channel. It is needed where they have two axes, (H, W) or (C, L); flat rows are features without it.
    solver : str or callable, default "adam"
        The name of an optimizer of `fastcnn.optim` in small letters, as "sgd"; or its class, perhaps with options:
        ``functools.partial(optim.SGD, momentum=0.9)``.
    learning_rate_init : float, default 0.001
        The learning rate, which stays as it is.
    weight_decay : float, optional
        Of the optimizer, by default its own.
    batch_size : int or "auto", default "auto"
        Rows in a batch, drawn in a new order in each epoch. "auto" is 200, or all rows where there are fewer. A last
        batch of a single row is left out of its epoch: batch normalization cannot learn from one.
    max_iter : int, default 200
        Epochs at most.
    tol : float or None, default 1e-4
        What is not more than this is no improvement. With None, as in ``SGDClassifier``, there are `max_iter` epochs.
    n_iter_no_change : int, default 10
        Epochs without improvement after which training stops.
    early_stopping : bool, default False
        Whether what is to improve is the score of rows that are held out, the same part of each class, and not the loss
        of those that are trained on. The network then has the weights of its best epoch.
    validation_fraction : float, default 0.1
        Part of the rows that is held out if `early_stopping`.
    random_state : int, RandomState or None, default None
        Where initial weights, order of rows and what is held out come from; an int makes `fit` the same again.
    warm_start : bool, default False
        Whether `fit` goes on from what was fitted before.
    backend : {"naive", "numpy", "numba"}, optional
        What computes; by default the current backend, see `fastcnn.get_backend`.
    verbose : bool, default False
        Whether to print a line for each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The labels, sorted.
    model_ : Module
        The network, without softmax. Predictions come from a compiled copy.
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

    Notes
    -----
    There are no sample weights. Every process computes on all processors: where scikit-learn has several of them
    (``n_jobs=2``), set the environment variable FASTCNN_NUM_THREADS to the threads of each.

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
        """Train for an epoch; the first call makes the network, and is what inputs are standardized by.

        Parameters
        ----------
        X : array-like of shape (N, C, H, W), (N, C, L) or (N, features)
        y : array-like of shape (N,)
        classes : array-like of shape (classes,), optional
            All labels that there will be: needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As `fit`; if `classes` are missing in the first call, or others in a later one; if `early_stopping`.
        """
        known = self.__sklearn_is_fitted__()
        if classes is None and not known:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None and known and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"`classes` is {classes!r:.100} but was {self.classes_!r:.100} in the first call.")
        return self._partial_fit(X, y, classes=classes)

    def predict(self, X) -> np.ndarray:
        """The most probable label of each row.

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
        """How probable each class is, in the order of `classes_`.

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
        """Logarithms of `predict_proba`, of which none is too small for a float.

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
