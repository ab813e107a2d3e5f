"""``fastcnn download``: download data sets ahead of time."""

from fastcnn import data
from fastcnn.commands.arguments import Parser, choice, from_text

NAMES = tuple(name for name in data.names() if name != "digits")  # fastcnn draws these itself

EXAMPLES = """\
  fastcnn download mnist
  fastcnn download mnist fashion-mnist kmnist cifar10
"""


def parser() -> Parser:
    """Describe the options."""
    about = "Download data sets into the cache, unless they are already there or in the folder FASTCNN_DATA."
    parser = Parser("fastcnn download", about, EXAMPLES)
    known = f"one or more of {', '.join(NAMES)}"
    parser.add_argument("names", type=from_text(choice(*NAMES)), nargs="+", metavar="DATASET", help=known)
    return parser


def run(args) -> int:
    """Download and check the data sets, and print where they are."""
    for name in args.names:
        train, test = data.load(name)
        print(f"{train.source}: {len(train):,} training and {len(test):,} test images.", flush=True)
    return 0
