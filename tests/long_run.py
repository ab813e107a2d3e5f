"""Train for a long time, undisturbed and disturbed: the same bits, flat memory, and a bounded number of files.

python -m tests.long_run [--minutes 60] [--seed 0] [--gap 20] [--out FOLDER]

Two runs of ``fastcnn train`` begin with the same seed. One is left alone, and its memory, threads and files are
watched. The other one is interrupted, killed, paused, and used by other commands at random moments, and resumed each
time on another number of threads. At the end, both are compared at the same epoch. The exit code is 1 if anything is
wrong.
"""

import argparse
import contextlib
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn import data, training
from fastcnn.commands import records
from fastcnn.training import checkpoint
from tests.runs import exact, timeless

SETTINGS = (
    "--model", "small_mobilenet", "--image-size", 16, "--lazy", "--augment", "shift", "rotation", "cutout",
    "--batch-size", 32, "--validation", 0.1, "--ema", 0.99, "--clip-norm", 5, "--schedule", "plateau",
    "--schedule-options", "patience=20", "min_lr=1e-4", "--epochs", 1_000_000,
)  # fmt: skip
PICTURES = 400
FILES = {records.BEST, records.HISTORY, records.SETTINGS, records.TABLE, records.CURVES}
KEPT = 2  # checkpoints
MAY_GROW = {"memory": 4 << 20, "threads": 4, "open files": 4, "files": 2, "checkpoint bytes": 1000, "history bytes": 0}
PER_BATCH = {"memory": 100, "checkpoint bytes": 8, "history bytes": 25}  # the history has the loss of each batch
PER_EPOCH = {"memory": 4000, "checkpoint bytes": 600, "history bytes": 600}
SECONDS = 600  # within which each process must end


def write_pictures(folder: Path) -> Path:
    """Write built-in digits as pictures, one folder for each digit."""
    from PIL import Image

    images, _ = data.digits(PICTURES, 1)
    for i, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        path = folder / str(label) / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    return folder


def start(log: Path, *argv) -> subprocess.Popen:
    """Start a command of fastcnn in another process; what it prints is added to a file."""
    environment = {**os.environ, "PYTHONPATH": str(Path(fastcnn.__file__).parents[1])}
    command = [sys.executable, "-u", "-m", "fastcnn", *map(str, argv)]
    with open(log, "ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


class Run:
    """A run of ``fastcnn train`` in a folder."""

    def __init__(self, folder: Path, pictures: Path, seed: int):
        self.folder, self.log = folder, folder.with_suffix(".log")
        self._first = ("--data", pictures, "--seed", seed, *SETTINGS, "--out", folder, "--overwrite")

    def start(self, *options) -> subprocess.Popen:
        """Start it, or resume it if there is a checkpoint."""
        resumes = checkpoint.checkpoints(self.folder)
        return start(self.log, "train", *(("--resume", self.folder) if resumes else self._first), *options)

    def saved(self) -> training.SavedRun | None:
        """The newest checkpoint."""
        return training.latest_checkpoint(self.folder)

    def steps(self) -> int:
        """The number of batches in the newest checkpoint."""
        return max(map(checkpoint.steps, checkpoint.checkpoints(self.folder)), default=0)

    def strays(self) -> list[str]:
        """The names of the files that a run does not leave behind."""
        kept = [path.name for path in checkpoint.checkpoints(self.folder)][-KEPT:]
        return sorted({path.name for path in self.folder.glob("*")} - FILES - {*kept})


def digest(saved: training.SavedRun) -> str:
    """Digest of everything in a checkpoint that must be bit-identical: all of the run's state, except its times."""
    return hashlib.sha256(json.dumps(exact(timeless(saved._run))).encode()).hexdigest()


def between_epochs(saved: training.SavedRun) -> bool:
    """Whether a checkpoint was written at the end of an epoch."""
    return saved._run["progress"] is None


class Watch:
    """What is seen of a process and its folder while it trains."""

    def __init__(self, run: Run):
        self.run = run
        self.epochs: dict[int, tuple[int, str]] = {}  # number of batches -> number of epochs, and digest
        self.samples: list[dict[str, int]] = []

    def look(self, process: subprocess.Popen) -> None:
        """Take a sample, and the digest of an epoch that has just ended."""
        saved = self.run.saved()
        if saved and saved.steps not in self.epochs and between_epochs(saved):
            self.epochs[saved.steps] = len(saved.history.epochs), digest(saved)
        with contextlib.suppress(FileNotFoundError):  # the process has ended, or has removed the checkpoint
            if saved:
                sample = {"batches": saved.steps, "epochs": len(saved.history.epochs)}
                sample["files"] = len(os.listdir(self.run.folder))
                sample["checkpoint bytes"] = saved.path.stat().st_size
                sample["history bytes"] = (self.run.folder / records.HISTORY).stat().st_size
                self.samples.append(sample | resources(process.pid))

    def reached(self) -> int:
        """The number of batches of the last epoch that was seen; -1 before the first."""
        return max(self.epochs, default=-1)

    def __call__(self, enough: Callable[[], bool]) -> None:
        """Train undisturbed until it is enough, and look from time to time."""
        process = self.run.start("--checkpoint-every", 1e9)
        try:
            while not enough():
                assert process.poll() is None, f"The undisturbed run has ended; see {self.run.log}."
                self.look(process)
                time.sleep(0.5)
        finally:
            process.kill()
            process.wait()

    def growth(self) -> list[str]:
        """Print how the samples have changed since the warm-up; return what grew too much."""
        quarter, tenth = len(self.samples) // 4, max(1, len(self.samples) // 10)
        early, late = self.samples[quarter : quarter + tenth], self.samples[-tenth:]
        first, last = ({name: statistics.median(s[name] for s in part) for name in part[0]} for part in (early, late))
        batches, epochs = (last[name] - first[name] for name in ("batches", "epochs"))
        grown = []
        for name, before in first.items():
            most = max(sample[name] for sample in self.samples)
            print(f"  {name:18}{before:14,.0f}{last[name]:14,.0f}   most {most:,}")
            bound = MAY_GROW.get(name, np.inf) + PER_BATCH.get(name, 0) * batches + PER_EPOCH.get(name, 0) * epochs
            grown += [f"{name} grew from {before:,.0f} to {last[name]:,.0f}"] if last[name] - before > bound else []
        return grown


def resources(pid: int) -> dict[str, int]:
    """Resident bytes, threads and open files of a process; nothing without /proc."""
    of = Path("/proc", str(pid))
    if not of.exists():
        return {}
    status = dict(line.split(":", 1) for line in (of / "status").read_text().splitlines())
    files = len(os.listdir(of / "fd"))
    return {"memory": int(status["VmRSS"].split()[0]) * 1024, "threads": int(status["Threads"]), "open files": files}


class Disturbance:
    """Disturbs a run; counts what it did and lists what went wrong.

    Parameters
    ----------
    run : Run
    rng : numpy.random.Generator
        Draws what happens, and when.
    gap : float
        Mean number of seconds from one disturbance to the next.
    """

    def __init__(self, run: Run, rng: np.random.Generator, gap: float):
        self.run, self.rng, self.gap = run, rng, gap
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def __call__(self, until: float) -> None:
        """Let the run live many lives."""
        while time.monotonic() < until:
            threads = int(self.rng.integers(1, 4))
            self.counts[f"lives on {threads} threads"] += 1
            process = self.run.start("--threads", threads, "--checkpoint-every", self.rng.uniform(0, self.gap / 4))
            try:
                self._live(process, until)
            finally:
                process.kill()
                process.wait()

    def _live(self, process: subprocess.Popen, until: float) -> None:
        """Disturb a process until it ends; after ``until``, only by Ctrl-C."""
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(min(self.rng.exponential(self.gap), max(0, until - time.monotonic())))
            names = list(DISTURBANCES) if time.monotonic() < until else ["Ctrl-C"]
            name = names[self.rng.integers(len(names))]
            if process.poll() is None:
                self.counts[name] += 1
                wrong = DISTURBANCES[name](self, process)
                self.faults += [f"{name}: {wrong}"] if wrong else []
        if process.returncode not in ENDINGS and not self._stopped_python():
            self.faults.append(f"exit code {process.returncode}; see {self.run.log}")

    def _stopped_python(self) -> bool:
        """Whether Ctrl-C came before fastcnn, while Python itself was starting."""
        return self.run.log.read_text().endswith("\nKeyboardInterrupt\n")

    def signals(self, process: subprocess.Popen, *numbers: int) -> str | None:
        """Send signals that end the process, within a tenth of a second from each other."""
        for number in numbers:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.rng.uniform(0, 0.1))
        process.wait(SECONDS)
        strays = self.run.strays()
        return f"left {', '.join(strays)}" if strays and process.returncode == 130 else None

    def pause(self, process: subprocess.Popen) -> None:
        """Stop the process for a while."""
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.rng.exponential(self.gap / 10))
        process.send_signal(signal.SIGCONT)

    def command(self, *argv) -> str | None:
        """Use the run with another command; before there is anything to use, that must fail in one line."""
        log = self.run.folder.with_suffix(".command.log")
        log.unlink(missing_ok=True)
        usable = checkpoint.checkpoints(self.run.folder) and (self.run.folder / records.TABLE).exists()
        code = start(log, *argv).wait(SECONDS)
        said = log.read_text()
        fails = not usable and code == 1 and len(said.splitlines()) == 1
        return None if code == 0 or fails else f"{' '.join(map(str, argv))}: exit code {code}: {said}"

    def evaluate(self, process) -> str | None:
        """Evaluate the run."""
        return self.command("evaluate", self.run.folder)

    def predict(self, process) -> str | None:
        """Classify a picture."""
        picture = next(self.run.folder.with_name("pictures").glob("*/*.png"))
        return self.command("predict", self.run.folder, picture)

    def plot(self, process) -> str | None:
        """Plot the curves."""
        return self.command("plot", self.run.folder, "--out", self.run.folder.with_suffix(".png"))


DISTURBANCES = {
    "Ctrl-C": lambda by, process: by.signals(process, signal.SIGINT),
    "Ctrl-C twice": lambda by, process: by.signals(process, signal.SIGINT, signal.SIGINT),
    "SIGTERM": lambda by, process: by.signals(process, signal.SIGTERM),
    "kill -9": lambda by, process: by.signals(process, signal.SIGKILL),
    "pause": Disturbance.pause,
    "evaluate": Disturbance.evaluate,
    "predict": Disturbance.predict,
    "plot": Disturbance.plot,
}
ENDINGS = {130, -2, -9, -15}  # SIGINT before the first line of fastcnn or at exit; SIGKILL, SIGTERM


def compare(one: Watch, other: Run) -> list[str]:
    """Train the disturbed run to an epoch that was seen in the undisturbed one; return in what they differ."""
    steps = min(steps for steps in one.epochs if steps >= other.steps())
    epochs, expected = one.epochs[steps]
    code = other.start("--epochs", epochs).wait(SECONDS)
    found = digest(other.saved())
    print(f"compared after {epochs:,} epochs, {steps:,} batches: {expected} and {found}")
    faults = [] if (code, other.steps()) == (0, steps) else [f"The last life ended with {code} after {other.steps()}."]
    faults += [] if found == expected else ["The state differs from the undisturbed run's."]
    strays = other.strays()
    return faults + ([f"It left {', '.join(strays)}."] if strays else [])


def long_run(folder: Path, seconds: float, seed: int, gap: float) -> list[str]:
    """Train for so many seconds; return everything that is wrong."""
    pictures = write_pictures(folder / "pictures")
    alone, disturbed = (Run(folder / name, pictures, seed) for name in ("alone", "disturbed"))
    watch, disturbance = Watch(alone), Disturbance(disturbed, np.random.default_rng(seed), gap)
    with ThreadPoolExecutor(2) as threads:
        ended = threads.submit(disturbance, time.monotonic() + seconds)
        watched = threads.submit(watch, lambda: ended.done() and watch.reached() >= disturbed.steps())
        ended.result(), watched.result()
    print("disturbances:", ", ".join(f"{name} {count}" for name, count in sorted(disturbance.counts.items())))
    print("undisturbed: after the warm-up, at the end")
    return watch.growth() + disturbance.faults + compare(watch, disturbed)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--minutes", type=float, default=60, help="default: %(default)s")
    add("--seed", type=int, default=0, help="of the runs and of the disturbances (default: %(default)s)")
    add("--gap", type=float, default=20, help="mean seconds between disturbances (default: %(default)s)")
    add("--out", type=Path, help="a new folder for the runs and what they print (default: a temporary one)")
    args = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell; the runs would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.nullcontext(args.out) if args.out else tempfile.TemporaryDirectory() as folder:
        faults = long_run(Path(folder), 60 * args.minutes, args.seed, args.gap)
    print("\n".join(faults) or "Nothing is wrong.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
