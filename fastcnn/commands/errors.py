"""What ends a command with one line on stderr."""

import sys
from contextlib import contextmanager

from fastcnn import FileError


class UsageError(Exception):
    """What was asked for cannot be: the exit code is 2."""


class CommandError(Exception):
    """It could be, but failed: the exit code is 1."""


def exit_code(error: Exception) -> int | None:
    """What the shell is told of an error that is to be expected; None for a mistake of fastcnn's own."""
    if isinstance(error, UsageError):
        return 2
    expected = CommandError, FileError, OSError, ImportError, FloatingPointError
    return 1 if isinstance(error, expected) else None


@contextmanager
def usage(what: str = ""):
    """Around calls whose arguments are the user's: TypeErrors and ValueErrors are usage errors."""
    try:
        yield
    except FileError:  # a ValueError, too
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}{error}") from error


@contextmanager
def figures(what: str):
    """Around what needs matplotlib."""
    try:
        yield
    except ImportError as error:
        raise CommandError(f'{what} needs matplotlib, pip install "fastcnn[plot]".') from error


def remark(text: str) -> None:
    """What is not the result goes to stderr."""
    print(text, file=sys.stderr, flush=True)
