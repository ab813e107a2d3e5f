"""Run the page walk.md: a convolution forward and backward, from loops to tiles, timed; then the exercises' checks.

python examples/walk.py
python examples/walk.py --answers
"""

import argparse
import re
import sys
from pathlib import Path

PAGE = Path(__file__).with_suffix(".md")
ANSWERS = PAGE.with_name("walk_answers.md")


def run(*pages: Path) -> dict:
    """Run the Python blocks of pages in one namespace, and return it; tracebacks show lines of the page."""
    namespace = {"__name__": "walk"}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
            lines_before = text.count("\n", 0, block.start(1))
            exec(compile("\n" * lines_before + block[1], page, "exec"), namespace)
    return namespace


def main() -> int:
    """Run the page, and the answers if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--answers", action="store_true", help="then run the answers to the exercises")
    args = parser.parse_args()
    run(*(PAGE, ANSWERS) if args.answers else (PAGE,))
    return 0


if __name__ == "__main__":
    sys.exit(main())
