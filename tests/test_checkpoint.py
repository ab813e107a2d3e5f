"""Checkpoint files are written completely or not at all, and refused if they are damaged or of another kind."""

import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fastcnn
from fastcnn import _files, data, nn, optim, training
from fastcnn.training import checkpoint
from fastcnn.training.state import generator_states
from tests.runs import BATCHES, EPOCHS, exact, make_run, outcome

ROOT = Path(fastcnn.__file__).parents[1]


@pytest.fixture(autouse=True)
def _numpy(monkeypatch):
    monkeypatch.setenv("FASTCNN_BACKEND", "numpy")


@pytest.fixture
def path(tmp_path) -> Path:
    """A checkpoint after one epoch, with a `BestWeights` callback."""
    trainer, loader, validation = make_run(training.BestWeights())
    trainer.fit(loader, validation, 1)
    path = tmp_path / "a.safetensors"
    training.save_checkpoint(path, trainer, loader, {"name": "small", "options": {"classes": 2}}, {"seed": 0})
    return path


def header(path: Path) -> dict:
    length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    return json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]


def forge(path: Path, change) -> None:
    """Let ``change(header, arrays)`` change a checkpoint, and update its checksum."""
    metadata, arrays = header(path), load_file(path)
    record = json.loads(metadata["fastcnn_checkpoint"])
    change(record, arrays)
    text = json.dumps(record)
    save_file(arrays, path, {"fastcnn_checkpoint": text, "sha256": checkpoint._sum(text, arrays)})


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_an_old_checkpoint_that_is_being_read_is_removed_later(tmp_path, monkeypatch):
    """Windows raises a PermissionError for it."""
    trainer, loader, validation = make_run(training.Checkpoint(tmp_path, keep=1))
    left = tmp_path / ".x.safetensors.1.part"
    left.touch()

    def busy(path, missing_ok=False):
        raise PermissionError(13, "The process cannot access the file", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", busy)
        trainer.fit(loader, validation, 2)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    trainer.fit(loader, validation, 1)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert not left.exists()


def test_an_old_checkpoint_that_somebody_else_removes_is_no_error(tmp_path, monkeypatch):
    trainer, loader, validation = make_run(training.Checkpoint(tmp_path, keep=1))
    unlink = Path.unlink

    def late(path, **how):
        if path.exists():
            unlink(path)
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", late)
    trainer.fit(loader, validation, 2)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_numbers_that_are_not_finite_come_back_from_strict_json(tmp_path):
    path, (trainer, loader, _) = tmp_path / "a", make_run()
    trainer.history.step_losses.extend([math.nan, math.inf, -math.inf, 0.1])
    training.save_checkpoint(path, trainer, loader)
    json.loads(header(path)["fastcnn_checkpoint"], parse_constant=refuse)
    assert repr(training.load_checkpoint(path).history.step_losses) == "[nan, inf, -inf, 0.1]"
    for architecture in ({"eps": math.nan}, {"eps": [math.inf]}):
        with pytest.raises(ValueError, match="`architecture` cannot be written as JSON: Out of range float values"):
            training.Checkpoint(tmp_path, architecture=architecture)
        with pytest.raises(ValueError, match="`architecture` cannot be written as JSON: Out of range float values"):
            training.save_checkpoint(path, trainer, loader, architecture)


@pytest.mark.parametrize("best", [math.nan, math.inf, -math.inf, np.float32(0.1), np.int64(3)], ids=repr)
def test_any_number_of_a_callback_comes_back(tmp_path, best):
    path, keeper = tmp_path / "a", training.EarlyStopping(3)
    trainer, loader, _ = make_run(keeper)
    keeper.best = best
    training.save_checkpoint(path, trainer, loader)
    json.loads(header(path)["fastcnn_checkpoint"], parse_constant=refuse)
    keeper.best = None
    training.load_checkpoint(path).restore(trainer, loader)
    np.testing.assert_array_equal(keeper.best, best)
    assert type(keeper.best) is type(np.asarray(best).item())


def test_losses_take_eight_bytes_each_and_may_be_a_list_as_in_earlier_versions(tmp_path):
    path, (trainer, loader, _) = tmp_path / "a", make_run()
    training.save_checkpoint(path, trainer, loader)
    before = path.stat().st_size
    losses = np.random.default_rng(0).random(10_000).tolist()
    trainer.history.step_losses.extend(losses)
    training.save_checkpoint(path, trainer, loader)
    assert path.stat().st_size - before < 80_100
    assert training.load_checkpoint(path).history.step_losses == losses
    forge(path, change("state.history.step_losses", losses))
    assert training.load_checkpoint(path).history.step_losses == losses
    trainer, loader, _ = make_run()
    training.load_checkpoint(path).restore(trainer, loader)
    assert trainer.history.step_losses == losses


def test_what_is_in_it(path):
    saved = training.load_checkpoint(str(path))
    assert saved.architecture == {"name": "small", "options": {"classes": 2}}
    assert saved.settings == {"seed": 0}
    assert saved.versions == training.environment()
    assert saved.steps == BATCHES
    assert len(saved.history.epochs) == 1
    assert saved.weights["1.num_batches_tracked"] == BATCHES
    trainer, *_ = make_run()
    trainer.model.load_state_dict(saved.weights)
    assert repr(saved) == f"SavedRun({str(path)!r}, steps=7, epochs=1)"


def test_any_reader_of_safetensors_finds_the_weights(path):
    assert load_file(path)["model.0.weight"].shape == (4, 1, 3, 3)
    assert json.loads(header(path)["fastcnn_checkpoint"])["format"] == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda data: data[:-1], "is not a complete safetensors file", id="the last byte is missing"),
        pytest.param(lambda data: data[:200], "is not a complete safetensors file", id="cut in the header"),
        pytest.param(lambda data: data + b"\0", "is not a complete safetensors file", id="a byte too many"),
        pytest.param(lambda data: b"", "is not a complete safetensors file", id="empty"),
        pytest.param(lambda data: b"\x80\x04K\x01." * 99, "is not a complete safetensors file", id="a pickle"),
        pytest.param(lambda data: data[:-9] + b"\1" + data[-8:], "is damaged", id="a changed byte in an array"),
        pytest.param(lambda data: data.replace(b'seed\\":0', b'seed\\":1').replace(b'seed\\": 0', b'seed\\": 1'),
                     "is damaged", id="a changed setting"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(path, spoil, message):
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(training.CheckpointError, match=rf"a\.safetensors {message}"):
        training.load_checkpoint(path)


def change(name: str, value):
    """Make a change for `forge` that sets ``value`` at a dotted place of the header."""

    def change(record, arrays):
        *outer, last = name.split(".")
        for key in outer:
            record = record[int(key) if isinstance(record, list) else key]
        record[int(last) if isinstance(record, list) else last] = value

    return change


@pytest.mark.parametrize(
    ("forgery", "message"),
    [
        pytest.param(change("format", 2), "has checkpoint format 2 but must have 1", id="another format"),
        pytest.param(change("mode", "frozen"), "entries that this version does not know: mode", id="an entry too many"),
        pytest.param(lambda record, arrays: record.pop("state"), "KeyError: 'state'", id="no state"),
        pytest.param(change("state", []), "TypeError", id="a list"),
        pytest.param(lambda record, arrays: record["state"].pop("history"), "KeyError: 'history'", id="no history"),
        pytest.param(change("state.history.step_losses", 3), "must be lists", id="no list of losses"),
        pytest.param(lambda record, arrays: arrays.pop("model.0.weight"), "'model.0.weight' is missing", id="no array"),
        pytest.param(change("state.scheduler.state.steps", {"$float": "many"}), "ValueError: .*'many'", id="no number"),
    ],
)
def test_a_header_that_lies_is_refused(path, forgery, message):
    forge(path, forgery)
    with pytest.raises(training.CheckpointError, match=message):
        training.load_checkpoint(path)


def test_other_files_are_refused(tmp_path):
    training.save_weights(nn.Linear(2, 2), tmp_path / "weights.safetensors")
    with pytest.raises(training.CheckpointError, match="holds arrays but is not a checkpoint; to read weights, use"):
        training.load_checkpoint(tmp_path / "weights.safetensors")
    with pytest.raises(FileNotFoundError, match="none"):
        training.load_checkpoint(tmp_path / "none.safetensors")


def wider_array(record, arrays):
    arrays["model.0.weight"] = np.zeros((5, 1, 3, 3), np.float32)


def another_dtype(record, arrays):
    arrays["optimizer.state.mean.0"] = arrays["optimizer.state.mean.0"].astype(np.float64)


@pytest.mark.parametrize(
    ("forgery", "message"),
    [
        pytest.param(wider_array, r"`model\.0\.weight` has shape \(5, 1, 3, 3\) but must have \(4, 1, 3, 3\)",
                     id="an array's shape"),
        pytest.param(lambda record, arrays: record["state"]["model"].update({"0.weight": 3}),
                     r"`model\.0\.weight` must be an array of shape \(4, 1, 3, 3\), not 3", id="a number for an array"),
        pytest.param(another_dtype, r"`optimizer\.state\.mean\.0` is float64 but must be float32", id="its dtype"),
        pytest.param(change("state.optimizer.state.param_groups.0.lr", "high"), r"\.lr` must be a number like ",
                     id="text for a number"),
        pytest.param(change("state.optimizer.state.param_groups.0.lr", {"$array": "model.9.bias"}),
                     r"\.lr` must be a number like .*, not an array of shape \(2,\)", id="an array for a number"),
        pytest.param(change("state.optimizer.state.param_groups.0", [3]),
                     r"`optimizer\.state\.param_groups\.0` must have 'params', .*, not be a list of 1",
                     id="a list for a dict"),
        pytest.param(change("state.optimizer.state.steps.0", 1.5), "`optimizer.state.steps.0` must be a number like 14",
                     id="half a step"),
        pytest.param(lambda record, arrays: record["state"]["optimizer"]["state"]["square"].pop(),
                     "`optimizer.state.square` must be a list of 8, not a list of 7", id="a buffer too few"),
        pytest.param(lambda record, arrays: record["state"]["generators"].update({"5.rng": {}}),
                     "`generators.5.rng.bit_generator` is missing",
                     id="a generator without a state"),
        pytest.param(lambda record, arrays: record["state"]["model"].pop("9.bias"),
                     r"`model\.9\.bias` is missing \(shape \(2,\)\)", id="a weight that is missing"),
        pytest.param(change("state.model.more", {"$array": "model.9.bias"}),
                     r"`model\.more` is unexpected \(shape \(2,\)\)", id="a weight too many"),
        pytest.param(change("state.more", 1), "The state has model, .*more but must have", id="a part too many"),
        pytest.param(change("state.optimizer.state.amsgrad", True), r"`optimizer\.state\.amsgrad` is unexpected",
                     id="an optimizer that knows more"),
        pytest.param(change("state.scheduler.state.cycles", 3), r"`scheduler\.state\.cycles` is unexpected",
                     id="a schedule that knows more"),
        pytest.param(change("state.callbacks.0.state.more", 1), r"`BestWeights\.more` is unexpected",
                     id="a callback that knows more"),
        pytest.param(change("state.loader.workers", 3), "must be a dictionary with rng", id="a loader that knows more"),
        pytest.param(change("state.loader.batches", 99), "99 batches", id="batches that the loader has not"),
        pytest.param(change("state.loader.rng.state.state", -1), "rng", id="a generator's state below 0"),
        pytest.param(change("state.callbacks.0.state", {"best": None, "weights": {}, "buffers": {}}), None,
                     id="no best weights are as good"),
        pytest.param(change("state.callbacks.0.state.buffers", {}), r"`BestWeights\.buffers\.mean` is missing",
                     id="best weights without the optimizer's buffers"),
        pytest.param(lambda record, arrays: record["state"]["callbacks"][0]["state"]["weights"].pop("9.bias"),
                     r"`BestWeights\.weights\.9\.bias` is missing", id="best weights of something else"),
        pytest.param(change("state.callbacks.0.state", 3), "list of dicts with class and state", id="no callback"),
        pytest.param(change("state.callbacks.0", 3), "list of dicts with class and state", id="a number"),
        pytest.param(change("state.progress", {"epoch": 2}), "Progress must have epoch, lr", id="half a progress"),
        pytest.param(change("state.progress", 7), "Progress must have epoch, lr", id="no progress"),
        pytest.param(change("state.more", 7), "but must have model, generators", id="a part too many"),
    ],
)  # fmt: skip
def test_what_does_not_fit_changes_nothing(path, forgery, message):
    forge(path, forgery)
    trainer, loader, validation = make_run(training.BestWeights())
    trainer.fit(loader, validation, 2)
    before = exact(outcome(trainer, loader))
    saved = training.load_checkpoint(path)
    if message is None:
        saved.restore(trainer, loader)
        return
    with pytest.raises(training.CheckpointError, match=rf"a\.safetensors does not fit this run: .*{message}"):
        saved.restore(trainer, loader)
    assert exact(outcome(trainer, loader)) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"optimizer": "SGD"}, "`optimizer.class` is 'Adam' but here it is 'SGD'", id="optimizer"),
        pytest.param({"schedule": "StepLR"}, "`scheduler.class` is 'OneCycleLR' but here", id="schedule"),
        pytest.param({"schedule": None}, "`scheduler` must be None", id="no schedule"),
        pytest.param({"batch_size": 8}, "`state` has batch_size 16 but this loader has 8", id="batch size"),
    ],
)
def test_another_run_is_named(path, options, message):
    trainer, loader, _ = make_run(training.BestWeights(), **options)
    before = exact(outcome(trainer, loader))
    with pytest.raises(training.CheckpointError, match=message):
        training.load_checkpoint(path).restore(trainer, loader)
    assert exact(outcome(trainer, loader)) == before


def in_an_earlier_version(record: dict, _) -> None:
    """Convert a checkpoint to the format of versions without parameter groups."""
    run = record["state"]
    for part in (run["optimizer"]["state"], *(callback["state"].get("buffers", {}) for callback in run["callbacks"])):
        part.pop("largest", None)
    (group,) = run["optimizer"]["state"].pop("param_groups")
    run["optimizer"]["state"] |= {name: value for name, value in group.items() if name not in ("params", "amsgrad")}

    def alone(state: dict) -> None:
        (state["first_lr"],) = state.pop("base_lrs")
        state.pop("three_phase", None)
        for name in ("max_lr", "base_momentum", "max_momentum", "min_lr"):
            if name in state:
                (state[name],) = state[name]
        for part in state.get("schedulers", []):
            alone(part)

    if run["scheduler"]:
        alone(run["scheduler"]["state"])


@pytest.mark.parametrize(
    "options",
    [
        {}, {"optimizer": "SGD", "schedule": "StepLR"}, {"optimizer": "SGD", "schedule": None},
        {"optimizer": "SGD", "schedule": "SequentialLR"},
    ],
    ids=["Adam and one cycle", "SGD and steps", "SGD alone", "SGD and a sequence"],
)  # fmt: skip
def test_a_run_of_an_earlier_version_goes_on(tmp_path, options):
    trainer, loader, validation = make_run(training.BestWeights(), **options)
    trainer.fit(loader, validation, 1)
    training.save_checkpoint(tmp_path / "a", trainer, loader)
    forge(tmp_path / "a", in_an_earlier_version)
    trainer.fit(loader, validation, 1)
    twin, again, _ = make_run(training.BestWeights(), **options)
    training.load_checkpoint(tmp_path / "a").restore(twin, again)
    twin.fit(again, validation, 1)
    assert exact(outcome(twin, again)) == exact(outcome(trainer, loader))


def test_another_schedule_than_that_of_an_earlier_version_is_named(path):
    forge(path, in_an_earlier_version)
    trainer, loader, _ = make_run(training.BestWeights(), schedule="StepLR")
    before = exact(outcome(trainer, loader))
    with pytest.raises(training.CheckpointError, match=r"`scheduler\.class` is 'OneCycleLR' but here it is"):
        training.load_checkpoint(path).restore(trainer, loader)
    assert exact(outcome(trainer, loader)) == before


def test_sgd_goes_on_without_the_decay_that_it_once_had(tmp_path):
    trainer, loader, validation = make_run(optimizer="SGD", schedule=None)
    trainer.fit(loader, validation, 1)
    for name, value in {"a": 0.0, "b": 0.1}.items():
        training.save_checkpoint(tmp_path / name, trainer, loader)
        forge(tmp_path / name, in_an_earlier_version)
        forge(
            tmp_path / name, lambda record, _, v=value: record["state"]["optimizer"]["state"].update(decay_per_step=v)
        )
    twin, loader, _ = make_run(optimizer="SGD", schedule=None)
    with pytest.raises(training.CheckpointError, match=r"`optimizer\.state\.decay_per_step` is unexpected"):
        training.load_checkpoint(tmp_path / "b").restore(twin, loader)
    training.load_checkpoint(tmp_path / "a").restore(twin, loader)
    np.testing.assert_array_equal(twin.optimizer.velocity[0], trainer.optimizer.velocity[0])


def test_other_callbacks_are_named(path):
    trainer, loader, _ = make_run(training.EarlyStopping(3))
    with pytest.raises(training.CheckpointError, match=r"are \['BestWeights'\] in .* but \['EarlyStopping'\] in"):
        training.load_checkpoint(path).restore(trainer, loader)


def test_another_bit_generator_is_named(path):
    trainer, loader, _ = make_run(training.BestWeights())
    trainer.model[8].rng = np.random.Generator(np.random.MT19937(0))
    with pytest.raises(training.CheckpointError, match="bit_generator` is 'PCG64' but here it is 'MT19937'"):
        training.load_checkpoint(path).restore(trainer, loader)


def test_a_generator_whose_state_is_an_array(tmp_path):
    def make(seed):
        model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5, rng=np.random.Generator(np.random.MT19937(seed))))
        trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
        return trainer, data.DataLoader(np.eye(2, dtype=np.float32), np.arange(2), 1)

    first, second = make(1), make(2)
    training.save_checkpoint(tmp_path / "a", *first)
    training.load_checkpoint(tmp_path / "a").restore(*second)
    assert first[0].model[1].rng.random() == second[0].model[1].rng.random()


def test_a_shared_generator_has_each_of_its_names():
    shared = nn.Dropout(0.5, rng=np.random.default_rng(0))
    states = generator_states(nn.Sequential(shared, nn.Linear(2, 2), shared))
    assert states == dict.fromkeys(("0.rng", "2.rng"), shared.rng.bit_generator.state)


def test_what_cannot_be_saved_is_said_before_the_training(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        training.Checkpoint(tmp_path, settings={"folder": tmp_path})


def test_a_state_that_cannot_be_saved_is_named(tmp_path):
    class Odd(training.Callback):
        def state_dict(self):
            return {"path": tmp_path}

    trainer, loader, _ = make_run(Odd())
    with pytest.raises(TypeError, match=r"`callbacks\.0\.state\.path` is .*, and a (Posix|Windows)Path cannot"):
        training.save_checkpoint(tmp_path / "a", trainer, loader)


# the folder of a run


def run(folder: Path, epochs: int = EPOCHS, callbacks=(), **options) -> training.Trainer:
    trainer, loader, validation = make_run(training.Checkpoint(folder, **options), *callbacks)
    if saved := training.latest_checkpoint(folder):
        saved.restore(trainer, loader)
    trainer.fit(loader, validation, epochs)
    return trainer


def steps(folder: Path) -> list[int]:
    return [checkpoint.steps(path) for path in checkpoint.checkpoints(folder)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"keep": 9}, [7, 14, 21], id="each epoch"),
        pytest.param({"keep": 99, "every_steps": 4}, [4, 7, 8, 12, 14, 16, 20, 21], id="every four batches"),
        pytest.param({"every_steps": 4}, [20, 21], id="the last two are kept"),
        pytest.param({"keep": 1, "every_steps": 1}, [21], id="only the last is kept"),
        pytest.param({"keep": 99, "every_seconds": 3600}, [7, 14, 21], id="seldom"),
        pytest.param({"keep": 99, "every_seconds": 1e-9}, list(range(1, 22)), id="always"),
    ],
)
def test_when_checkpoints_are_written(tmp_path, options, expected):
    run(tmp_path / "new" / "folder", **options)
    assert steps(tmp_path / "new" / "folder") == expected


def test_a_stop_within_an_epoch_is_saved(tmp_path):
    class Enough(training.Callback):
        def on_batch_end(self, trainer):
            if len(trainer.history.step_losses) == 10:
                trainer.stop("enough")

    run(tmp_path, callbacks=[Enough()])
    assert steps(tmp_path) == [7, 10]


def test_the_latest_that_is_whole_is_taken(tmp_path):
    assert training.latest_checkpoint(tmp_path / "none") is None
    assert training.latest_checkpoint(tmp_path) is None
    run(tmp_path)
    assert training.latest_checkpoint(tmp_path).steps == 21
    newest, older = tmp_path / "checkpoint-00000021.safetensors", tmp_path / "checkpoint-00000014.safetensors"
    newest.write_bytes(newest.read_bytes()[:-5])
    with pytest.warns(UserWarning, match=r"00000021\.safetensors is not .* The previous checkpoint is tried"):
        assert training.latest_checkpoint(tmp_path).steps == 14
    with pytest.warns(UserWarning, match="The previous checkpoint is tried"):
        trainer = run(tmp_path, epochs=1)  # replaces the damaged one
    assert (len(trainer.history.epochs), steps(tmp_path)) == (3, [14, 21])
    newest.write_bytes(b"")
    older.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="is not a complete"),
        pytest.raises(training.CheckpointError, match=r"None of the 2 checkpoints in .* can be read: .*00000021"),
    ):
        training.latest_checkpoint(tmp_path)


def test_the_latest_is_found_while_a_run_replaces_it(tmp_path, monkeypatch):
    run(tmp_path, epochs=1)
    load, older = checkpoint.load_checkpoint, checkpoint.checkpoints(tmp_path)[-1]

    def load_late(path):
        if path == older and path.exists():
            path.rename(checkpoint.checkpoint_path(tmp_path, 8))  # what a reader sees of two writes and a removal
        return load(path)

    monkeypatch.setattr(checkpoint, "load_checkpoint", load_late)
    assert training.latest_checkpoint(tmp_path).path.name == "checkpoint-00000008.safetensors"


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links, which Windows may not allow")
def test_a_link_to_nothing_is_an_error(tmp_path):
    checkpoint.checkpoint_path(tmp_path, 8).symlink_to(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="checkpoint-00000008"):
        training.latest_checkpoint(tmp_path)


def test_a_run_does_not_write_over_one_that_came_further(tmp_path):
    run(tmp_path, epochs=1)
    trainer, loader, validation = make_run(training.Checkpoint(tmp_path))
    with pytest.raises(
        FileExistsError, match=r"00000007\.safetensors is from a run that has trained more batches .*\(0\)"
    ):
        trainer.fit(loader, validation, 1)
    assert steps(tmp_path) == [7]


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".checkpoint-00000003.safetensors.99.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("stays")
    run(tmp_path, epochs=1)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-00000007.safetensors", "notes.txt"]


def test_a_loader_without_a_state_is_refused(tmp_path):
    trainer, loader, validation = make_run(training.Checkpoint(tmp_path))
    with pytest.raises(TypeError, match=r"`train` must have state_dict and load_state_dict .* list has no state_dict"):
        trainer.fit(list(loader), validation, 1)


def test_a_folder_that_cannot_be_written_is_said_before_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    trainer, loader, validation = make_run(training.Checkpoint(tmp_path / "file" / "folder"))
    with pytest.raises(NotADirectoryError, match="folder"):
        trainer.fit(loader, validation, 1)
    assert trainer.history.step_losses == []


def test_a_failed_write_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    run(tmp_path, epochs=1)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(OSError, match=r"Cannot write .*checkpoint-00000014.* \([0-9,]+ bytes\): No space left"):
        run(tmp_path, epochs=1)
    assert os.listdir(tmp_path) == ["checkpoint-00000007.safetensors"]
    assert training.latest_checkpoint(tmp_path).steps == 7


@pytest.mark.skipif(os.name != "posix", reason="needs resource limits, which only POSIX has")
def test_a_disk_that_is_really_full(tmp_path):
    """The process may not write files larger than 10 kB."""
    code = f"""
import resource
from pathlib import Path
from tests.test_checkpoint import run
folder = Path({str(tmp_path)!r})
run(folder, epochs=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    run(folder, epochs=1)
except OSError as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FASTCNN_BACKEND": "numpy"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "Cannot write" in done.stdout.splitlines()[-1]
    assert "File too large" in done.stdout.splitlines()[-1]
    assert os.listdir(tmp_path) == ["checkpoint-00000007.safetensors"]
    assert training.latest_checkpoint(tmp_path).steps == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_steps": 0}, "`every_steps` is 0 but must be at least 1"),
        ({"every_seconds": -1}, "`every_seconds` is -1"),
        ({"keep": 0}, "`keep` is 0 but must be at least 1"),
    ],
    ids=["never", "before", "none"],
)
def test_numbers_out_of_range(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        training.Checkpoint(tmp_path, **options)
