"""Time libraries side by side, fairly: each in a process of its own, taking turns.

In every round each side has a turn: a few calls that do not count, then calls for a fixed time, of which the round's
figure is the median; then it waits until its threads sleep. The order is reversed in every second round. The rounds are
dealt out to several fresh processes, each of which first runs for half a second that does not count. A time is the
median over the rounds, a ratio the median of the rounds' ratios. Before anything is timed the results are compared, and
who disagrees gets no number.

Why so, by LeNet-5's training step on two processors of an Intel Xeon, 2 threads, Linux, PyTorch 2.13:

- In one process the sides share the heap. At batch 128 PyTorch took 6.5 to 7.4 ms by itself, with some 1,060 page
  faults a step; beside fastcnn in one process 6.9 ms in one run and 9.7 to 10.4 ms in three, with up to 2,570 faults.
  With malloc told to keep its memory (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_) there were no faults, and it took
  6.7 ms either way. fastcnn took 1.9 to 2.1 ms in all of them.
- Processes differ, by themselves, too: at batch 512 PyTorch takes about 22 to 26 ms in some (no page faults) and 35 to
  44 ms in others (13,300 faults a step). One process would be a toss of a coin. So tables show the lowest and the
  highest of the processes where that matters.
- Threads go on spinning when their work is done, about 3 ms on both sides, and would take the processors away from
  whoever comes next: hence the wait until a side sleeps, and the calls that do not count, which wake its threads.
- Other work on the machine spoils everything. Beside one busy loop, steps at batch 128 took 6 instead of 2 ms (fastcnn)
  and 290 instead of 7 ms (PyTorch), see threads.py; beside other programs with threads, fastcnn's took up to 250 ms,
  too. So a report says how many processors others kept busy meanwhile.
"""

import multiprocessing
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

_spawn = multiprocessing.get_context("spawn")  # a forked process would share the state of threads and memory
_jobs: dict[str, Callable] = {}  # in a side's process: what it was told to prepare


class NotInstalledError(Exception):
    """What a setup raises where its library is not installed."""


class Side:
    """A process in which one library computes; ``side(function, *args)`` calls a module's function there.

    Attributes
    ----------
    about : dict
        What ``setup()`` returned there: the library with its version, and its threads. Known after `start`.
    """

    def __init__(self, setup: Callable[[], dict]):
        self._pipe, other = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()
        self._pipe.send((setup, ()))

    def __call__(self, function: Callable, *args):
        """Call the function there and return its result, or raise what it raised."""
        self._pipe.send((function, args))
        return self.receive()

    def receive(self):
        """Return what the other process answers, or raise what it raised."""
        try:
            result, error = self._pipe.recv()
        except EOFError:
            raise RuntimeError("The process of a side has died.") from None
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


@contextmanager
def start(setups: dict[str, Callable[[], dict]]) -> Iterator[dict[str, Side]]:
    """Processes for all libraries that are installed, by their names."""
    sides = {name: Side(setup) for name, setup in setups.items()}
    try:
        for name, side in list(sides.items()):
            try:
                side.about = side.receive()
            except NotInstalledError:
                sides.pop(name).close()
        yield sides
    finally:
        for side in sides.values():
            side.close()


def race(
    setups: dict[str, Callable[[], dict]],
    contenders: dict[str, tuple],
    *,
    rounds: int,
    processes: int,
    seconds: float,
    length: int,
    reference: Callable,
    collect: str | None = None,
) -> dict:
    """Time what the contenders do.

    Parameters
    ----------
    setups : dict of callable
        Of the sides, by their names.
    contenders : dict of (side's name, make, *args)
        ``make(*args)`` is called on the side and returns the function that is timed there. If that has an attribute
        ``warm_up``, this is called where calls do not count; an attribute ``beside``, such as `busy_loop`, makes a
        context manager for each turn. Those whose side is not installed do not run.
    rounds, processes : int
        The rounds are dealt out to so many fresh processes of each side, one after the other.
    seconds : float
        Of a turn; 0 is a single call.
    length : int
        Of the sums behind the results, for the tolerance.
    reference : callable
        Computes the right result if no contender is called "PyTorch".
    collect : str, optional
        Attribute of the functions that is returned, too, as it was in the last process.

    Returns
    -------
    dict
        ``times[name]`` holds ``ms`` (median over the rounds), ``rounds_ms``, ``processes_ms`` (medians of the
        processes), ``lowest_ms`` and ``highest_ms`` (of those), ``first_call_ms`` (in the first process: with
        compilation) and ``error`` (the largest, relative to the largest right value); ``ratios[a][b]`` is the time of a
        divided by that of b; ``wrong[name]`` says by how much a result is wrong; ``collected[name]``.
    """
    times, wrong, collected, expected = {}, {}, {}, None
    for process in range(processes):
        with start(setups) as sides:
            running = {name: sides[contender[0]] for name, contender in contenders.items() if contender[0] in sides}
            prepared = {
                name: side(_prepare, name, 10 * seconds, *contenders[name][1:]) for name, side in running.items()
            }
            if expected is None:
                expected = prepared["PyTorch"][1] if "PyTorch" in prepared else _arrays(reference())
            for name, (first_call, results) in prepared.items():
                error = max(relative_error(a, b) for a, b in zip(results, expected, strict=True))
                if error > tolerance(length):
                    allowed = f"allowed are {tolerance(length):.1e}"
                    wrong[name] = f"{name} gets no number: its error is {error:.1e}, {allowed}."
                    times.pop(name, None)
                elif process == 0:
                    times[name] = {
                        "first_call_ms": first_call * 1e3,
                        "error": error,
                        "rounds_ms": [],
                        "processes_ms": [],
                    }
            turns = {name: [] for name in times}
            for i in range(process, rounds, processes):
                for name in list(turns) if i % 2 == 0 else reversed(turns):
                    turns[name].append(running[name](_turn, name, seconds) * 1e3)
            for name, milliseconds in turns.items():
                if milliseconds:  # fewer rounds than processes leave none for the last
                    times[name]["rounds_ms"] += milliseconds
                    times[name]["processes_ms"].append(float(np.median(milliseconds)))
            if collect:
                collected = {name: running[name](_attribute, name, collect) for name in times}
    for record in times.values():
        record["ms"] = float(np.median(record["rounds_ms"]))
        record["lowest_ms"], record["highest_ms"] = min(record["processes_ms"]), max(record["processes_ms"])
    ratios = {a: {b: ratio(times[a], times[b]) for b in times if b != a} for a in times}
    return {"times": times, "ratios": ratios, "wrong": wrong, **({"collected": collected} if collect else {})}


def ratio(a: dict, b: dict) -> float:
    """Median of the rounds' ratios."""
    return float(np.median(np.divide(a["rounds_ms"], b["rounds_ms"])))


def tolerance(length: int) -> float:
    """Relative error allowed to a float32 sum of so many terms.

    Rounding errors walk at random: that of n terms grows as the root of n. A wrong pixel or tap is far beyond it.
    """
    return 4 * float(np.finfo(np.float32).eps) * max(length, 16) ** 0.5


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest expected value; infinite if shapes differ or a number is not one."""
    if actual.shape != expected.shape:
        return float("inf")
    error = float(np.abs(actual - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))
    return error if np.isfinite(error) else float("inf")


def steady(make: Callable, args: tuple, seconds: float) -> float:
    """Median milliseconds of the function that ``make(*args)`` returns, called and called; for a side by itself."""
    function = make(*args)
    calls(function, seconds / 5)
    return 1e3 * float(np.median(calls(function, seconds)))


def _serve(pipe) -> None:
    """Do what the other end of the pipe asks for, until it is closed."""
    while True:
        try:
            function, args = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer = function(*args), None
        except NotInstalledError as error:
            answer = None, error
        except Exception:
            answer = None, RuntimeError("On the other side:\n" + traceback.format_exc())
        except KeyboardInterrupt:
            return
        pipe.send(answer)


def _prepare(name: str, settle: float, make: Callable, *args) -> tuple[float, list[np.ndarray]]:
    """Seconds of the first call, with compilation, and its results; then calls for ``settle`` seconds."""
    _jobs[name] = make(*args)
    warm_up = getattr(_jobs[name], "warm_up", _jobs[name])
    start = time.perf_counter()
    result = warm_up()
    first_call = time.perf_counter() - start
    calls(warm_up, settle)
    return first_call, _arrays(result)


def _attribute(name: str, attribute: str):
    return getattr(_jobs[name], attribute)


def _turn(name: str, seconds: float) -> float:
    """Median seconds of the calls of one turn."""
    job = _jobs[name]
    with getattr(job, "beside", nullcontext)():
        calls(getattr(job, "warm_up", job), seconds / 5)
        times = calls(job, seconds)
    wait_for_sleep()
    return float(np.median(times))


def calls(function: Callable, seconds: float) -> list[float]:
    """Seconds of each call, for so long, at least one."""
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


@contextmanager
def busy_loop() -> Iterator[None]:
    """Within this block, a process beside this one keeps a processor busy.

    The end of its standard input ends it: so it goes with this process, too, whatever ends that. Ctrl-C is not for it.
    """
    code = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
print("busy", flush=True)
while True: pass
"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, start_new_session=True) as process:
        if not process.stdout.readline():
            raise RuntimeError("The busy loop did not start.")
        yield


def wait_for_sleep() -> None:
    """Return when no thread of this process runs any more, or after half a second."""
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.005)
        if time.process_time() - before < 0.0005:
            return


def _arrays(result) -> list[np.ndarray]:
    """The arrays of a result of any library: None is left out, a number is an array."""
    if result is None:
        return []
    if isinstance(result, (tuple, list)):
        return [array for item in result for array in _arrays(item)]
    if hasattr(result, "blocks"):  # fastcnn's batch-blocked layout
        from fastcnn import backends

        return [backends.load("numba").unpack(result)]
    if hasattr(result, "detach"):  # PyTorch's tensors
        result = result.detach().numpy()
    return [np.asarray(result)]
