"""What a rank says before it ends all ranks: MPI ends also those that carry it to the terminal."""

import contextlib
import os
import stat
import struct
import sys
import time

_PATIENCE = 10.0  # seconds, after which a reader counts as gone


def say(text: str) -> None:
    """Write to stderr, and wait until that, and what stdout holds, has left this process.

    ``mpiexec`` reads what ranks write from pipes. On a busy machine it may hear that a rank ends them all before it has
    looked there, and what is in a pipe is lost then.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or not there: nobody is to be told
        sys.stderr.write(text)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
            _wait_until_read(stream.fileno())


def _wait_until_read(descriptor: int) -> None:
    """Wait until a pipe is empty; what is none is as good as read."""
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
