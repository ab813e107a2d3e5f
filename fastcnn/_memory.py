"""The memory that this process may use."""

import math
import os
from pathlib import Path

LIMITS = "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"  # of version 2 and 1


def total(root: Path = Path("/")) -> float:
    """Bytes: the machine's, or what a container may use of it; infinite where the system does not say."""
    try:
        machine: float = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows; a system that does not know these names
        machine = math.inf
    return min(machine, *(_limit(root / name) for name in LIMITS))


def _limit(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # there is none, or it is "max"
        return math.inf
