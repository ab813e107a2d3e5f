"""The command line: ``fastcnn --help``, or ``python -m fastcnn --help``."""

import importlib
import os
import sys
import warnings
from collections.abc import Sequence

import fastcnn
from fastcnn.commands.arguments import Parser, choice, from_text

COMMANDS = {  # each is a module of fastcnn.commands, imported only when its command runs
    "train": "train a model",
    "evaluate": "evaluate a trained network: accuracy, precision, recall, confusion matrix",
    "predict": "predict the classes of pictures, with probabilities",
    "summary": "show a model's layers, parameters and costs",
    "program": "show the kernels that a training step runs, and how long each takes",
    "plot": "plot the training curves of runs",
    "export": "export a trained network as ONNX or C, or its weights, for other programs",
    "download": "download data sets ahead of time",
    "info": "show what fastcnn finds and uses on this machine, and how fast it is",
    "warmup": "compile kernels ahead of time, so that no program has to wait for them",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The command-line arguments; by default ``sys.argv[1:]``.

    Returns
    -------
    int
        The exit code: 0 for success, 1 for a failure, 2 for wrong arguments, 130 after Ctrl-C or, while training,
        SIGTERM. Results go to stdout, everything else to stderr; an error is one line.

    Raises
    ------
    SystemExit
        With code 0 after ``--help`` and ``--version``, and with code 2 if the arguments cannot be parsed.
    """
    parser = Parser("fastcnn", "Train and use small convolutional networks on CPU threads.")
    commands = "".join(f"  {name:<10} {about}\n" for name, about in COMMANDS.items())
    parser.epilog = f"commands:\n{commands}\nfastcnn COMMAND --help shows the options of a command, with examples."
    parser.usage = "fastcnn [-h] [--version] COMMAND ..."
    parser.add_argument("--version", action="version", version=fastcnn.__version__)
    command = from_text(choice(*COMMANDS))
    parser.add_argument("command", type=command, metavar="COMMAND", help="one of the commands below")
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    args = parser.parse_args(argv[:1])  # the other arguments are for the parser of the command
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may be unable to show the name of a class or a file
    return _run(args.command, argv[1:])


def _open_closed_streams() -> None:
    """Open missing standard streams on the null device, so that no file opened later gets descriptor 0, 1 or 2."""
    for name, mode in ("stdin", "r"), ("stdout", "w"), ("stderr", "w"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  stays open until the process ends


def _run(name: str, arguments: Sequence[str]) -> int:
    """Run a command and report an expected error in one line; a bug in fastcnn keeps its traceback."""
    from fastcnn.commands.errors import exit_code, sentence, usage

    try:
        with usage():
            fastcnn.get_num_threads(), fastcnn.get_backend()  # checks FASTCNN_NUM_THREADS and FASTCNN_BACKEND
        command = importlib.import_module(f"fastcnn.commands.{name}")
        args = command.parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _say(name, f"warning: {message}")
            return command.run(args)
    except BrokenPipeError:  # the reader has exited, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at exit would fail again
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
    """Print a message on stderr, joined into one line."""
    print(f"fastcnn {name}: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
