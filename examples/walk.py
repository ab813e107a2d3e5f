"""Run the walk of walk.md: one convolution four times, each with its time and its share of the processor's peak.

python examples/walk.py
"""

import re
import sys
from pathlib import Path


def main() -> int:
    """Run all blocks of the page in one namespace."""
    text = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    namespace = {"__name__": "walk"}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, namespace)
    return 0


if __name__ == "__main__":
    sys.exit(main())
