"""The estimators for scikit-learn: its own checks, and fastcnn's additions."""

import functools
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fastcnn
from fastcnn import models, nn, optim

pytest.importorskip("sklearn")
import joblib
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastcnn.sklearn import CNNClassifier, CNNRegressor

OPTIONS = {"learning_rate_init": 0.01, "max_iter": 25, "tol": None, "random_state": 0, "backend": "numpy"}
Classifier, Regressor = functools.partial(CNNClassifier, **OPTIONS), functools.partial(CNNRegressor, **OPTIONS)


CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}: {check.func.__name__}")
    for kind in (CNNClassifier, CNNRegressor)
    for estimator, check in estimator_checks_generator(kind(max_iter=50, backend="numpy"))
]
"""Checks of both estimators, all of which must pass."""


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_checks_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about convergence, and from the checks themselves
        check(estimator)


@pytest.fixture(scope="module")
def halves():
    """Make images (N, 2, 6, 6), labelled by the brighter half of the first channel."""
    X = np.random.default_rng(0).normal(size=(80, 2, 6, 6))
    return X, np.where(X[:, 0, :3].mean((1, 2)) > X[:, 0, 3:].mean((1, 2)), "above", "below")


@pytest.fixture(scope="module")
def differences(halves):
    """Make the same images with the difference in brightness as target."""
    X = halves[0]
    return X, 100 + 7 * (X[:, 0, :3].mean((1, 2)) - X[:, 0, 3:].mean((1, 2)))


def small(input_shape, outputs, rng):
    """Build a custom net with batch normalization."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * (input_shape[1] - 2) * (input_shape[2] - 2), outputs, rng=rng),
    )  # fmt: skip


@pytest.mark.parametrize("model", [None, "conv4_conv8", small], ids=["by default", "by name", "by a function"])
def test_images_are_learned(halves, model):
    X, y = halves
    classifier = Classifier(model).fit(X, y)
    assert classifier.score(X, y) > 0.9
    assert classifier.classes_.tolist() == ["above", "below"]
    assert (classifier.input_shape_, classifier.n_features_in_) == ((2, 6, 6), 72)
    probabilities = classifier.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(classifier.classes_[probabilities.argmax(axis=1)], classifier.predict(X))
    np.testing.assert_allclose(classifier.predict_log_proba(X), np.log(probabilities), rtol=1e-6)


def test_flat_rows_are_the_same_images(halves):
    X, y = halves
    given = Classifier(max_iter=2).fit(X, y).predict_proba(X)
    flat = Classifier(max_iter=2, input_shape=(2, 6, 6)).fit(X.reshape(80, 72), y)
    assert flat.input_shape_ == (2, 6, 6)
    np.testing.assert_array_equal(flat.predict_proba(X), given)
    np.testing.assert_array_equal(flat.predict_proba(X.tolist()), given)


def test_a_single_channel_may_be_left_out(halves):
    X, y = halves[0][:, 0], halves[1]
    with pytest.raises(ValueError, match=r"pass input_shape=\(1, 6, 6\) or input_shape=\(6, 6\)\."):
        Classifier().fit(X, y)
    classifier = Classifier(max_iter=2, input_shape=[1, 6, 6]).fit(X, y)
    np.testing.assert_array_equal(classifier.predict_proba(X), classifier.predict_proba(X[:, None]))


def test_signals_are_learned():
    X = np.random.default_rng(0).normal(size=(100, 2, 12))
    y = X[:, 0, :6].mean(axis=1) > X[:, 0, 6:].mean(axis=1)
    classifier = Classifier(input_shape=(2, 12)).fit(X, y)
    assert isinstance(classifier.model_[0], nn.Conv1d)
    assert classifier.score(X, y) > 0.9
    assert classifier.predict(X).dtype == bool


def test_features_have_a_hidden_layer(halves):
    X, y = halves
    classifier = Classifier().fit(X.reshape(80, 72), y)
    assert [type(layer) for layer in classifier.model_.layers] == [nn.Linear, nn.ReLU, nn.Linear]
    assert classifier.score(X.reshape(80, 72), y) > 0.9


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 5), (2, 1), (1, 7)])
def test_the_default_net_takes_any_size(shape):
    X, y = np.random.default_rng(0).normal(size=(6, *shape)), [0, 1, 2] * 2
    assert Classifier(max_iter=1, input_shape=shape).fit(X, y).predict_proba(X).shape == (6, 3)


@pytest.mark.parametrize(("given", "computed"), [("f4", "f4"), ("f8", "f8"), ("u1", "f4"), ("i8", "f4")])
def test_it_computes_in_the_dtype_of_X(halves, given, computed):
    X = (100 + 20 * halves[0].clip(-4, 4)).astype(given)
    classifier = Classifier(small, max_iter=1).fit(X, halves[1])
    assert {parameter.dtype for parameter in classifier.model_.parameters()} == {np.dtype(computed)}
    assert classifier.predict_proba(X).dtype == classifier.predict_proba(X.astype("f8")).dtype == computed


def test_inputs_are_standardized_by_channel(halves):
    X, y = halves
    moved = X * [[[3.0]], [[1e-3]]] + [[[100.0]], [[-7.0]]]
    expected = Classifier(max_iter=3).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(Classifier(max_iter=3).fit(moved, y).predict_proba(moved), expected, rtol=1e-6)


def test_a_constant_feature_says_nothing(halves):
    X, y = halves[0].reshape(80, 72).copy(), halves[1]
    X[:, 5] = 0.1
    classifier = Classifier(max_iter=2).fit(X, y)
    x, _ = classifier._standardized(X, y)
    assert abs(x[:, 5]).max() < 1e-12
    X[:, 5] = 0.6  # later it may vary
    assert classifier._standardized(X, y)[0][:, 5] == pytest.approx(0.5)


@pytest.mark.parametrize("random_state", [3, np.random.RandomState])
def test_it_is_the_same_again(halves, random_state):
    X, y = halves

    def state():
        return random_state if isinstance(random_state, int) else random_state(3)

    one, other = (
        Classifier(small, max_iter=2, batch_size=7, random_state=state()).fit(X, y).predict_proba(X) for _ in "12"
    )
    np.testing.assert_array_equal(one, other)
    assert np.any(one != Classifier(small, max_iter=2, batch_size=7, random_state=4).fit(X, y).predict_proba(X))


def test_the_backends_agree(halves):
    X, y = halves[0].astype(np.float32), halves[1]
    numba, numpy = (Classifier(max_iter=2, backend=name).fit(X, y).predict_proba(X) for name in ("numba", "numpy"))
    np.testing.assert_allclose(numba, numpy, rtol=1e-4)
    with fastcnn.use_backend("numpy"):
        np.testing.assert_array_equal(Classifier(max_iter=2, backend=None).fit(X, y).predict_proba(X), numpy)


def test_numbers_are_learned(differences):
    X, y = differences
    regressor = Regressor().fit(X, y)
    assert regressor.score(X, y) > 0.9
    assert (regressor.predict(X).shape, regressor.predict(X).dtype) == ((80,), np.float64)
    several = Regressor().fit(X, np.stack([y, -1e6 * y], axis=1))
    assert several.predict(X).shape == (80, 2)
    assert several.score(X, np.stack([y, -1e6 * y], axis=1)) > 0.9


def test_one_output_has_the_shape_of_the_targets(differences):
    X, y = differences
    assert Regressor(max_iter=1).fit(X, y[:, None]).predict(X).shape == (80, 1)


@pytest.mark.parametrize("Estimator", [Classifier, Regressor])
def test_partial_fit_is_an_epoch(halves, differences, Estimator):
    X, y = halves if Estimator is Classifier else differences
    whole, parts = Estimator(max_iter=3).fit(X, y), Estimator()
    for _ in range(3):
        parts.partial_fit(X, y, **{"classes": np.unique(y)} if Estimator is Classifier else {})
    np.testing.assert_array_equal(parts.predict(X), whole.predict(X))
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.n_iter_ == 3


def test_partial_fit_knows_its_classes(halves):
    X, y = halves
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        Classifier().partial_fit(X, y)
    classifier = Classifier().partial_fit(X[:9], y[:9], classes=["left", "below", "above"])
    assert classifier.predict_proba(X).shape == (80, 3)
    assert classifier.partial_fit(X, y).n_iter_ == 2
    with pytest.raises(ValueError, match=r"`y` holds .*'right'.*, but the classes are"):
        classifier.partial_fit(X[:2], ["above", "right"])
    with pytest.raises(ValueError, match=r"`classes` is .*'above'.* but must be"):
        classifier.partial_fit(X, y, classes=["above", "below"])
    with pytest.raises(ValueError, match="`early_stopping` must be False"):
        classifier.set_params(early_stopping=True).partial_fit(X, y)


def test_partial_fit_keeps_its_outputs(differences):
    X, y = differences
    regressor = Regressor().partial_fit(X, y)
    with pytest.raises(ValueError, match="`y` has 2 outputs but must have 1, as before"):
        regressor.partial_fit(X, np.stack([y, y], axis=1))


def test_warm_start_goes_on(halves):
    X, y = halves
    classifier = Classifier(max_iter=2, warm_start=True).fit(X, y)
    first = classifier.model_
    assert classifier.fit(X, y).n_iter_ == 4
    assert classifier.model_ is first
    whole = Classifier(max_iter=4).fit(X, y)
    np.testing.assert_array_equal(classifier.predict_proba(X), whole.predict_proba(X))
    assert classifier.set_params(warm_start=False).fit(X, y).n_iter_ == 2


def test_it_stops_when_nothing_improves(halves):
    X, y = halves
    classifier = Classifier(max_iter=50, tol=0.0, learning_rate_init=0.0, n_iter_no_change=3).fit(X, y)
    assert classifier.n_iter_ < 50
    with pytest.warns(ConvergenceWarning, match="CNNClassifier was still improving after `max_iter`=5 epochs"):
        Classifier(max_iter=5, tol=1e-4).fit(X, y)


def test_early_stopping_keeps_the_best_epoch(halves, differences):
    options = {"max_iter": 100, "tol": 1e-4, "early_stopping": True, "validation_fraction": 0.25, "n_iter_no_change": 5}
    for estimator, name, (X, y) in (
        (Classifier(**options), "validation_accuracy", halves), (Regressor(**options), "validation_r2", differences),
    ):  # fmt: skip
        estimator.fit(X, y)
        scores = [epoch.metrics[name] for epoch in estimator.history_.epochs]
        assert len(scores) < 100
        train, held_out = estimator._split(*estimator._checked(X, y, starts=False))
        assert (len(train[0]), len(held_out[0])) == (60, 20)
        assert estimator.score(*held_out) == pytest.approx(max(scores))


def test_a_last_batch_of_one_is_left_out(halves):
    X, y = halves
    classifier = Classifier(small, batch_size=79, max_iter=1).fit(X, y)
    assert classifier.history_.epochs[0].batches == 1
    assert Classifier(small, batch_size=50, max_iter=1).fit(X, y).history_.epochs[0].batches == 2  # the rest is 30
    assert Classifier(batch_size=1, max_iter=1).fit(X[:3], y[:3]).history_.epochs[0].batches == 3


@pytest.mark.parametrize("solver", ["sgd", "adamw", "rmsprop", functools.partial(optim.SGD, momentum=0.9)], ids=str)
def test_solvers(halves, solver):
    X, y = halves
    classifier = Classifier(solver=solver, learning_rate_init=0.01, weight_decay=0.1, max_iter=1).fit(X, y)
    assert (classifier._optimizer.lr, classifier._optimizer.weight_decay) == (0.01, 0.1)
    assert type(classifier._optimizer).__name__.lower() in (solver if isinstance(solver, str) else "sgd")


REFUSED = {
    "model of no such name": ({"model": "lenet6"}, "There is no model 'lenet6'"),
    "model too large": ({"model": "lenet5"}, "`image_size` is 6 but must be at least 16"),
    "a network": ({"model": models.LeNet5()}, "`model` must be a name, a function .* not LeNet5"),
    "no network": ({"model": lambda *given: 3}, "`model` must build a fastcnn.nn.Module, not int"),
    "other outputs": ({"model": lambda shape, outputs, rng: nn.Flatten()}, r"gives \(72,\) .* but \(2,\) is needed"),
    "another shape": ({"input_shape": (1, 6, 6)}, r"rows of shape \(2, 6, 6\), but `input_shape` is \(1, 6, 6\)"),
    "a shape of text": ({"input_shape": "266"}, "`input_shape` must be"),
    "a side of 0": ({"input_shape": (2, 0, 6)}, r"`input_shape\[1\]` is 0"),
    "solver": ({"solver": "lbfgs"}, "`solver` is 'lbfgs' but must be one of"),
    "solver of numbers": ({"solver": 1}, "`solver` must be a name or an optimizer's class"),
    "rate": ({"learning_rate_init": -1}, "`learning_rate_init` is -1"),
    "batch": ({"batch_size": 0}, "`batch_size` is 0"),
    "epochs": ({"max_iter": 0}, "`max_iter` is 0"),
    "patience": ({"tol": 0.1, "n_iter_no_change": 0}, "`n_iter_no_change` is 0"),
    "fraction": ({"tol": 0.1, "early_stopping": True, "validation_fraction": 1}, "`validation_fraction` is 1"),
    "no tol": ({"early_stopping": True}, "`tol` must be a number, not None, if `early_stopping`"),
    "flag": ({"warm_start": 1}, "`warm_start` must be True or False"),
    "loud": ({"verbose": 1}, "`verbose` must be True or False"),
    "backend": ({"backend": "cuda"}, "'cuda'"),
}


@pytest.mark.parametrize(("options", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_said(halves, options, sentence):
    classifier = Classifier(**options)
    with pytest.raises((TypeError, ValueError), match=sentence):
        classifier.fit(*halves)
    with pytest.raises(NotFittedError):
        classifier.predict(halves[0])


def test_names_need_images(halves):
    with pytest.raises(ValueError, match=r"needs square images, but a row of X has shape \(72,\)"):
        Classifier("lenet5").fit(halves[0].reshape(80, 72), halves[1])


def test_a_fit_that_fails_leaves_nothing_fitted(halves):
    classifier = Classifier(max_iter=1).fit(*halves)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError):
        classifier.set_params(solver="sgd", learning_rate_init=1e300, max_iter=20).fit(*halves)
    with pytest.raises(NotFittedError):
        classifier.predict(halves[0])


def test_rows_of_another_shape_are_refused(halves):
    X, y = halves
    classifier = Classifier(max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="X has 60 features, but CNNClassifier is expecting 72"):
        classifier.predict(X[:, :, 1:])
    with pytest.raises(ValueError, match=r"X has rows of shape \(6, 6, 2\), but `input_shape` is \(2, 6, 6\)"):
        classifier.predict(np.moveaxis(X, 1, -1))
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        classifier.predict(X[:0])
    with pytest.raises(ValueError, match=r"X has rows of shape \(2, 6, 6, 1\), but must have \(C, H, W\), \(C, L\) or"):
        Classifier().fit(X[..., None], y)


def test_it_is_quiet_unless_it_is_asked(halves, capfd):
    Classifier(max_iter=1).fit(*halves)
    assert capfd.readouterr() == ("", "")
    Classifier(max_iter=1, verbose=True).fit(*halves)
    assert capfd.readouterr().out.startswith("epoch 1: ")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_it_is_pickled_with_all_it_knows(halves, backend):
    X, y = halves[0].astype(np.float32), halves[1]
    one = Classifier(small, max_iter=2, backend=backend).fit(X, y)
    other = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(one.partial_fit(X, y).predict_proba(X), other.partial_fit(X, y).predict_proba(X))
    assert not hasattr(clone(other), "model_")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_it_goes_to_other_processes_as_a_files_memory(halves, backend, tmp_path):
    """joblib passes large arrays to processes as read-only memory maps."""
    X, y = halves[0].astype(np.float32), halves[1]
    one = Classifier(small, max_iter=2, backend=backend).fit(X, y)
    joblib.dump((one, X), tmp_path / "fitted")
    other, images = joblib.load(tmp_path / "fitted", mmap_mode="r")
    assert isinstance(images, np.memmap)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(images))
    np.testing.assert_array_equal(one.partial_fit(X, y).predict_proba(X), other.partial_fit(images, y).predict_proba(X))


def test_grid_search_pipeline_and_cross_validation(halves):
    X, y = halves
    flat = X.reshape(80, 72)
    search = GridSearchCV(Classifier(), {"learning_rate_init": [0.0, 0.01]}, cv=2).fit(X, y)
    assert search.best_params_ == {"learning_rate_init": 0.01}
    assert search.score(X, y) > 0.9
    pipeline = make_pipeline(MinMaxScaler(), Classifier(input_shape=(2, 6, 6)))
    assert cross_val_score(pipeline, flat, y, cv=2).mean() > 0.65
    assert pipeline.set_params(cnnclassifier__model=small).fit(flat, y).score(flat, y) > 0.9


def test_digits_are_read():
    """Classify scikit-learn's digits; the last 500 are held out."""
    X, y = load_digits(return_X_y=True)
    classifier = Classifier(input_shape=(1, 8, 8), max_iter=6, batch_size=50).fit(X[:-500].astype(np.float32), y[:-500])
    assert classifier.score(X[-500:], y[-500:]) > 0.9


def test_without_scikit_learn_it_says_what_to_install():
    code = """
import sys
sys.modules["sklearn"] = None
import fastcnn.sklearn
print(dir(fastcnn.sklearn))
try:
    fastcnn.sklearn.CNNClassifier
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, sentence = done.stdout.splitlines()
    assert names == "['CNNClassifier', 'CNNRegressor']"
    assert sentence == "CNNClassifier needs scikit-learn: pip install scikit-learn."
