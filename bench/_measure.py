"""Time libraries fairly, side by side: each runs in a process of its own, and the processes take turns.

In every round each side has one turn: a few untimed calls, then timed calls for a fixed duration, then a wait until its
threads sleep. The median of the timed calls is the time of the round. The order of the sides is reversed in every
second round. The rounds are spread over several fresh processes, and each process first runs for half a second untimed.
A reported time is the median over all rounds; a ratio is the median of the ratios in each round. Results are compared
before anything is timed, and a side with a wrong result is not timed.

The reasons, measured with LeNet-5's training step on two processors of an Intel Xeon, 2 threads, Linux, PyTorch 2.13:

- In one process the sides share the heap. At batch 128 PyTorch took 6.5 to 7.4 ms alone, with about 1,060 page faults
  per step; with fastcnn in the same process it took 6.9 ms in one run and 9.7 to 10.4 ms in three, with up to 2,570
  faults. When malloc was told to keep its memory (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_), there were no
  faults, and it took 6.7 ms either way. fastcnn took 1.9 to 2.1 ms in all cases.
- Times also differ between processes of the same side: at batch 512 PyTorch takes about 22 to 26 ms in some (no page
  faults) and 35 to 44 ms in others (13,300 faults per step). A single process would give a random one of these. Where
  this matters, tables show the lowest and the highest median of the processes.
- Threads keep spinning after their work is done, about 3 ms on both sides, and would occupy the processors during the
  next side's turn. Hence the wait until a side sleeps, and the untimed calls, which wake its threads.
- Other work on the machine distorts everything. Beside one busy loop, steps at batch 128 took 6 instead of 2 ms
  (fastcnn) and 290 instead of 7 ms (PyTorch), see threads.py; beside other multithreaded programs, fastcnn's steps took
  up to 250 ms, too. So a report states how many processors other processes kept busy.
"""

import multiprocessing
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

_spawn = multiprocessing.get_context("spawn")  # a fork would inherit the state of threads and memory
# in the process of a side
_jobs: dict[str, Callable] = {}  # name -> the function to time
_background: list[threading.Thread] = []  # the one that `begin` has started
_ended = threading.Event()


class NotInstalledError(Exception):
    """Raised by a setup whose library is not installed."""


class Side:
    """A process for one library; ``side(function, *args)`` calls a function of a module in that process.

    If the setup has an attribute ``surroundings``, such as that of a `Checkout`, this makes a context manager in which
    the process is started.

    Attributes
    ----------
    about : dict
        The result of ``setup()``: the library with its version, and its number of threads. Set by `start`.
    pid : int
        The id of the process.
    """

    def __init__(self, setup: Callable[[], dict]):
        self._pipe, other = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(other,), daemon=True)
        with getattr(setup, "surroundings", nullcontext)():
            self._process.start()
        self.pid = self._process.pid
        other.close()
        self._pipe.send((setup, ()))

    def __call__(self, function: Callable, *args):
        """Call the function in the other process and return its result, or raise its exception."""
        self._pipe.send((function, args))
        return self.receive()

    def receive(self):
        """Return the next answer of the other process, or raise its exception."""
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
    """Start a process for each library that is installed; yields the processes by name."""
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
    """Time the functions of all contenders in turns.

    Parameters
    ----------
    setups : dict of callable
        The setup of each side, by name.
    contenders : dict of (side's name, make, *args)
        ``make(*args)`` is called on the side and returns the function to time there. If this function has an attribute
        ``warm_up``, this is called instead in untimed calls. If it has an attribute ``beside``, such as `busy_loop`,
        this makes a context manager for each turn. Contenders whose side is not installed are skipped.
    rounds, processes : int
        Number of rounds, and of fresh processes of each side that these are spread over, one after the other.
    seconds : float
        Duration of a turn; 0 is a single call.
    length : int
        Length of the sums behind the results, for the tolerance.
    reference : callable
        Computes the expected result if no contender is called "PyTorch".
    collect : str, optional
        Name of an attribute of the functions to return as well, from the last process.

    Returns
    -------
    dict
        ``times[name]`` holds ``ms`` (median over the rounds), ``rounds_ms``, ``processes_ms`` (the median of each
        process), ``lowest_ms`` and ``highest_ms`` (of these), ``first_call_ms`` (in the first process, with
        compilation) and ``error`` (the largest one, relative to the largest expected value). ``ratios[a][b]`` is the
        time of a divided by the time of b. ``wrong[name]`` is a sentence about a wrong result. ``collected[name]`` is
        the attribute `collect`.
    """
    times, wrong, collected, expected = {}, {}, {}, None
    for process in range(processes):
        with start(setups) as sides:
            running = {name: sides[contender[0]] for name, contender in contenders.items() if contender[0] in sides}
            prepared = {
                name: side(prepare, name, 10 * seconds, *contenders[name][1:]) for name, side in running.items()
            }
            if expected is None:
                expected = prepared["PyTorch"][1] if "PyTorch" in prepared else _arrays(reference())
            for name, (first_call, results) in prepared.items():
                error = max(relative_error(a, b) for a, b in zip(results, expected, strict=True))
                if error > tolerance(length):
                    allowed = f"but at most {tolerance(length):.1e} is allowed"
                    wrong[name] = f"{name} is not timed: its error is {error:.1e}, {allowed}."
                    times.pop(name, None)
                elif process == 0:
                    times[name] = {
                        "first_call_ms": first_call * 1e3,
                        "error": error,
                        "rounds_ms": [],
                        "processes_ms": [],
                    }
            right = {name: running[name] for name in times}
            for name, milliseconds in turns(right, range(process, rounds, processes), seconds).items():
                if milliseconds:  # empty in the last processes if there are fewer rounds than processes
                    times[name]["rounds_ms"] += milliseconds
                    times[name]["processes_ms"].append(float(np.median(milliseconds)))
            if collect:
                collected = {name: running[name](_attribute, name, collect) for name in times}
    for record in times.values():
        record["ms"] = float(np.median(record["rounds_ms"]))
        record["lowest_ms"], record["highest_ms"] = min(record["processes_ms"]), max(record["processes_ms"])
    ratios = {a: {b: ratio(times[a], times[b]) for b in times if b != a} for a in times}
    return {"times": times, "ratios": ratios, "wrong": wrong, **({"collected": collected} if collect else {})}


def prepare(name: str, settle: float, make: Callable, *args) -> tuple[float, list[np.ndarray]]:
    """Make the function and warm it up for ``settle`` seconds; return the seconds and results of the first call."""
    _jobs[name] = make(*args)
    warm_up = getattr(_jobs[name], "warm_up", _jobs[name])
    start = time.perf_counter()
    result = warm_up()
    first_call = time.perf_counter() - start
    calls(warm_up, settle)
    return first_call, _arrays(result)


def turns(sides: dict[str, Side], rounds: Iterable[int], seconds: float) -> dict[str, list[float]]:
    """Time prepared functions in turns; return the milliseconds of each round, by the name of the function."""
    found = {name: [] for name in sides}
    for i in rounds:
        for name in list(found) if i % 2 == 0 else reversed(found):
            found[name].append(sides[name](_turn, name, seconds) * 1e3)
    return found


def ratio(a: dict, b: dict) -> float:
    """Return the median over the rounds of the ratio of two times."""
    return float(np.median(np.divide(a["rounds_ms"], b["rounds_ms"])))


def tolerance(length: int) -> float:
    """Return the relative error allowed for a float32 sum of ``length`` terms.

    Rounding errors behave like a random walk, so the error of n terms grows with the square root of n. A wrong pixel or
    filter tap causes a much larger error.
    """
    return 4 * float(np.finfo(np.float32).eps) * max(length, 16) ** 0.5


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest error relative to the largest expected value; infinite for NaN or if shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    error = float(np.abs(actual - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))
    return error if np.isfinite(error) else float("inf")


def steady(make: Callable, args: tuple, seconds: float) -> float:
    """Return the median milliseconds of the function that ``make(*args)`` returns; for a side that runs alone."""
    function = make(*args)
    calls(function, seconds / 5)
    return 1e3 * float(np.median(calls(function, seconds)))


def _serve(pipe) -> None:
    """Answer the calls that arrive through the pipe, until it is closed."""
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


def _attribute(name: str, attribute: str):
    """Return an attribute of a prepared function."""
    return getattr(_jobs[name], attribute)


def _turn(name: str, seconds: float) -> float:
    """Run one turn; return the median seconds of its timed calls."""
    return float(np.median(turn(name, seconds)))


def turn(name: str, seconds: float) -> list[float]:
    """Run one turn; return the seconds of each timed call."""
    job = _jobs[name]
    with getattr(job, "beside", nullcontext)():
        calls(getattr(job, "warm_up", job), seconds / 5)
        times = calls(job, seconds)
    wait_for_sleep()
    return times


def begin(name: str) -> None:
    """Call a prepared function again and again, in a thread of its own, until `end`."""

    def work():
        while not _ended.is_set():
            _jobs[name]()

    _ended.clear()
    _background.append(threading.Thread(target=work, daemon=True))
    _background[0].start()


def end() -> None:
    """End what `begin` began."""
    _ended.set()
    _background.pop().join()


def calls(function: Callable, seconds: float) -> list[float]:
    """Call the function for ``seconds`` seconds, at least once; return the seconds of each call."""
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


@contextmanager
def busy_loop() -> Iterator[None]:
    """Keep one processor busy with another process inside a ``with`` block.

    That process ends when its standard input is closed, so it also ends whenever this process ends, even if killed.
    It does not receive Ctrl-C.
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
    """Wait until no thread of this process is running, at most half a second."""
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.005)
        if time.process_time() - before < 0.0005:
            return


def _arrays(result) -> list[np.ndarray]:
    """Convert a result of any library to a list of arrays; None gives none, a number gives one."""
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
