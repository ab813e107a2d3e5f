"""The history of a run as files."""

import csv
import json
import math

import pytest

from fastcnn.training import Epoch, History
from tests.epochs import classified

HISTORY = History(
    [
        classified(1, 2, 0.5, 0.3, 0.91, 0.1, 0.97, 0.006, 120000.0),
        classified(2, 2, 0.25, 0.1, 0.97, 0.05, 1 / 3, 1e-7, 240000.0),
    ],
    [2.3, 0.9, 0.3, 0.1],
)


def test_json_holds_everything(tmp_path):
    HISTORY.to_json(tmp_path / "history.json")
    record = json.loads((tmp_path / "history.json").read_text())
    assert record["step_losses"] == [2.3, 0.9, 0.3, 0.1]
    assert record["epochs"] == [epoch.to_dict() for epoch in HISTORY.epochs]
    assert [kind["name"] for kind in record["metrics"]] == ["loss", "accuracy"]


def test_csv_holds_the_epochs_exactly(tmp_path):
    HISTORY.to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch", "batches", "seconds", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
        "lr", "images_per_second",
    ]  # fmt: skip
    assert [float(row["validation_accuracy"]) for row in rows] == [0.97, 1 / 3]
    assert [int(row["epoch"]) for row in rows] == [1, 2]


def test_no_epoch_is_a_file_too(tmp_path):
    History().to_json(tmp_path / "history.json")
    History().to_csv(tmp_path / "history.csv")
    assert json.loads((tmp_path / "history.json").read_text()) == {"metrics": [], "epochs": [], "step_losses": []}
    assert (tmp_path / "history.csv").read_text().count("\n") == 1


def test_the_best_is_an_epoch_that_was_validated():
    losses = {"train_loss": 0.3, "validation_loss": 0.2}
    history = History([Epoch(1, 2, 0.5, {"train_loss": 0.1}, 0.1, 9.0), Epoch(2, 2, 0.5, losses, 0.1, 9.0)])
    assert history.best("validation_loss").epoch == 2
    assert history.best("train_loss").epoch == 1


def test_histories_do_not_share_their_lists():
    History().step_losses.append(1.0)
    assert History().step_losses == []


def test_json_comes_back_exactly(tmp_path):
    path = tmp_path / "history.json"
    HISTORY.to_json(path)
    assert History.from_json(path) == HISTORY
    path.write_text(path.read_text().replace("120000.0", "120000"))  # as other programs may write it
    assert History.from_json(path) == HISTORY
    assert type(History.from_json(path).epochs[0].images_per_second) is float


def strict(text: str):
    """Parse JSON strictly by the standard, which has no NaN."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_number_that_is_not_finite_is_null_and_comes_back_as_nan(tmp_path):
    path, epochs = tmp_path / "history.json", [classified(1, 2, 0.5, 0.3, 0.91, math.nan, 0.97, math.inf, 120000.0)]
    History(epochs, [2.3, math.nan]).to_json(path)
    record = strict(path.read_text())
    assert (record["epochs"][0]["validation_loss"], record["epochs"][0]["lr"]) == (None, None)
    assert record["step_losses"] == [2.3, None]
    back = History.from_json(path)
    assert math.isnan(back.epochs[0].validation_loss)
    assert math.isnan(back.step_losses[1])
    assert back.epochs[0].train_loss == 0.3
    path.write_text(path.read_text().replace("null", "NaN"))  # as earlier versions wrote it
    assert math.isnan(History.from_json(path).epochs[0].validation_loss)
    path.write_text(path.read_text().replace('"batches": 2', '"batches": null'))
    with pytest.raises(ValueError, match="`batches` is None but must be of type int"):
        History.from_json(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "Expecting value", id="empty"),
        pytest.param("[]", "must have `epochs`, `step_losses` and `metrics`", id="a list"),
        pytest.param('{"epochs": [], "step_losses": 3}', "must be lists", id="a number for a list"),
        pytest.param('{"epochs": [], "step_losses": ["a"]}', "`step_losses` is 'a' but must be", id="text"),
        pytest.param('{"epochs": [{"epoch": 1}], "step_losses": []}', "An epoch must have epoch", id="half an epoch"),
        pytest.param('{"epochs": [3], "step_losses": [], "metrics": []}', "An epoch must have epoch", id="no epoch"),
        pytest.param('{"epochs": [], "step_losses": [], "metrics": [{"name": "loss", "more": 1}]}',
                     "`metrics` holds .* which is not a metric: ", id="a metric with more"),
        pytest.param('{"epochs": [], "step_losses": [], "more": 1}', "nothing else", id="more"),
    ],
)  # fmt: skip
def test_what_is_no_history_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "history.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"history\.json is not a history: .*{message}"):
        History.from_json(path)


def test_epochs_in_another_order_are_refused(tmp_path):
    History(HISTORY.epochs[::-1], []).to_json(tmp_path / "history.json")
    with pytest.raises(ValueError, match="must be numbered from 1"):
        History.from_json(tmp_path / "history.json")
