"""Draw a digit with the mouse and see a network's prediction while you draw.

python examples/draw_digit.py runs/lenet5-mnist
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from fastcnn import data
from fastcnn.__main__ import main as fastcnn
from fastcnn._text import unicode_text
from fastcnn.commands.classifier import Classifier
from fastcnn.commands.errors import sentence

SIDE = 112  # pixels of the sheet along each side
PEN = 4.5  # radius in pixels
SHARP = 1.0  # width of the pen's blurred edge in pixels
WITHOUT_WINDOWS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")  # backends of matplotlib without windows
BLUE, GREY, DARK = "#0072B2", "#BCC6CE", "#444444"


def main() -> int:
    """Open the window; return the exit code: 1 without a window or network, or that of a failed ``fastcnn train``."""
    parser = argparse.ArgumentParser("draw_digit.py", description="Draw a digit and see a network's prediction.")
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        default=Path("runs/draw_digit"),
        help="a folder of fastcnn train, for MNIST or the built-in digits (default: %(default)s, trained if missing)",
    )
    args = parser.parse_args()
    from matplotlib import pyplot as plt

    if plt.get_backend().lower() in WITHOUT_WINDOWS:
        print(f"{parser.prog}: matplotlib's backend {plt.get_backend()} opens no window.", file=sys.stderr)
        return 1
    if args.run == parser.get_default("run") and not any(args.run.glob("checkpoint-*")) and (code := train(args.run)):
        return code
    try:
        window = Window(Classifier(args.run))
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {sentence(error)}", file=sys.stderr)
        return 1
    print("Hold the left button to draw; a right click or c clears the sheet.", window.title, sep="\n")
    plt.show()
    return 0


def train(folder: Path) -> int:
    """Train LeNet-5 on MNIST, or on the built-in digits if MNIST is not available; return the exit code."""
    try:
        data.mnist()
        name = "mnist"
    except data.DownloadError as error:
        print(f"No MNIST: {error.reason}. The network is trained on digits drawn by fastcnn.", file=sys.stderr)
        name = "digits"
    print(f"Training a network the first time, which takes a minute or two; it is kept in {folder}.", file=sys.stderr)
    # Augmentation helps, because digits drawn with a mouse differ from MNIST's.
    options = ["--epochs", "4", "--augment", "shift=1", "rotation=15", "scale=[0.85,1.1]"]
    return fastcnn(["train", "--data", name, *options, "--out", str(folder)])


class Sheet:
    """A square sheet to draw on.

    Attributes
    ----------
    picture : ndarray of uint8, shape (1, SIDE, SIDE)
        The drawing: ink is 255, the background 0.
    """

    def __init__(self):
        self.clear()

    def clear(self) -> None:
        """Clear the sheet."""
        self.picture = np.zeros((1, SIDE, SIDE), np.uint8)

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a straight line with a round pen between two points (x, y), with coordinates from 0 to 1 and y down."""
        y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
        (x0, y0), (dx, dy) = start, np.subtract(end, start)
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / max(dx**2 + dy**2, 1e-12), 0, 1)  # nearest point on the line
        distance = np.hypot(x - x0 - t * dx, y - y0 - t * dy) * SIDE
        ink = np.clip((PEN - distance) / SHARP + 0.5, 0, 1)
        np.maximum(self.picture[0], np.rint(255 * ink).astype(np.uint8), out=self.picture[0])

    def digit(self) -> np.ndarray | None:
        """Return the digit as the input of the network, (1, 28, 28); None if the sheet is empty."""
        return data.digit_image(self.picture) if self.picture.any() else None


class Window:
    """A figure with the sheet on the left and the network's prediction on the right.

    Parameters
    ----------
    classifier : Classifier
        A classifier of 28x28 grey digits.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure, connected to the events of mouse and keyboard.
    sheet : Sheet
    probabilities : ndarray or None
        The predicted probabilities, as the bars show them.
    """

    def __init__(self, classifier: Classifier):
        if classifier.image_shape != (1, 28, 28):
            C, H, W = classifier.image_shape
            raise ValueError(f"The network must take grey digits of 28x28 but was trained on images of {C}x{H}x{W}.")
        from matplotlib import pyplot as plt
        from matplotlib.text import Text

        self.classifier, self.sheet, self.probabilities = classifier, Sheet(), None
        name = unicode_text(Path(classifier.settings["data"]).stem)
        self.title = f"{classifier.settings['model']}, trained on {name}"
        self._last = None  # position of the pen while the button is pressed
        classifier.probabilities(np.zeros((1, 1, 28, 28), np.uint8))  # compiles before the first stroke
        self.figure = plt.figure("Draw a digit", figsize=(9.5, 5), layout="constrained")
        axes = self.figure.subplot_mosaic(
            [["sheet", "bars"], ["sheet", "seen"]], width_ratios=(1.35, 1), height_ratios=(2.6, 1)
        )
        self._axes, levels = axes["sheet"], {"cmap": "gray_r", "vmin": 0, "vmax": 255}
        self._drawn = self._axes.imshow(self.sheet.picture[0], extent=(0, 1, 1, 0), interpolation="bilinear", **levels)
        self._seen = axes["seen"].imshow(np.zeros((28, 28)), cmap="gray", vmin=0, vmax=255)
        count = len(classifier.classes)
        self._bars = axes["bars"].barh(range(count), np.zeros(count), color=GREY)
        axes["bars"].set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "50", "100 %"), ylim=(count - 0.5, -0.5))
        axes["bars"].set_yticks(range(count), map(unicode_text, classifier.classes))
        axes["bars"].spines[["top", "right", "left"]].set_visible(False)
        axes["bars"].tick_params(axis="y", length=0)
        axes["bars"].set_title(self.title, loc="left", fontsize=10, color=DARK)
        axes["seen"].set_title("what it sees", loc="left", fontsize=10, color=DARK)
        for name in ("sheet", "seen"):
            axes[name].set(xticks=[], yticks=[])
            axes[name].spines[:].set_color(GREY)
        self._say("Draw a digit")
        self._axes.set_xlabel("left button: draw     right button or c: clear", color=DARK)
        for text in self.figure.findobj(Text):  # no ticks but names
            text.set_parse_math(False)  # "$" in a name does not start mathematics
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # with a fixed layout a redraw takes 33 ms instead of 56
        for event, heard in (
            ("button_press_event", self._press),
            ("motion_notify_event", self._move),
            ("button_release_event", self._release),
            ("key_press_event", self._key),
        ):
            self.figure.canvas.mpl_connect(event, heard)

    def _press(self, event) -> None:
        if event.button == 3:
            self._clear()
        elif event.button == 1 and event.inaxes is self._axes:
            self._last = event.xdata, event.ydata
            self._move(event)

    def _move(self, event) -> None:
        if self._last is not None and event.inaxes is self._axes:
            here = event.xdata, event.ydata
            self.sheet.line(self._last, here)
            self._last = here
            self._show()

    def _release(self, event) -> None:
        self._last = None

    def _key(self, event) -> None:
        if event.key == "c":
            self._clear()

    def _clear(self) -> None:
        self.sheet.clear()
        self._last = None
        self._show()

    def _show(self) -> None:
        """Run the network and redraw the figure."""
        digit = self.sheet.digit()
        self.probabilities = None if digit is None else self.classifier.probabilities(digit[None])[0]
        shares = np.zeros(len(self._bars)) if digit is None else self.probabilities
        for bar, share in zip(self._bars, shares, strict=True):
            bar.set(width=share, color=BLUE if share and share == shares.max() else GREY)
        self._drawn.set_data(self.sheet.picture[0])
        self._seen.set_data(np.zeros((28, 28)) if digit is None else digit[0])
        k = int(shares.argmax())
        name = unicode_text(self.classifier.classes[k])
        self._say("Draw a digit" if digit is None else f"{name}  ({shares[k]:.0%})")
        self.figure.canvas.draw_idle()

    def _say(self, text: str) -> None:
        self._axes.set_title(text, loc="left", fontweight="bold")


if __name__ == "__main__":
    sys.exit(main())
