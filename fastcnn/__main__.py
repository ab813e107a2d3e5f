"""The command line: ``python -m fastcnn --help``."""

import argparse
import sys

import fastcnn


def main() -> int:
    """Run a command; the exit code is 0, 2 for wrong options, 1 if the command says that it failed."""
    parser = argparse.ArgumentParser("python -m fastcnn", description="Small convolutional networks on CPU threads.")
    parser.add_argument("--version", action="version", version=fastcnn.__version__)
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    about = "Print what fastcnn finds and uses on this machine, and how fast it is."
    commands.add_parser("info", help=about, description=about)
    about = "Compile what LeNet-5 needs in float32, so that no program has to wait for it."
    warmup = commands.add_parser("warmup", help=about, description=about)
    warmup.add_argument(
        "--batch-size",
        type=_count,
        nargs="+",
        metavar="N",
        default=(1, 96, 128, 1000),
        help="images in a batch, one or more numbers (default: 128, which leaves 96 of MNIST, 1000 and 1)",
    )
    args = parser.parse_args()
    try:
        fastcnn.get_num_threads()
    except ValueError as error:  # of the environment
        parser.error(str(error))
    if args.command == "info":
        from fastcnn.commands.info import info

        return info()
    from fastcnn.commands.warmup import warmup

    return warmup(args.batch_size)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
