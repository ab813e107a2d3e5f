"""Compare what `fastcnn export` writes in C, in float32 and in 8-bit integers: accuracy, memory and time.

python bench/to_c.py runs/lenet5 runs/resnet20

Each RUN is a folder of `fastcnn train`; its test images are classified by programs of `cc -O2`, on one processor.
Without a RUN, LeNet-5 is trained on built-in digits, which only checks that this program works.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _measure
import _report
import _sides
import numpy as np

from fastcnn import interop, nn, set_num_threads
from fastcnn.commands import evaluate, export
from fastcnn.commands.classifier import Classifier

TRAIN = "train --model lenet5 --data digits --limit 512 --epochs 1 --seed 0 --backend numpy --out"
COMPILER = ("cc", "-std=c99", "-O2")
CLOSE = 1e-3  # the largest difference of probabilities that rounding explains; those of ResNet-20 differ by 2e-6

COLUMNS = [
    ("network", "network", ""),
    ("test images", "images", "d"),
    ("accuracy, fastcnn", "accuracy/fastcnn", ".2%"),
    *((f"C, {name}", f"accuracy/{name}", ".2%") for name in export.PRECISIONS),
    ("other class, float32", "others/float32", "d"),
    ("int8", "others/int8", "d"),
    ("flash, bytes, float32", "flash/float32", ",d"),
    ("int8", "flash/int8", ",d"),
    ("RAM, bytes, float32", "ram/float32", ",d"),
    ("int8", "ram/int8", ",d"),
    ("ms per image, float32", "ms/float32", ".3f"),
    ("int8", "ms/int8", ".3f"),
]

# Classifies the images of stdin, one after another.
MAIN = """
#include <stdint.h>
#include <stdio.h>
void predict(const uint8_t *image, float *probabilities);
int main(void)
{
    static uint8_t image[IMAGE];
    static float probabilities[CLASSES];
    while (fread(image, sizeof image, 1, stdin) == 1) {
        predict(image, probabilities);
        fwrite(probabilities, sizeof probabilities, 1, stdout);
    }
    return 0;
}
"""


def main() -> int:
    parser = _report.Options(__doc__, rounds=(), processes=())
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="a folder of fastcnn train")
    args = parser.parse()
    if not shutil.which(COMPILER[0]):
        parser.error("there is no C compiler named cc")
    set_num_threads(args.threads)
    with _measure.start(_sides.on(args.threads, "fastcnn")) as sides, tempfile.TemporaryDirectory() as folder:
        watch, runs = _report.Watch(sides), args.runs
        if not runs:
            runs = [Path(folder) / "lenet5"]
            command = [sys.executable, "-m", "fastcnn", *TRAIN.split(), str(runs[0])]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        try:
            rows = [row(Classifier(run), args.quick, Path(folder)) for run in _report.progress(runs, "runs")]
        except (ValueError, OSError) as error:
            parser.error(str(error))
        where = watch.environment()
    notes = [f"{' '.join(COMPILER)}; int8 is calibrated on {export.CALIBRATION} training images."]
    args.runs = [run.name for run in args.runs]
    return _report.finish(args, "to_c", [_report.table("C programs of trained networks", COLUMNS, rows, notes)], where)


def row(classifier: Classifier, quick: bool, folder: Path) -> dict:
    """Return the row of a run."""
    test, _ = evaluate.images_of(classifier)
    if quick:
        test = test.take(np.arange(100))
    images, shape = export.fitted(test.images, classifier), export.image_shape(classifier)
    exact = np.concatenate([classifier.probabilities(images[i : i + 100]) for i in range(0, len(images), 100)])
    found: dict = {
        "network": classifier.settings["model"], "images": len(images), "accuracy": {"fastcnn": accuracy(exact, test)},
        "others": {}, "flash": {}, "ram": {}, "ms": {}, "wrong": {},
    }  # fmt: skip
    model = nn.Sequential(*classifier.model, nn.Softmax())
    for precision in export.PRECISIONS:
        calibration = export.calibration(classifier) if precision == "int8" else None
        path, preprocess = folder / f"{precision}.c", classifier.preprocess
        found["flash"][precision], found["ram"][precision] = interop.to_c(
            model, path, shape, preprocessing=preprocess, precision=precision, calibration=calibration
        )
        program, start = compiled(path, shape, len(classifier.classes)), time.perf_counter()
        done = subprocess.run([program], input=images.tobytes(), stdout=subprocess.PIPE, check=True)
        found["ms"][precision] = (time.perf_counter() - start) * 1000 / len(images)
        probabilities = np.frombuffer(done.stdout, np.float32).reshape(exact.shape)
        found["accuracy"][precision] = accuracy(probabilities, test)
        found["others"][precision] = int(np.sum(probabilities.argmax(1) != exact.argmax(1)))
        if precision == "float32":
            found["difference"] = difference = float(np.abs(probabilities - exact).max())
            if difference > CLOSE:
                found["wrong"][precision] = f"{found['network']}: the C program's probabilities differ by {difference}."
    return found


def accuracy(probabilities: np.ndarray, test) -> float:
    """Return the share of the test images whose class has the largest probability."""
    return float(np.mean(probabilities.argmax(1) == test.labels))


def compiled(path: Path, shape: tuple[int, int, int], classes: int) -> Path:
    """Compile a C file with `MAIN`; return the program."""
    text, program = path.with_name("main.c"), path.with_suffix("")
    text.write_text(MAIN, encoding="utf-8")
    sizes = (f"-DIMAGE={np.prod(shape)}", f"-DCLASSES={classes}")
    subprocess.run([*COMPILER, *sizes, str(text), str(path), "-o", str(program), "-lm"], check=True)
    return program


if __name__ == "__main__":
    sys.exit(main())
