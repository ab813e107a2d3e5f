"""Train a network that fits an ATmega328, with 32 KB of flash memory and 2 KB of RAM, and write it as one C file.

python examples/microcontroller.py --out runs/microcontroller
avr-gcc -mmcu=atmega328p -Os -std=gnu99 -c runs/microcontroller/net.c
"""

import argparse
import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn import data, interop, nn, optim, training
from fastcnn.commands.errors import sentence

EPOCHS, BATCH_SIZE, LEARNING_RATE = 12, 128, 0.01
CALIBRATION = 500  # images that decide which numbers the integers stand for


def build(rng: np.random.Generator) -> nn.Sequential:
    """Build LeNet-5's smaller sister.

    The images are not padded, so the first convolution can read them where they are. Each convolution does its
    max-pooling, too. So the microcontroller's memory holds the image, 784 bytes, and the results of the poolings, 832.
    """
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 16, 5, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 72, rng=rng), nn.ReLU(), nn.Linear(72, 10, rng=rng),
    )  # fmt: skip


def main() -> int:
    """Run the command line; return the exit code: 0, 2 for wrong options, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="microcontroller.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="MNIST's folder (default: FASTCNN_DATA; else download)")
    add("--epochs", type=int, metavar="N", default=EPOCHS, help="default: %(default)s")
    add("--limit", type=int, metavar="N", help="use at most N training images")
    add("--seed", type=int, metavar="N", default=0, help="default: %(default)s")
    add("--backend", choices=fastcnn.backends.names(), default="numba", help="default: %(default)s")
    add("--out", type=Path, metavar="DIR", default=Path("runs/microcontroller"), help="default: %(default)s")
    args = parser.parse_args()
    try:
        for name in ("epochs", "limit"):
            if getattr(args, name) is not None and getattr(args, name) < 1:
                raise ValueError(f"--{name} is {getattr(args, name)} but must be at least 1")
        fastcnn.set_backend(args.backend)
        args.out.mkdir(parents=True, exist_ok=True)
        train, test = data.mnist_or_digits(args.data)
        rng = np.random.default_rng(args.seed)
        if args.limit is not None:
            train = train.limit(args.limit, rng)
        print(f"Data: {train.source}. {len(train):,} training images, {len(test):,} test images.")
        prepare = data.Preprocessing(28, *data.mean_and_std(train.images))
        model = fit(train.images, train.labels, prepare, args.epochs, rng)
        net = nn.Sequential(*model, nn.Softmax())
        options = {"preprocessing": prepare, "precision": "int8", "calibration": train.images[:CALIBRATION]}
        sizes = interop.to_c(net, args.out / "net.c", (1, 28, 28), **options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {sentence(error)}\n")
    result = training.evaluate(model, prepare(test.images), test.labels)
    print(f"Accuracy: {result.accuracy:.2%} in float32.")
    if shutil.which("cc"):
        accuracy = np.mean(predictions(args.out / "net.c", test.images) == test.labels)
        print(f"Accuracy: {accuracy:.2%} in 8-bit integers, as computed by the C program.")
    else:
        print("The C program was not run, because there is no C compiler named cc.")
    print(
        f"Wrote {args.out / 'net.c'}: {sizes.flash:,} bytes of constants, {sizes.ram:,} bytes of RAM besides the image."
    )
    return 0


def fit(images: np.ndarray, labels: np.ndarray, prepare, epochs: int, rng: np.random.Generator) -> nn.Sequential:
    """Train on images that are moved and rotated a little, at random."""
    move = data.augment.Compose(data.augment.Shift(1), data.augment.Rotation(8))

    def augment(images, rng):
        return prepare(move(images, rng))

    model = build(rng)
    loader = data.DataLoader(images, labels, BATCH_SIZE, shuffle=True, rng=rng, augment=augment)
    optimizer = optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = optim.OneCycleLR(
        optimizer, LEARNING_RATE, epochs=epochs, steps_per_epoch=len(loader), cycle_momentum=False
    )
    training.Trainer(model, optimizer, nn.CrossEntropyLoss(), schedule).fit(loader, epochs=epochs)
    return model


def predictions(path: Path, images: np.ndarray) -> np.ndarray:
    """Compile the C file and classify images with it."""
    library = path.resolve().with_suffix(".so")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(path), "-o", str(library), "-lm"], check=True)
    predict = ctypes.CDLL(str(library)).predict
    probabilities = np.empty((len(images), 10), np.float32)
    for image, row in zip(images, probabilities, strict=True):
        predict(np.ascontiguousarray(image).ctypes, row.ctypes)
    return probabilities.argmax(1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
