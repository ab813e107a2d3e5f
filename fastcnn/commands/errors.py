"""What ends a command with one line on stderr."""

import sys
from contextlib import contextmanager


class UsageError(Exception):
    """What was asked for cannot be: the exit code is 2."""


class CommandError(Exception):
    """It could be, but failed: the exit code is 1."""


def exit_code(error: Exception) -> int | None:
    """What the shell is told of an error that is to be expected; None for a mistake of fastcnn's own."""
    if isinstance(error, UsageError):
        return 2
    expected = CommandError, OSError, ImportError, FloatingPointError
    return 1 if isinstance(error, expected) or _of_a_file(error) else None


def _of_a_file(error: Exception) -> bool:
    """Whether it says what is wrong with data or a checkpoint; such errors are ValueErrors, too."""
    from fastcnn.data import DataError
    from fastcnn.training import CheckpointError

    return isinstance(error, DataError | CheckpointError)


@contextmanager
def usage(what: str = ""):
    """Around calls whose arguments are the user's: TypeErrors and ValueErrors are usage errors."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if _of_a_file(error):
            raise
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
