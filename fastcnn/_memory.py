"""The memory that this process may use."""

import math
import os
from pathlib import Path

LIMITS = "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"  # of control groups, versions 2 and 1


def total(root: Path = Path("/")) -> float:
    """The machine's memory in bytes, or a container's lower limit; infinite if the system does not say."""
    try:
        machine: float = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows, or a system without these names
        machine = math.inf
    return min(machine, *(_limit(root / name) for name in LIMITS))


def _limit(path: Path) -> float:
    try:
        return float(path.read_bytes())
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf
