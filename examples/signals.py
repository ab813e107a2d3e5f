"""Train a small 1-d network to classify noisy waveforms, and plot its predictions.

python examples/signals.py --out runs/signals
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn import data, models, nn, optim, plotting, training
from fastcnn.backends import names

SHOWN = 4  # signals of each form in the figure
BLUE, ORANGE, DARK = "#0072B2", "#D55E00", "#444444"


def main() -> int:
    """Run the command line; return the exit code: 0, or 2 for wrong options."""
    parser = argparse.ArgumentParser("signals.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/signals"), help="output folder")
    parser.add_argument("--signals", type=int, default=4000, metavar="N", help="to train with (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=8, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--noise", type=float, default=0.3, metavar="STD", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--backend", choices=names(), default="numba", help="(default: %(default)s)")
    args = parser.parse_args()
    try:
        rng = np.random.default_rng(args.seed)
        signals, labels = data.waveforms(args.signals, noise=args.noise, rng=rng)
        validation, test = (data.waveforms(1000, noise=args.noise, rng=rng) for _ in range(2))
        fastcnn.set_backend(args.backend)
        args.out.mkdir(parents=True, exist_ok=True)
        model = models.SignalNet(rng=rng)
        batches = data.DataLoader(signals, labels, 64, shuffle=True, rng=rng)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        schedule = optim.OneCycleLR(optimizer, 0.01, total_steps=max(1, args.epochs * len(batches)))
        trainer = training.Trainer(model, optimizer, nn.CrossEntropyLoss(), schedule)
        history = trainer.fit(batches, validation, epochs=args.epochs)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    result = training.evaluate(model, *test)  # the test signals are used only here
    print(f"Accuracy: {result.accuracy:.1%} of {len(test[0]):,} new signals of {len(data.WAVEFORMS)} forms.")
    history.to_json(args.out / "history.json")
    plotting.plot_history(history).savefig(args.out / "curves.png")
    plotting.plot_confusion(result.confusion, data.WAVEFORMS).savefig(args.out / "confusion.png")
    draw(*test, result.probabilities).savefig(args.out / "signals.png")
    print(f"Wrote confusion.png, curves.png, history.json and signals.png to {args.out}.")
    return 0


def draw(signals: np.ndarray, labels: np.ndarray, probabilities: np.ndarray):
    """Plot a row for each form, the least certain signal first, with the prediction above each signal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * SHOWN, 1.35 * len(data.WAVEFORMS)), dpi=150, layout="constrained")
    for row, label in zip(figure.subplots(len(data.WAVEFORMS), SHOWN, squeeze=False), range(5), strict=True):
        which = np.flatnonzero(labels == label)
        doubtful = which[probabilities[which, label].argmin()]
        for axes, i in zip(row, [doubtful, *which[which != doubtful]], strict=False):
            guess = int(probabilities[i].argmax())
            right = guess == label
            axes.plot(signals[i, 0], color=BLUE if right else ORANGE, linewidth=0.9)
            text = f"{data.WAVEFORMS[guess]}, {probabilities[i, guess]:.0%}".replace("%", " %")
            axes.set_title(text, fontsize="small", loc="left", color=DARK if right else ORANGE)
        for axes in row:
            axes.set(xticks=[], yticks=[], ylim=(-3, 3))
            axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
        row[0].set_ylabel(data.WAVEFORMS[label], rotation=0, ha="right", va="center", fontweight="bold")
    title = "Predictions, orange if wrong; the least certain signal of each form is on the left"
    figure.suptitle(title, fontsize="medium")
    return figure


if __name__ == "__main__":
    sys.exit(main())
