"""The command line: ``fastcnn --help``, or ``python -m fastcnn --help``."""

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence

import fastcnn
from fastcnn.commands.arguments import Parser

COMMANDS = {  # each is a file in fastcnn/commands, imported when it is named
    "train": "train a model",
    "evaluate": "how good a trained network is: accuracy, precision, recall, confusion matrix",
    "predict": "the classes of pictures, with probabilities",
    "summary": "a model's layers, parameters and costs",
    "program": "what a training step of a model runs, and how long each part of it takes",
    "plot": "curves of runs",
    "export": "a trained network as ONNX, or its weights, for other programs",
    "download": "get data sets before they are needed",
    "info": "what fastcnn finds and uses on this machine, and how fast it is",
    "warmup": "compile ahead, so that no program has to wait for it",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default the process's.

    Returns
    -------
    int
        0; 1 if it failed, 130 after Ctrl-C. Results go to stdout, all else to stderr, a mistake as one line.

    Raises
    ------
    SystemExit
        With 0 after ``--help``, with 2 for wrong arguments.
    """
    parser = Parser("fastcnn", "Small convolutional networks on CPU threads.")
    commands = "".join(f"  {name:<10} {about}\n" for name, about in COMMANDS.items())
    parser.epilog = f"commands:\n{commands}\nfastcnn COMMAND --help says more, with examples."
    parser.add_argument("--version", action="version", version=fastcnn.__version__)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    rest = parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its own")
    rest.required = False
    args = parser.parse_args(argv)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # names of classes and files, where the terminal cannot show them
    return _run(args.command, args.arguments)


def _open_closed_streams() -> None:
    """Give a daemon that closed its streams such that lead nowhere; no file that is opened is to get their numbers."""
    for name, mode in ("stdin", "r"), ("stdout", "w"), ("stderr", "w"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  to the end of the process


def _run(name: str, arguments: Sequence[str]) -> int:
    """Run a command; what went wrong is said in one line, but a mistake of fastcnn's own keeps its traceback."""
    from fastcnn.commands.errors import exit_code, sentence, usage

    try:
        with usage():
            fastcnn.get_num_threads(), fastcnn.get_backend()  # what the environment says of them
        command = importlib.import_module(f"fastcnn.commands.{name}")
        args = command.parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _say(name, f"warning: {message}")
            return command.run(args)
    except BrokenPipeError:  # the reader has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor can the rest be flushed to it
        return 1
    except KeyboardInterrupt:
        _say(name, "interrupted.")
        return 130
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        _say(name, f"error: {sentence(error)}")
        return code


def _say(name: str, message: str) -> None:
    """One line on stderr, however the message is laid out."""
    print(f"fastcnn {name}: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
