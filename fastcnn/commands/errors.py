"""Errors that end a command with one line on stderr, and how they are worded."""

import os
import sys
from contextlib import contextmanager

from fastcnn import FileError
from fastcnn._text import in_full


class UsageError(Exception):
    """Wrong or contradictory arguments: the exit code is 2."""


class CommandError(Exception):
    """The arguments are right, but the command failed: the exit code is 1."""


def exit_code(error: Exception) -> int | None:
    """Return the exit code for an expected error, or None for a bug in fastcnn."""
    if isinstance(error, UsageError):
        return 2
    expected = CommandError, FileError, OSError, ImportError, FloatingPointError
    return 1 if isinstance(error, expected) else None


SYSTEM_ERRORS = {
    FileNotFoundError: "there is no such file or folder",
    IsADirectoryError: "it is a folder, but must be a file",
    NotADirectoryError: "a part of this path is a file, but must be a folder",
    FileExistsError: "it exists already and is not a folder",
    PermissionError: "permission denied; the current user may not read or write it",
}


def sentence(error: BaseException) -> str:
    """Return an error's message; for an error of the system, a sentence made of its path and its cause."""
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return str(error)
    if not isinstance(error.filename, str | bytes | os.PathLike):  # no path: fastcnn's own sentence, or "Broken pipe"
        return f"{error.strerror.removesuffix('.')}."
    path = os.fsdecode(error.filename)
    if isinstance(error, FileNotFoundError):
        path = in_full(path)
    return f"{path}: {SYSTEM_ERRORS.get(type(error), error.strerror)}."


@contextmanager
def usage(what: str = ""):
    """Turn a TypeError or ValueError into a UsageError, around calls with the user's arguments; FileErrors pass."""
    try:
        yield
    except FileError:  # also a ValueError, but not a wrong argument
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}{error}") from error


def remark(text: str) -> None:
    """Print a message that is not part of the result, on stderr."""
    print(text, file=sys.stderr, flush=True)
