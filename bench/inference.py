"""Time inference in fastcnn, PyTorch and ONNX Runtime: LeNet-5 and ResNet-20, on 1 to 1000 images."""

import sys

import _inference
import _measure
import _report
import _sides

NETS = {"lenet5": (1, 16, 128, 1000), "resnet20": (1, 16, 128)}
LENGTH = {"lenet5": 3000, "resnet20": 20_000}  # approximate number of roundings from a pixel to a logit


def main() -> int:
    args = _report.Options(__doc__).parse()
    with _measure.start(_sides.on(args.threads, "fastcnn", "PyTorch", "ONNX Runtime")) as sides:
        watch = _report.Watch(sides)
        tables = [inference_table(args, name) for name in NETS]
        where = watch.environment()
    for table in tables:
        table["notes"] += _report.missing(sides, "PyTorch", "ONNX Runtime")
    return _report.finish(args, "inference", tables, where)


def inference_table(args, name: str) -> dict:
    """Time the logits of N images of a net; return a table."""
    rows = []
    for N in _report.progress((1, 16) if args.quick else NETS[name], name):
        contenders = {
            "fastcnn": ("fastcnn", _inference.compiled, name, N),
            "the model": ("fastcnn", _inference.as_it_is, name, N),
            "PyTorch": ("PyTorch", _inference.pytorch, name, N),
            "PyTorch, optimized": ("PyTorch", _inference.pytorch_optimized, name, N),
            "ONNX Runtime": ("ONNX Runtime", _inference.onnx_runtime, name, N, args.threads),
        }
        right = {"length": LENGTH[name], "reference": lambda N=N: _inference.numpy_logits(name, N)}
        setups = _sides.on(args.threads, *dict.fromkeys(side for side, *_ in contenders.values()))
        rows.append({"N": N, **_measure.race(setups, contenders, **args.timing, **right)})
    columns = [
        ("images", "N", "d"),
        ("fastcnn, compiled, ms", "times/fastcnn/ms", ".3f"),
        ("the model itself, ms", "times/the model/ms", ".3f"),
    ]
    for library in ("PyTorch", "PyTorch, optimized", "ONNX Runtime"):
        columns += [(f"{library}, ms", f"times/{library}/ms", ".3f"), ("ratio", f"ratios/{library}/fastcnn", ".2f")]
    return _report.table(f"Inference of {name}", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
