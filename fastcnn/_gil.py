"""Refuses a Python that runs without its global interpreter lock: nothing in fastcnn is tested there.

Python's free-threaded build is accepted while the lock is on, as with ``PYTHON_GIL=1``.
"""

import sys

if not getattr(sys, "_is_gil_enabled", lambda: True)():  # since Python 3.13
    raise ImportError(
        "fastcnn needs Python's global interpreter lock, which is off in this free-threaded Python; set the "
        "environment variable PYTHON_GIL=1, or use the standard build of Python."
    )
