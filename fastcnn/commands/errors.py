"""What ends a command with one line on stderr."""

import os
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


SYSTEM_ERRORS = {
    FileNotFoundError: "there is no such file or folder",
    IsADirectoryError: "it is a folder, but must be a file",
    NotADirectoryError: "a part of this path is a file, but must be a folder",
    FileExistsError: "it is there already, and is no folder",
    PermissionError: "permission denied; this user may not read or write it",
}


def sentence(error: BaseException) -> str:
    """What went wrong. The system's errors come as a number, words and a path; of these a sentence is made."""
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return str(error)
    if not isinstance(error.filename, str | bytes | os.PathLike):  # a sentence of fastcnn's own, or "Broken pipe"
        return f"{error.strerror.removesuffix('.')}."
    return f"{os.fsdecode(error.filename)}: {SYSTEM_ERRORS.get(type(error), error.strerror)}."


@contextmanager
def usage(what: str = ""):
    """Around calls whose arguments are the user's: TypeErrors and ValueErrors are usage errors."""
    try:
        yield
    except FileError:  # a ValueError, too
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}{error}") from error


def remark(text: str) -> None:
    """What is not the result goes to stderr."""
    print(text, file=sys.stderr, flush=True)
