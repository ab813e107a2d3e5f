"""Accuracy, confusion, precision, recall, F1 and top-k against numbers computed by hand."""

import numpy as np
import pytest

from fastcnn.training import Evaluation

# class 0 is predicted as 0 0 1, class 1 as 1 1 1 0, class 2 as 0; class 3 has no images
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 2])
PREDICTIONS = np.array([0, 0, 1, 1, 1, 1, 0, 0])


def evaluation(labels=LABELS, predictions=PREDICTIONS, classes: int = 4) -> Evaluation:
    return Evaluation(0.25, np.eye(classes, dtype=np.float32)[predictions], labels)


def test_confusion_has_labels_in_rows_and_predictions_in_columns():
    assert evaluation().confusion.tolist() == [[2, 1, 0, 0], [1, 3, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert evaluation().predictions.tolist() == PREDICTIONS.tolist()
    assert evaluation().accuracy == 5 / 8


def test_precision_recall_and_f1_of_each_class():
    np.testing.assert_allclose(evaluation().precision, [2 / 4, 3 / 4, np.nan, np.nan])  # nothing is predicted as 2 or 3
    np.testing.assert_allclose(evaluation().recall, [2 / 3, 3 / 4, 0, np.nan])  # there is no image of class 3
    np.testing.assert_allclose(evaluation().f1, [4 / 7, 6 / 8, 0, np.nan])


def test_top_k_counts_the_first_of_equals():
    logits = np.array([[5.0, 4.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    found = Evaluation(0.0, logits, np.array([1, 0, 1]))
    assert [found.top_k(k) for k in (1, 2, 3, 4, 9)] == [0, 2 / 3, 2 / 3, 1, 1]
    assert found.top_k(1) == found.accuracy
    assert Evaluation(0.0, -np.arange(9.0)[None].repeat(2, 0), np.array([4, 5])).top_k() == 1 / 2  # of five
    with pytest.raises(ValueError, match="`k` is 0 but must be at least 1"):
        found.top_k(0)


def test_images_that_are_ignored_count_in_no_number():
    logits = np.array([[5.0, 4.0, 0.0], [1.0, 2.0, 3.0], [0.0, 9.0, 1.0], [9.0, 0.0, 0.0]])
    found = Evaluation(0.25, logits, np.array([0, 1, -100, -100]))
    assert found.counted.tolist() == [True, True, False, False]
    assert found.accuracy == 1 / 2
    assert found.confusion.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert [found.top_k(k) for k in (1, 2)] == [1 / 2, 1]
    np.testing.assert_allclose(found.recall, [1, 0, np.nan])
    assert str(found).startswith("2 images, loss 0.2500, accuracy 50.00%")
    assert repr(found) == "Evaluation(images=2, loss=0.2500, accuracy=0.5000)"
    assert (len(found.probabilities), len(found.predictions)) == (4, 4)  # one for each image
    assert Evaluation(0.25, logits, np.array([0, 1, 2, 2]), ignore_index=2).accuracy == 1 / 2


def test_probabilities_are_those_of_the_logits():
    logits = np.log(np.array([[1.0, 3.0], [4.0, 1.0]]))
    np.testing.assert_allclose(Evaluation(0.0, logits, np.array([0, 0])).probabilities, [[0.25, 0.75], [0.8, 0.2]])


def test_the_table_reads_well():
    assert str(evaluation()).splitlines() == [
        "8 images, loss 0.2500, accuracy 62.50%",
        "class  images  precision   recall       F1",
        "0           3     50.00%   66.67%   57.14%",
        "1           4     75.00%   75.00%   75.00%",
        "2           1          -    0.00%    0.00%",
        "3           0          -        -        -",
        "mean              62.50%   47.22%   44.05%",
    ]


def test_the_table_has_top_5_where_it_says_something():
    ten = Evaluation(0.0, np.eye(10), np.arange(10))
    assert str(ten).startswith("10 images, loss 0.0000, accuracy 100.00%, top-5 100.00%\n")
    assert "top-5" not in str(Evaluation(0.0, np.eye(5), np.arange(5)))
    assert ten.table([f"class number {i}" for i in range(10)]).splitlines()[2].startswith("class number 0       1  ")
    with pytest.raises(ValueError, match="`class_names` has 2 names but must have one for each of 10 classes"):
        ten.table(["a", "b"])


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        pytest.param(np.eye(2), np.array([0, 2]), ValueError, "`labels` holds 2, but", id="a label beyond the classes"),
        pytest.param(np.eye(2), np.array([0]), ValueError, "`labels` has shape", id="a label too few"),
        pytest.param(np.eye(2), np.array([0.0, 1.0]), TypeError, "`labels` must be a numpy array of int", id="floats"),
        pytest.param(np.eye(2), np.array([-100] * 2), ValueError, "`labels` holds nothing but -100", id="none counts"),
        pytest.param(np.eye(2), np.array([-1, 0]), ValueError, "`labels` holds -1, but", id="a label below 0"),
        pytest.param(np.ones(2), np.array([0, 1]), ValueError, "`logits` must have 2 dimensions", id="one axis"),
    ],
)
def test_what_does_not_fit_is_refused(logits, labels, error, message):
    with pytest.raises(error, match=message):
        Evaluation(0.0, logits, labels)
