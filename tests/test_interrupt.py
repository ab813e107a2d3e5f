"""Ctrl-C and SIGTERM in a run with checkpoints: a checkpoint is saved before the run ends."""

import signal
import threading

import pytest

from fastcnn import training
from tests.runs import BATCHES, EPOCHS, exact, make_run, outcome, remaining

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def _numpy(monkeypatch):
    monkeypatch.setenv("FASTCNN_BACKEND", "numpy")


class CtrlC(training.Callback):
    """Press Ctrl-C, or send other signals, after a number of batches: at the end of a batch, an epoch, or the run."""

    def __init__(self, batches: int, signals: tuple[int, ...] = (signal.SIGINT,), when: str = "batch"):
        self.batches, self.signals, self.when = batches, signals, when

    def press(self, trainer, when: str):
        if len(trainer.history.step_losses) == self.batches and when == self.when:
            for number in self.signals:
                signal.raise_signal(number)

    def on_batch_end(self, trainer):
        self.press(trainer, "batch")

    def on_evaluation_end(self, trainer):
        self.press(trainer, "evaluation")

    def on_fit_end(self, trainer):
        self.press(trainer, "run")


def interrupted(folder, press: CtrlC) -> training.Trainer:
    before = handlers()
    trainer, loader, validation = make_run(training.Checkpoint(folder), press)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(loader, validation, EPOCHS)
    assert handlers() == before
    return trainer


def handlers() -> list:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_run_goes_on_as_if_it_had_not_been_interrupted(tmp_path, number):
    trainer, loader, validation = make_run()
    trainer.fit(loader, validation, EPOCHS)
    expected = exact(outcome(trainer, loader))
    interrupted(tmp_path, CtrlC(BATCHES + 3, (number,)))
    saved = training.latest_checkpoint(tmp_path)
    assert saved.steps == BATCHES + 3
    trainer, loader, validation = make_run()
    saved.restore(trainer, loader)
    trainer.fit(loader, validation, remaining(trainer))
    assert exact(outcome(trainer, loader)) == expected


@pytest.mark.parametrize(
    ("press", "steps"),
    [
        pytest.param(CtrlC(BATCHES, when="evaluation"), BATCHES, id="while evaluating"),
        pytest.param(CtrlC(EPOCHS * BATCHES, when="run"), EPOCHS * BATCHES, id="at the very end"),
        pytest.param(CtrlC(BATCHES + 3, (signal.SIGTERM, signal.SIGINT)), BATCHES, id="SIGTERM, then Ctrl-C"),
        pytest.param(CtrlC(BATCHES + 3, (signal.SIGINT,) * 2), BATCHES, id="twice: at once, without saving"),
    ],
)
def test_what_is_saved(tmp_path, press, steps):
    interrupted(tmp_path, press)
    assert training.latest_checkpoint(tmp_path).steps == steps


def test_a_handler_comes_back_after_a_run_without_interrupts_and_after_an_error(tmp_path):
    class Failing(training.Callback):
        def on_batch_end(self, trainer):
            assert all(now != then for now, then in zip(handlers(), before, strict=True))
            raise RuntimeError("no")

    before = handlers()
    trainer, loader, validation = make_run(training.Checkpoint(tmp_path))
    trainer.fit(loader, validation, 1)
    assert handlers() == before
    trainer, loader, validation = make_run(training.Checkpoint(tmp_path / "b"), Failing())
    with pytest.raises(RuntimeError, match="no"):
        trainer.fit(loader, validation, 1)
    assert handlers() == before


def test_a_run_in_another_thread_leaves_signals_alone(tmp_path):
    trainer, loader, validation = make_run(training.Checkpoint(tmp_path))
    thread = threading.Thread(target=trainer.fit, args=(loader, validation, 1))
    thread.start()
    thread.join()
    assert len(trainer.history.epochs) == 1


@pytest.mark.parametrize(
    ("number", "handler"),
    [
        pytest.param(signal.SIGINT, signal.SIG_IGN, id="Ctrl-C ignored"),
        pytest.param(signal.SIGTERM, signal.SIG_IGN, id="SIGTERM ignored"),
        pytest.param(signal.SIGTERM, lambda number, frame: None, id="SIGTERM handled"),
    ],
)
def test_what_a_program_does_with_a_signal_itself_stays(tmp_path, number, handler):
    before = signal.signal(number, handler)
    try:
        trainer, loader, validation = make_run(training.Checkpoint(tmp_path), CtrlC(3, (number,)))
        trainer.fit(loader, validation, 1)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert len(trainer.history.epochs) == 1
