"""What a run records, as files."""

import csv
import json

from fastcnn.training import Epoch, History

HISTORY = History(
    [
        Epoch(1, 2, 0.5, 0.3, 0.91, 0.1, 0.97, 0.006, 120000.0),
        Epoch(2, 2, 0.25, 0.1, 0.97, 0.05, 1 / 3, 1e-7, 240000.0),
    ],
    [2.3, 0.9, 0.3, 0.1],
)


def test_json_holds_everything(tmp_path):
    HISTORY.to_json(tmp_path / "history.json")
    record = json.loads((tmp_path / "history.json").read_text())
    assert record["step_losses"] == [2.3, 0.9, 0.3, 0.1]
    assert [Epoch(**epoch) for epoch in record["epochs"]] == HISTORY.epochs


def test_csv_holds_the_epochs_exactly(tmp_path):
    HISTORY.to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch", "batches", "seconds", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr",
        "images_per_second",
    ]  # fmt: skip
    assert [float(row["test_accuracy"]) for row in rows] == [0.97, 1 / 3]
    assert [int(row["epoch"]) for row in rows] == [1, 2]


def test_no_epoch_is_a_file_too(tmp_path):
    History().to_json(tmp_path / "history.json")
    History().to_csv(tmp_path / "history.csv")
    assert json.loads((tmp_path / "history.json").read_text()) == {"epochs": [], "step_losses": []}
    assert (tmp_path / "history.csv").read_text().count("\n") == 1


def test_histories_do_not_share_their_lists():
    History().step_losses.append(1.0)
    assert History().step_losses == []
