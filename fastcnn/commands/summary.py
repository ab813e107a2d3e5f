"""``fastcnn summary``: show the layers and costs of a model."""

from fastcnn import models, nn
from fastcnn.commands.arguments import Parser, Table, choice, from_text
from fastcnn.commands.errors import usage

EXAMPLES = """\
  fastcnn summary lenet5
  fastcnn summary resnet20 --options num_classes=100
  fastcnn summary mlp --options hidden=[392,196] image_size=32
"""


def parser() -> Parser:
    """Describe the options."""
    about = "Print a model's layers with their shapes, parameters, multiply-adds and memory for one image."
    parser = Parser("fastcnn summary", about, EXAMPLES)
    known = f"one of {', '.join(models.NAMES)}"
    parser.add_argument("model", type=from_text(choice(*models.NAMES)), metavar="MODEL", help=known)
    options = "options of the model, such as num_classes=100"
    parser.add_argument("--options", action=Table, nargs="+", default={}, metavar="NAME=VALUE", help=options)
    return parser


def run(args) -> int:
    """Print the summary."""
    with usage():
        model = models.build(args.model, **args.options)
    print(nn.summarize(model))
    return 0
