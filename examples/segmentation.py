"""Classify every pixel: a small U-Net finds discs, squares and triangles on noisy backgrounds.

python examples/segmentation.py --out runs/segmentation

Training takes less than a minute on two processors. The program writes curves.png, and segmentation.png with unseen
pictures, the truth and the predictions.
"""

import argparse
from pathlib import Path

import numpy as np

from fastcnn import data, models, nn, optim, plotting, training
from fastcnn.data.shapes import CLASSES


def main() -> None:
    """Draw the pictures, train the net, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/segmentation"), help="output folder")
    parser.add_argument("--images", type=int, default=1536, help="number of training pictures")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=48, help="height and width of pictures, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    images, labels = data.shapes(args.images, args.size, rng=rng)
    validation, truth_there = data.shapes(128, args.size, rng=rng)
    unseen, truth = data.shapes(256, args.size, rng=rng)

    # Cross-entropy takes a class for each pixel: logits (N, classes, H, W) and labels (N, H, W).
    model, task = models.UNet(len(CLASSES), image_size=args.size, rng=rng), training.Segmentation()
    batches = data.DataLoader(standard(images), labels, 16, shuffle=True, rng=rng, drop_last=True)
    optimizer = optim.Adam(model.parameters(), lr=0.005)
    schedule = optim.OneCycleLR(optimizer, 0.005, args.epochs * len(batches))
    trainer = training.Trainer(model, optimizer, nn.CrossEntropyLoss(), schedule, task=task)
    history = trainer.fit(batches, (standard(validation), truth_there), args.epochs)

    print(training.evaluate(model, standard(unseen), truth, task=task).table(CLASSES))
    shown = slice(6)
    predicted = model.compile_inference()(standard(unseen[shown])).argmax(axis=1)
    args.out.mkdir(parents=True, exist_ok=True)
    plotting.plot_history(history).savefig(args.out / "curves.png")
    draw(unseen[shown, 0], truth[shown], predicted, args.out / "segmentation.png")
    print(f"Wrote curves.png and segmentation.png to {args.out}.")


def standard(images: np.ndarray) -> np.ndarray:
    """Convert grey levels to floats around 0."""
    return (images.astype(np.float32) - 128) / 64


def draw(images: np.ndarray, truth: np.ndarray, predicted: np.ndarray, path: Path) -> None:
    """Draw three columns: the pictures, the truth and the predictions."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = ListedColormap(["#eeeeee", "#0072b2", "#e69f00", "#009e73"])
    figure = Figure(figsize=(5.4, 1.75 * len(images) + 0.7), layout="constrained")
    axes = figure.subplots(len(images), 3, squeeze=False)
    for row, (image, true, said) in zip(axes, zip(images, truth, predicted, strict=True), strict=True):
        row[0].imshow(image, cmap="gray", vmin=0, vmax=255)
        for axis, labels in ((row[1], true), (row[2], said)):
            axis.imshow(labels, cmap=colours, vmin=0, vmax=len(CLASSES) - 1, interpolation="nearest")
    for axis, title in zip(axes[0], ("picture", "truth", "prediction"), strict=True):
        axis.set_title(title)
    for axis in axes.flat:
        axis.set_axis_off()
    patches = [Patch(color=colours(kind), label=name) for kind, name in enumerate(CLASSES)]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(CLASSES), frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
