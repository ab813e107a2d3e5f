"""The processors that this process may use."""

import math
import os
import platform
from pathlib import Path


def name() -> str:
    """The processor's name; Linux has it only in a file."""
    try:
        lines = _text(Path("/proc/cpuinfo")).splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def usable(root: Path = Path("/")) -> int:
    """How many processors this process may use: its affinity, at most its control groups' quota, at least 1."""
    return max(1, int(min(affinity(), quota(root))))


def affinity() -> int:
    """How many processors this process may run on."""
    return len(allowed())


def allowed() -> frozenset[int]:
    """Ids of the processors that this process may run on."""
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def quota(root: Path = Path("/")) -> float:
    """The CPU quota of this process's control groups, in processors, rounded up; infinite if there is no limit.

    References
    ----------
    Linux, Documentation/admin-guide/cgroup-v2.rst ("cpu.max") and Documentation/scheduler/sched-bwc.rst (version 1).
    """
    try:
        groups = _text(root / "proc/self/cgroup").splitlines()
    except OSError:  # not Linux
        return math.inf
    limits = [math.inf]
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        # Every parent group has its own limit. In a container the path may be the host's; then only the mount exists.
        folder = mount / path.lstrip("/")
        while True:
            limits.append(_limit(folder))
            if folder == mount:
                break
            folder = folder.parent
    return min(limits)


def _limit(group: Path) -> float:
    """The limit of one control group of version 1 or 2; infinite if there is none."""
    try:
        if (group / "cpu.max").exists():
            time, period = _text(group / "cpu.max").split()
        else:
            time, period = (_text(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        return math.ceil(int(time) / int(period)) if int(time) > 0 else math.inf  # -1 means no limit
    except (OSError, ValueError, ZeroDivisionError):  # no such files, or "max"
        return math.inf


def _text(path: Path) -> str:
    """Read a file of the system; names of control groups have no fixed encoding, as those of files have none."""
    return os.fsdecode(path.read_bytes())
