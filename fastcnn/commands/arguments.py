"""Arguments of commands: the parser, and what values may be, on the command line and in a file alike."""

import argparse
import math
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage; takes no abbreviations, which break when options are added."""

    def __init__(self, prog: str, description: str, examples: str = ""):
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"examples:\n{examples}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str):
        """Print the message and exit with code 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


class Table(argparse.Action):
    """``NAME=VALUE NAME=VALUE NAME``, as a dictionary; a name alone is true. Repeated, the option adds to it."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Take in the values."""
        table = dict(getattr(namespace, self.dest, None) or {})
        for value in values:
            name, equals, text = value.partition("=")
            table[name.replace("-", "_")] = literal(text) if equals else True
        setattr(namespace, self.dest, table)


def literal(text: str):
    """The number, truth value, list or text that is meant; written as in TOML, but that texts need no quotes."""
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
    """The type of an option that is a path; an empty text, as of a variable that is not set, is none."""
    if not text:
        raise argparse.ArgumentTypeError("an empty text is not a path")
    return Path(text)


def from_text(check: Callable) -> Callable[[str], object]:
    """The type of an option for argparse, from the check of its values."""

    def parse(text: str):
        try:
            return check(text if check is text_value else literal(text))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def text_value(value) -> str:
    """Check that it is a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r:.60} is not a text")
    return value


def whole(least: int) -> Callable:
    """Check that it is a whole number from ``least``."""

    def check(value) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{value!r:.60} is not a whole number of at least {least}")
        return value

    return check


def number(low: float, high: float = math.inf) -> Callable:
    """Check that it is a finite number from ``low`` to ``high``."""
    needed = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"

    def check(value) -> float:
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not low <= value <= min(high, sys.float_info.max):
            raise ValueError(f"{value!r:.60} is not a number {needed}")
        return float(value)

    return check


def choice(*names) -> Callable:
    """Check that it is one of the names."""

    def check(value):
        if value not in names or isinstance(value, bool):
            raise ValueError(f"{value!r:.60} is not one of {', '.join(map(str, names))}")
        return value

    return check


def flag(value) -> bool:
    """Check that it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.60} is not true or false")
    return value


def texts(value) -> list[str]:
    """Check that it is a list of texts."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is not a list of texts")
    return [text_value(item) for item in value]


def table(value) -> dict:
    """Check that it is a table of options."""
    if not isinstance(value, dict) or not all(map(_plain, value.values())):
        raise ValueError(f"{value!r:.100} is not a table of names with numbers, texts or lists of them")
    return value


def _plain(value) -> bool:
    if isinstance(value, list):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(map(_plain, value.values()))
    return isinstance(value, bool | int | float | str)
