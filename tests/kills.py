"""Kill a run while it writes a checkpoint: before each line of the code that writes, and after some numbers of bytes.

python tests/kills.py FOLDER kills a fork of the process each time. It checks the files that are left, and that the run,
resumed from them, ends with the same result as an uninterrupted run. It prints the number of kills of each kind. For
test_loses_nothing.py.
"""

import itertools
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

from fastcnn import _files, training
from fastcnn.training import checkpoint, checkpoint_callback
from tests.runs import BATCHES, EPOCHS, exact, make_run, outcome, remaining

WRITING = {checkpoint_callback.Checkpoint._save.__code__, _files.write.__code__, _files._flush_folder.__code__}
LAST = 3  # the run is killed while it saves after this batch


class At(training.Callback):
    """Call a function after a number of batches, before the checkpoint is written."""

    def __init__(self, batches: int, act):
        self.batches, self.act = batches, act

    def on_batch_end(self, trainer):
        if len(trainer.history.step_losses) == self.batches:
            self.act()


def before_line(n: int):
    """Make a function that lets this process be killed after n - 1 lines of the code that writes."""
    lines = itertools.count(1)

    def trace(frame, event, arg):
        if frame.f_code in WRITING and event == "line" and next(lines) == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace if frame.f_code in WRITING else None

    return lambda: sys.settrace(trace)


def at_byte(n: int):
    """Make a function that lets the system kill this process when it writes more than n bytes to a file."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))

    return limit


def life(folder: Path, *callbacks, every_steps: int | None = None) -> dict:
    """Train to the end from the latest checkpoint."""
    trainer, loader, validation = make_run(*callbacks, training.Checkpoint(folder, every_steps))
    if saved := training.latest_checkpoint(folder):
        saved.restore(trainer, loader)
    trainer.fit(loader, validation, remaining(trainer))
    return exact(outcome(trainer, loader))


def killed(folder: Path, act) -> bool:
    """Train in a fork that calls ``act`` before it saves; return whether it was killed."""
    child = os.fork()
    if not child:
        try:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            life(folder, At(LAST, act), At(LAST + 1, lambda: os._exit(0)), every_steps=1)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL, -signal.SIGXFSZ), code
    return code != 0


def nothing_is_lost(folder: Path, whole) -> None:
    """Check that all checkpoints are complete, at most one batch is lost, and the resumed run has the same result."""
    whole_files = [training.load_checkpoint(path) for path in checkpoint.checkpoints(folder)]
    assert whole_files[-1].steps in (LAST - 1, LAST)
    assert len(whole_files) >= 2
    assert life(folder) == whole
    assert sorted(os.listdir(folder)) == [f"checkpoint-{n * BATCHES:08d}.safetensors" for n in (EPOCHS - 1, EPOCHS)]
    shutil.rmtree(folder)


def main(folder: Path) -> None:
    """Kill the run in all ways, and check each time that nothing is lost."""
    said, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115
    whole = life(folder / "whole")
    size = checkpoint.checkpoints(folder / "whole")[0].stat().st_size
    lines = 0
    while killed(folder / f"line {lines + 1}", before_line(lines + 1)):
        lines += 1
        nothing_is_lost(folder / f"line {lines}", whole)
    places = (0, 1, 8, 4096, size // 2, size * 9 // 10)
    for place in places:
        assert killed(folder / f"byte {place}", at_byte(place))
        assert [part.stat().st_size for part in (folder / f"byte {place}").glob(".*.part")] == [place]
        nothing_is_lost(folder / f"byte {place}", whole)
    print(f"{lines} lines, {len(places)} bytes", file=said)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
