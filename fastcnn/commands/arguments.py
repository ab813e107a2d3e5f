"""The argument parser of the commands, and checks of values that come from the command line or a settings file."""

import argparse
import math
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from fastcnn._absent import PROCESSOR
from fastcnn._names import choices_for, did_you_mean

ABSENT = dict.fromkeys(("--cuda", "--device", "--gpu"), PROCESSOR)
"""For options that no command has, the end of the error message."""

ALSO_CALLED = {
    "--learning-rate": "--lr",
    "--num-workers": "--threads",
    "--output": "--out",
    "--patience": "--early-stopping",
    "--workers": "--threads",
}
"""Names that other programs give to options of fastcnn."""


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without the usage message.

    Abbreviated options are not accepted: a new option could make them ambiguous. The error for an unknown option
    suggests a known one.
    """

    def __init__(self, prog: str, description: str, examples: str = ""):
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"examples:\n{examples}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace=None):  # type: ignore[override]
        """Parse the arguments.

        Unknown options are reported first: argparse takes what follows one for a positional argument, and might
        complain about that instead.
        """
        args = sys.argv[1:] if args is None else args
        for one in takewhile(lambda one: one != "--", args):
            name = one.partition("=")[0]
            if re.match("--?[^-0-9.]", name) and " " not in name and name not in self._option_string_actions:
                self._refuse(name)
        return super().parse_args(args, namespace)

    def _refuse(self, name: str) -> NoReturn:
        """Report an unknown option, and say what to use instead."""
        if name in ABSENT:
            self.error(f"fastcnn has no option {name}: {ABSENT[name]}")
        meant = did_you_mean(ALSO_CALLED.get(name, name), self._option_string_actions)
        self.error(f"there is no option {name}{meant or f'; {self.prog} --help lists the options'}")

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with code 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


class Table(argparse.Action):
    """Parse ``NAME=VALUE NAME=VALUE NAME`` into a dictionary.

    A name without a value is true. If the option is repeated, its values are added to the same dictionary.
    """

    def __call__(self, parser, namespace, values, option_string=None):
        """Add the values to the dictionary."""
        table = dict(getattr(namespace, self.dest, None) or {})
        for value in values:
            name, equals, text = value.partition("=")
            table[name.replace("-", "_")] = literal(text) if equals else True
        setattr(namespace, self.dest, table)


def literal(text: str):
    """Parse a number, boolean, list, table or string, written as in TOML; strings need no quotes."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, bool | list | dict | str) else text


def path(text: str) -> Path:
    """Parse a path; an empty string, as from an unset shell variable, is an error."""
    if not text:
        raise argparse.ArgumentTypeError("a path must not be empty")
    return Path(text)


def from_text(check: Callable) -> Callable[[str], object]:
    """Turn a check of values into a ``type`` for argparse."""

    def parse(text: str):
        try:
            return check(text if check is text_value else literal(text))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def text_value(value) -> str:
    """Check that a value is a string and not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r:.60} is not a non-empty string")
    return value


def whole(least: int) -> Callable:
    """Return a check that a value is a whole number of at least ``least``."""

    def check(value) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{value!r:.60} is not a whole number of at least {least}")
        return value

    return check


def number(low: float, high: float = math.inf) -> Callable:
    """Return a check that a value is a finite number from ``low`` to ``high``."""
    needed = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"

    def check(value) -> float:
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not low <= value <= min(high, sys.float_info.max):
            raise ValueError(f"{value!r:.60} is not a number {needed}")
        return float(value)

    return check


def choice(*names) -> Callable:
    """Return a check that a value is one of the names."""

    def check(value):
        if value not in names or isinstance(value, bool):
            raise ValueError(f"{value!r:.60} is not one of {choices_for(value, names)}")
        return value

    return check


def flag(value) -> bool:
    """Check that a value is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.60} is not true or false")
    return value


def texts(value) -> list[str]:
    """Check that a value is a list of non-empty strings."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is not a list of strings")
    return [text_value(item) for item in value]


def table(value) -> dict:
    """Check that a value is a dictionary of options."""
    if not isinstance(value, dict) or not all(map(_plain, value.values())):
        raise ValueError(f"{value!r:.100} is not a table of names with numbers, strings or lists of these")
    return value


def _plain(value) -> bool:
    """Whether a value consists of booleans, numbers and strings only."""
    if isinstance(value, list):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(map(_plain, value.values()))
    return isinstance(value, bool | int | float | str)
