"""Limits on the processors of another process: half a processor, as in a small container, and one core."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PERIOD = 0.1  # seconds, Linux's default period of a quota
SHARE = 0.5
QUOTAS = {"cpu.max": "50000 100000", "cpu.cfs_quota_us": "50000"}  # in control groups of version 2 and 1


@contextmanager
def half_a_processor(pid: int, threads: int) -> Iterator[str]:
    """Limit a process to half a processor inside a ``with`` block; yields a sentence that says how.

    The limit is the quota of a control group, if this program may make one. Otherwise the process is stopped and
    continued, so that its threads together have as much time as with the quota.
    """
    if group := _group(pid):
        try:
            yield "Half a processor is the quota of a control group."
        finally:
            (group.parent / "cgroup.procs").write_text(str(pid))
            group.rmdir()
    else:
        ended = threading.Event()
        stopping = threading.Thread(target=_stop_and_continue, args=(pid, SHARE / threads, ended))
        stopping.start()
        try:
            yield "Half a processor is simulated: the process is stopped and continued."
        finally:
            ended.set()
            stopping.join()


@contextmanager
def one_core(pid: int) -> Iterator[None]:
    """Let all threads of a process run on a single processor inside a ``with`` block."""
    before = os.sched_getaffinity(pid)
    _set_affinity(pid, {min(before)})
    try:
        yield
    finally:
        _set_affinity(pid, before)


def _group(pid: int) -> Path | None:
    """Move a process into a new control group with a quota, inside its own group; None if that is not allowed."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return None
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        new = Path("/sys/fs/cgroup", controllers, path.lstrip("/"), f"fastcnn-{pid}")
        with suppress(OSError):
            new.mkdir()
            try:
                name = next(name for name in QUOTAS if (new / name).exists())
                (new / name).write_text(QUOTAS[name])
                (new / "cgroup.procs").write_text(str(pid))
                return new
            except (OSError, StopIteration):  # not writable; without the controller of processors
                new.rmdir()
    return None


def _stop_and_continue(pid: int, share: float, ended: threading.Event) -> None:
    """Let a process run for a share of each period."""
    while not ended.wait(share * PERIOD):
        os.kill(pid, signal.SIGSTOP)
        ended.wait((1 - share) * PERIOD)
        os.kill(pid, signal.SIGCONT)


def _set_affinity(pid: int, processors: set[int]) -> None:
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), processors)
