"""Printing a message before all ranks end: MPI also ends the processes that forward it to the terminal."""

import contextlib
import os
import stat
import struct
import sys
import time

_PATIENCE = 10.0  # seconds to wait for a reader


def say(text: str) -> None:
    """Write to stderr, and wait until stdout and stderr have been read.

    ``mpiexec`` reads the output of ranks from pipes. On a busy machine it may notice the abort of a rank before it has
    read the pipes, and their content is lost then.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed or missing: nobody reads it
        sys.stderr.write(text)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
            _wait_until_read(stream.fileno())


def _wait_until_read(descriptor: int) -> None:
    """Wait until a pipe is empty; return at once if it is not a pipe."""
    try:
        import fcntl
        import termios
    except ImportError:  # Windows
        return
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        (unread,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
        if not unread:
            return
        time.sleep(0.001)
