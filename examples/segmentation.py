"""Say for each pixel what it is: a small U-Net finds discs, squares and triangles on noisy backgrounds.

python examples/segmentation.py --out runs/segmentation

Trains for less than a minute on two processors and writes segmentation.png: pictures that it has not seen, the truth,
and what it says.
"""

import argparse
from pathlib import Path

import numpy as np

from fastcnn import data, models, nn, optim, training
from fastcnn.data.shapes import CLASSES


def main() -> None:
    """Draw, train, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/segmentation"), help="folder of the picture")
    parser.add_argument("--images", type=int, default=1536, help="training pictures")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=48, help="height and width of pictures, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    images, labels = data.shapes(args.images, args.size, rng=rng)
    unseen, truth = data.shapes(256, args.size, rng=rng)
    model = models.UNet(len(CLASSES), image_size=args.size, rng=rng)
    train(model, standard(images), labels, args.epochs, rng)

    predicted = model.compile_inference(64)(standard(unseen)).argmax(axis=1)
    for name, score in zip(CLASSES, intersection_over_union(predicted, truth), strict=True):
        print(f"{name:10} {score:.1%}")
    print(f"pixels that are right: {(predicted == truth).mean():.2%}")
    args.out.mkdir(parents=True, exist_ok=True)
    draw(unseen[:6, 0], truth[:6], predicted[:6], args.out / "segmentation.png")
    print(f"Written: {args.out / 'segmentation.png'}")


def train(model: nn.Module, x: np.ndarray, labels: np.ndarray, epochs: int, rng: np.random.Generator) -> None:
    """A class for each pixel is what cross-entropy takes: logits (N, classes, H, W) and labels (N, H, W)."""
    batch, optimizer = 16, optim.Adam(model.parameters(), lr=0.005)
    step = training.TrainStep(model, optimizer, nn.CrossEntropyLoss())
    schedule = optim.OneCycleLR(optimizer, 0.005, epochs * (len(x) // batch))
    for epoch in range(epochs):
        order, losses = rng.permutation(len(x)), []
        for start in range(0, len(x) - batch + 1, batch):
            chosen = order[start : start + batch]
            losses.append(step(x[chosen], labels[chosen]))
            schedule.step()
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", flush=True)
    model.eval()


def standard(images: np.ndarray) -> np.ndarray:
    """Grey levels around 0, as floats."""
    return (images.astype(np.float32) - 128) / 64


def intersection_over_union(predicted: np.ndarray, truth: np.ndarray) -> list[float]:
    """Of each class: pixels that are of it and are said to be, of those that are either."""
    found = [(predicted == kind, truth == kind) for kind in range(len(CLASSES))]
    return [(said & true).sum() / (said | true).sum() for said, true in found]


def draw(images: np.ndarray, truth: np.ndarray, predicted: np.ndarray, path: Path) -> None:
    """Three columns: the picture, the truth, the prediction."""
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
