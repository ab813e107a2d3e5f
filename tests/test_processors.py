"""The number of processors that a process may use, from Linux's control groups."""

import math
import os
import sys

import pytest

from fastcnn import _processors

# reason: files below the root, quota
GROUPS = {
    "no Linux": ({}, math.inf),
    "no limit, version 2": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, math.inf),
    "half of a processor, version 2": ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 1),
    "one and a half, version 2": ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 2),
    "the group above allows less, version 2": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/cpu.max": "800000 100000\n",
            "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
        },
        3,
    ),
    "a path outside the container, version 2": (
        {"proc/self/cgroup": "0::/../../host/a\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"},
        2,
    ),
    "no limit, version 1": (
        {
            "proc/self/cgroup": "3:cpuset:/\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        math.inf,
    ),
    "two and a bit, version 1, in a container": (
        {
            "proc/self/cgroup": "2:cpu,cpuacct:/docker/0123\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "210000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        3,
    ),
    "another controller's limit": (
        {
            "proc/self/cgroup": "2:memory:/\n",
            "sys/fs/cgroup/memory/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/memory/cpu.cfs_period_us": "100000\n",
        },
        math.inf,
    ),
    "a file that says nothing": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "\n"}, math.inf),
}


@pytest.mark.parametrize("reason", GROUPS)
def test_quota(reason, tmp_path):
    files, quota = GROUPS[reason]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _processors.quota(tmp_path) == quota
    assert _processors.usable(tmp_path) == min(quota, _processors.affinity())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have their own encoding of file names")
def test_a_control_group_whose_name_is_not_utf8(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_bytes(b"0::/\xe9\n")
    group = tmp_path / "sys/fs/cgroup" / os.fsdecode(b"\xe9")
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("50000 100000")
    assert _processors.quota(tmp_path) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not support processor affinity")
def test_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert _processors.affinity() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_this_process_may_use_a_processor():
    assert 1 <= _processors.usable() <= os.cpu_count()


def test_the_name_where_there_is_no_file_of_it(monkeypatch):
    monkeypatch.setattr(_processors.Path, "read_bytes", lambda path: b"flags : fma\n")
    monkeypatch.setattr(_processors.platform, "processor", lambda: "")
    assert _processors.name() == _processors.platform.machine()
    monkeypatch.setattr(_processors.platform, "processor", lambda: "arm")
    assert _processors.name() == "arm"
