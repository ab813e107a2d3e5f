"""Measure the largest float32 rounding error of every operation of fastcnn and PyTorch, in units in the last place.

Exact results are computed in float64 from the same normally distributed float32 numbers. A unit in the last place of a
number is the distance to the next float32 (`numpy.spacing`); an error of half a unit is the rounding of the result
alone. Errors are given in two ways:

* in units of the exact result. If the terms of a sum cancel, the result is small compared with the terms, and even a
  good summation has an error of many such units;
* in units of the sum of the absolute values of the terms. In these units the error is at most about half the number of
  terms, whatever the order of summation (N. J. Higham, "Accuracy and stability of numerical algorithms", 2nd ed., SIAM
  2002, equation 3.5).

A second table shows the errors of the activations in float64, compared with 40-digit numbers of mpmath, which is
installed with PyTorch.
"""

import importlib.util
import sys

import _measure
import _report
import _sides
import numpy as np

from fastcnn import functional as F
from fastcnn import nn, use_backend, use_convolution
from fastcnn.commands.parts import OPTIMIZERS

LIBRARIES = {"numba": "fastcnn", "numpy": "NumPy", "PyTorch": "PyTorch"}  # backend or library -> its side
SEEDS = 5
COLUMNS = [
    ("operation", "operation", ""),
    ("terms", "terms", "d"),
    *((f"{by}, of the result", f"of_result/{by}", ".3g") for by in LIBRARIES),
    *((f"{by}, of the sum", f"of_sum/{by}", ".3g") for by in LIBRARIES),
]

# Sums of products: shape of one image, shape of the filters, options. The name starts with the function's name.
SUMS = {
    "conv2d, 6→16, 5x5": ((6, 14, 14), (16, 6, 5, 5), {}),
    "conv2d, 64→64, 3x3": ((64, 14, 14), (64, 64, 3, 3), {"padding": 1}),
    "conv2d, 64→64, 3x3, direct": ((64, 14, 14), (64, 64, 3, 3), {"padding": 1}),
    "conv2d, depthwise, 3x3": ((64, 14, 14), (64, 1, 3, 3), {"padding": 1, "groups": 64}),
    "conv_transpose2d, 16→6, 4x4": ((16, 7, 7), (16, 6, 4, 4), {"stride": 2, "padding": 1}),
    "linear, 400→120": ((400,), (120, 400), {}),
}
MEANS = {
    "avg_pool2d, 3x3": ("avg_pool2d", (16, 15, 15), (3, 2)),
    "adaptive_avg_pool2d, 15x15→4x4": ("adaptive_avg_pool2d", (16, 15, 15), (4,)),
}
ACTIVATIONS = {
    "tanh": "y", "sigmoid": "y", "silu": "x", "elu": "x", "gelu": "x", "hardswish": "x", "softplus": "x", "mish": "x",
    "softmax": "y", "log_softmax": "y",
}  # fmt: skip
STEPS = {  # optimizers with the settings of the command line and a weight decay
    f"{kind.__name__}, ten steps": (kind, {"lr": lr, "weight_decay": 1e-4, **options})
    for kind, lr, options in OPTIMIZERS.values()
}
WEIGHTED = {  # operations with parameters: shape of these, and arguments between x and these
    "group_norm, 3 groups": ((6,), (3,)),
    "layer_norm": ((6, 14, 14), ((6, 14, 14),)),
    "prelu": ((6,), ()),
}
LOSSES = (
    "cross_entropy", "nll_loss", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss", "smooth_l1_loss",
    "huber_loss",
)  # fmt: skip
OTHERS = ("batch_norm", *WEIGHTED, *LOSSES, *STEPS)
COLUMNS_64 = [COLUMNS[0], *((by, f"of_result/{by}", ".3g") for by in LIBRARIES)]
OPERATIONS = (*SUMS, *MEANS, *ACTIVATIONS, *OTHERS)


def main() -> int:
    args = _report.Options(__doc__, rounds=(), processes=()).parse()
    N, seeds = (2, 1) if args.quick else (32, SEEDS)
    rows = []
    with _measure.start(_sides.on(args.threads, *LIBRARIES.values())) as sides:
        watch = _report.Watch(sides)
        for name in _report.progress(OPERATIONS, "operations"):
            rows += errors(sides, name, N, seeds)
        rows_64 = (
            [errors_64(sides, name, N, seeds) for name in ACTIVATIONS] if importlib.util.find_spec("mpmath") else []
        )
        where = watch.environment()
    notes = _report.missing(sides, "PyTorch")
    table = _report.table("Largest errors in float32, in units in the last place", COLUMNS, rows, notes)
    tables = [table]
    if rows_64:
        title = "Largest errors in float64, in units in the last place of the result"
        tables.append(_report.table(title, COLUMNS_64, rows_64, notes))
    return _report.finish(args, "errors", tables, where)


def errors(sides: dict, name: str, N: int, seeds: int) -> list[dict]:
    """Return rows of the table, one for each result of an operation."""
    rows, sum_like = {}, name in SUMS or name in MEANS
    # if all numbers are 1, a sum of products is the number of its terms
    terms = results("numpy", name, N, 0, "ones") if name in SUMS else {}
    for seed in range(seeds):
        exact = results("numpy", name, N, seed, "float64")
        sums = results("numpy", name, N, seed, "absolute") if sum_like else {}
        for by, side in LIBRARIES.items():
            if side not in sides:
                continue
            for result, array in sides[side](results, by, name, N, seed, "float32").items():
                row = rows.setdefault(result, {"operation": f"{name}: {result}", "of_result": {}, "of_sum": {}})
                if terms:
                    row["terms"] = int(terms[result].max())
                for column, of in (("of_result", exact), ("of_sum", sums)):
                    if of:
                        error = units(array, exact[result], of[result])
                        row[column][by] = max(error, row[column].get(by, 0.0))
    return list(rows.values())


def errors_64(sides: dict, name: str, N: int, seeds: int) -> dict:
    """Return the row of an operation in the table for float64."""
    import mpmath

    row: dict = {"operation": f"{name}: y", "of_result": {}}
    with mpmath.workdps(40):
        for seed in range(seeds):
            x = (3 * np.random.default_rng(seed).standard_normal((N, 10, 10))).astype(np.float32)
            exact = [value for line in x.reshape(-1, 10).tolist() for value in exactly(name, line)]
            for by, side in LIBRARIES.items():
                if side in sides:
                    found = sides[side](results, by, name, N, seed, "float64")["y"].ravel().tolist()
                    unit = np.spacing(np.abs([float(value) for value in exact])).tolist()
                    error = max(float(abs(a - e) / u) for a, e, u in zip(found, exact, unit, strict=True))
                    row["of_result"][by] = max(error, row["of_result"].get(by, 0.0))
    return row


def exactly(name: str, line: list[float]) -> list:
    """Compute an activation of ten numbers with mpmath; softmax is taken over the ten."""
    from mpmath import erfc, exp, expm1, log, mpf, sqrt, tanh

    numbers = [mpf(value) for value in line]
    total = sum(exp(v) for v in numbers)
    functions = {
        "tanh": tanh,
        "sigmoid": lambda v: 1 / (1 + exp(-v)),
        "silu": lambda v: v / (1 + exp(-v)),
        "elu": lambda v: v if v > 0 else expm1(v),
        "gelu": lambda v: v * erfc(-v / sqrt(2)) / 2,
        "hardswish": lambda v: v * min(max(v + 3, 0), 6) / 6,
        "softplus": lambda v: log(1 + exp(v)),
        "mish": lambda v: v * tanh(log(1 + exp(v))),
        "softmax": lambda v: exp(v) / total,
        "log_softmax": lambda v: v - log(total),
    }
    return [functions[name](v) for v in numbers]


def units(array, exact, of) -> float:
    """Return the largest error of an array, in units in the last place of ``of``."""
    unit = np.spacing(np.maximum(np.abs(of).astype(np.float32), np.finfo(np.float32).tiny))
    return float((np.abs(array.astype(np.float64) - exact) / unit.astype(np.float64)).max())


def results(by: str, name: str, N: int, seed: int, what: str) -> dict[str, np.ndarray]:
    """Compute all results of an operation, by name; call it on the side of the library ``by``.

    ``what`` is "float32", "float64" for the same numbers in float64, "absolute" for their absolute values in float64,
    or "ones" for ones instead of them.
    """
    rng = np.random.default_rng(seed)

    def draw(*shape, form=np.asarray):
        """Draw normal numbers, apply ``form`` and round to float32, so that all libraries get the same numbers."""
        numbers = np.ones(shape) if what == "ones" else form(rng.standard_normal(shape)).astype(np.float32)
        wide = numbers if what == "float32" else numbers.astype(np.float64)
        return np.abs(wide) if what == "absolute" else wide

    library = pytorchs if by == "PyTorch" else fastcnns
    way = "direct" if name.endswith(", direct") else "auto"
    with np.errstate(invalid="ignore"), use_convolution(way):
        if name in SUMS:
            x, weight, options = SUMS[name]
            operation = name.partition(",")[0]
            filters = weight[1] if operation == "conv_transpose2d" else weight[0]
            arrays = draw(N, *x), draw(*weight), draw(filters)
            return library(by, operation, arrays, draw, options)
        if name in MEANS:
            operation, x, numbers = MEANS[name]
            return library(by, operation, (draw(N, *x),), draw, {}, numbers)
        if name in ACTIVATIONS:
            options = {"dim": -1} if "softmax" in name else {}
            return library(by, name, (draw(N, 10, 10, form=lambda x: 3 * x),), draw, options)
        return OTHER_RESULTS[name](by, N, draw, rng)


def fastcnns(by, operation, arrays, draw, options, numbers=()) -> dict[str, np.ndarray]:
    """Compute an operation of `fastcnn.functional` and its gradients."""
    options = {**options, "backend": by}
    y = getattr(F, operation)(*arrays, *numbers, **options)
    dy, x = draw(*y.shape), arrays[0]
    if len(arrays) > 1:
        known = x, arrays[1]
    else:
        known = (x.shape,) if "pool" in operation else (y if ACTIVATIONS[operation] == "y" else x,)
        known += numbers[: 0 if "adaptive" in operation else None]
    gradients = getattr(F, f"{operation}_backward")(dy, *known, **options)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    return dict(zip(("y", "dx", "dweight", "dbias"), (y, *gradients), strict=False))


def pytorchs(by, operation, arrays, draw, options, numbers=()) -> dict[str, np.ndarray]:
    """Compute an operation of `torch.nn.functional` and its gradients."""
    import torch

    leaves = [torch.from_numpy(array).requires_grad_() for array in arrays]
    y = getattr(torch.nn.functional, operation)(*leaves, *numbers, **options)
    gradients = torch.autograd.grad(y, leaves, torch.from_numpy(draw(*y.shape)))
    tensors = zip(("y", "dx", "dweight", "dbias"), (y.detach(), *gradients), strict=False)
    return {name: tensor.numpy() for name, tensor in tensors}


def batch_norm(by, N, draw, rng) -> dict[str, np.ndarray]:
    """Compute batch normalization in training mode and its gradients."""
    x, weight = draw(N, 6, 14, 14, form=lambda x: 2 * x + 3), draw(6)
    bias, dy = draw(6), draw(N, 6, 14, 14)
    if by == "PyTorch":
        found = theirs(lambda x, *affine: their("batch_norm")(x, None, None, *affine, True), (x, weight, bias), dy)
    else:
        options = {"training": True, "backend": by}
        y, *statistics = F.batch_norm(x, None, None, weight, bias, **options, return_statistics=True)
        found = y, *F.batch_norm_backward(dy, x, *statistics, weight, **options)
    return dict(zip(("y", "dx", "dweight", "dbias"), found, strict=True))


def weighted(name):
    """Make the function that computes an operation of `WEIGHTED` and its gradients."""
    operation, (shape, given) = name.partition(",")[0], WEIGHTED[name]

    def both(by, N, draw, rng) -> dict[str, np.ndarray]:
        x = draw(N, 6, 14, 14, form=lambda x: 2 * x + 3 * (operation != "prelu"))
        parameters, dy = [draw(*shape) for _ in range(1 if operation == "prelu" else 2)], draw(*x.shape)
        if by == "PyTorch":
            found = theirs(lambda x, *own: their(operation)(x, *given, *own), (x, *parameters), dy)
        else:
            y = getattr(F, operation)(x, *given, *parameters, backend=by)
            found = y, *getattr(F, f"{operation}_backward")(dy, x, *given, parameters[0], backend=by)
        return dict(zip(("y", "dx", "dweight", "dbias"), found, strict=False))

    return both


def their(operation: str):
    """Return PyTorch's function for an operation."""
    import torch

    return getattr(torch.nn.functional, operation)


def theirs(compute, arrays, dy) -> list[np.ndarray]:
    """Call a function of PyTorch with arrays; return its output and its gradients with respect to all of them."""
    import torch

    leaves = [torch.from_numpy(array).requires_grad_() for array in arrays]
    y = compute(*leaves)
    return [tensor.numpy() for tensor in (y.detach(), *torch.autograd.grad(y, leaves, torch.from_numpy(dy)))]


TARGETS = {"binary_cross_entropy_with_logits": lambda x: 1 / (1 + np.exp(-x))}  # probabilities


def loss(operation):
    """Make the function that computes a loss and its gradient, in the dtype of the numbers."""

    def both(by, N, draw, rng) -> dict[str, np.ndarray]:
        x = draw(N, 10, form=lambda x: 3 * x)
        classes = operation in ("cross_entropy", "nll_loss")
        target = rng.integers(0, 10, N) if classes else draw(N, 10, form=TARGETS.get(operation, np.asarray))
        if by == "PyTorch":
            import torch

            leaf = torch.from_numpy(x).requires_grad_()
            value = their(operation)(leaf, torch.from_numpy(target))
            return {"loss": value.detach().numpy(), "dx": torch.autograd.grad(value, leaf)[0].numpy()}
        value = getattr(F, operation)(x, target, backend=by)
        return {"loss": np.asarray(value), "dx": getattr(F, f"{operation}_backward")(x, target, backend=by)}

    return both


def ten_steps(name):
    """Make the function that takes ten steps with an optimizer of `STEPS`."""
    kind, options = STEPS[name]

    def steps(by, N, draw, rng) -> dict[str, np.ndarray]:
        parameter, grads = draw(20, 50), draw(10, 20, 50)
        if by == "PyTorch":
            return {"parameter": their_steps(kind.__name__, options, parameter, grads)}
        ours = nn.Parameter(parameter)
        optimizer = kind([ours], **options)
        with use_backend(by):
            for grad in grads:
                ours.grad = grad
                optimizer.step()
        return {"parameter": ours.data}

    return steps


def their_steps(kind: str, options: dict, parameter, grads) -> np.ndarray:
    """Take the same steps with PyTorch's optimizer."""
    import torch

    leaf = torch.from_numpy(parameter).requires_grad_()
    optimizer = getattr(torch.optim, kind)([leaf], **options)
    for grad in grads:
        leaf.grad = torch.from_numpy(grad)
        optimizer.step()
    return leaf.detach().numpy()


OTHER_RESULTS = {
    "batch_norm": batch_norm,
    **{name: weighted(name) for name in WEIGHTED},
    **{name: loss(name) for name in LOSSES},
    **{name: ten_steps(name) for name in STEPS},
}


if __name__ == "__main__":
    sys.exit(main())
