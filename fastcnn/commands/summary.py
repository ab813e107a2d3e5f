"""``fastcnn summary``: what a model consists of and what it costs."""

from fastcnn import models, nn
from fastcnn.commands.arguments import Parser, Table
from fastcnn.commands.errors import usage

EXAMPLES = """\
  fastcnn summary lenet5
  fastcnn summary resnet20 --options num_classes=100
  fastcnn summary mlp --options hidden=[392,196] image_size=32
"""


def parser() -> Parser:
    """Describe the options."""
    about = "Print a model's layers, with shapes, parameters, multiply-adds and memory of one image."
    parser = Parser("fastcnn summary", about, EXAMPLES)
    parser.add_argument("model", choices=models.NAMES, metavar="MODEL", help=f"one of {', '.join(models.NAMES)}")
    parser.add_argument(
        "--options", action=Table, nargs="+", default={}, metavar="NAME=VALUE", help="of the model, all that it has"
    )
    return parser


def run(args) -> int:
    """Print it."""
    with usage():
        model = models.build(args.model, **args.options)
    print(nn.summarize(model))
    return 0
