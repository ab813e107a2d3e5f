"""List the steps of a model."""

from collections import Counter
from typing import Any

import numpy as np

from fastcnn import nn
from fastcnn.data import Preprocessing
from fastcnn.interop.arguments import square_shape
from fastcnn.interop.c.layers import WRITERS, conv, max_pool, pool_windows
from fastcnn.interop.c.steps import Array, Step
from fastcnn.interop.walk import Walk
from fastcnn.nn.folding import folded

_NORMS: dict[type, Any] = {nn.BatchNorm1d: nn.Conv1d, nn.BatchNorm2d: nn.Conv2d}
_RESHAPING = nn.Flatten, nn.Unflatten


@np.errstate(all="ignore")  # an image of zeros is computed to find the shapes; its numbers do not matter
def steps_of(model: nn.Module, input_shape, preprocessing: Preprocessing | None) -> tuple[list[Step], Array]:
    """Return the steps of a model, after a step for the preprocessing if there is one; and the output."""
    if preprocessing is None:
        walk = Steps(model, input_shape)
        output = walk.write(Array(0, walk.input_shapes[0]))
    else:
        walk = Steps(model, square_shape(preprocessing, input_shape, "C"))
        image, square = Array(0, tuple(input_shape)), Array(1, walk.input_shapes[0])
        walk.steps.append(Step("preprocessing", Preprocessing, preprocessing, (image,), square))
        output = walk.write(square)
    return _with_pools(walk.steps), output


def _with_pools(steps: list[Step]) -> list[Step]:
    """Let each convolution do the max-pooling that follows, so that its own result needs no memory.

    A ReLU in between moves behind the pooling, which changes nothing. Windows that overlap are left to the pooling.
    """
    readers = Counter(array.number for step in steps for array in step.x)

    def follows(step: Step, before: Step) -> bool:
        return step.x == (before.y,) and readers[before.y.number] == 1

    kept: list[Step] = []
    for step in steps:
        relus = kept[-1:] if kept and kept[-1].kind is nn.ReLU and follows(step, kept[-1]) else []
        before = kept[-1 - len(relus)] if len(kept) > len(relus) else None
        pool = _apart(step) if WRITERS[step.kind] is max_pool else None
        if (
            pool is not None
            and before is not None
            and WRITERS[before.kind] is conv
            and before.pool == (1, 1)
            and follows((*relus, step)[0], before)
        ):
            y = before.y._replace(shape=step.y.shape) if relus else step.y
            then = f", then {step.name}: {step.kind.__name__}"
            kept[-1 - len(relus) :] = [before._replace(y=y, pool=pool, then=then)]
            kept += [relu._replace(x=(y,), y=step.y) for relu in relus]
        else:
            kept.append(step)
    return kept


def _apart(step: Step) -> tuple[int, int] | None:
    """Return height and width of a pooling's windows if they do not overlap and lie in the image, else None."""
    w = pool_windows(step)
    apart = (w.KH, w.KW) == (w.SH, w.SW) and w.DH == w.DW == 1
    inside = w.top == w.left == 0 and w.OH * w.KH <= w.H and w.OW * w.KW <= w.W
    return (w.KH, w.KW) if apart and inside else None


class Steps(Walk):
    """The steps of a model in evaluation mode.

    Batch normalizations are folded into the layer before them; if there is none, they become convolutions of single
    pixels. Layers that only change the shape are no steps: they give an activation another shape.

    Parameters
    ----------
    model : Module
    input_shape : sequence of int

    Attributes
    ----------
    steps : list of Step

    Raises
    ------
    TypeError, ValueError
        If `input_shape` does not fit the model.
    """

    def __init__(self, model: nn.Module, input_shape):
        kinds = {*_NORMS, *_RESHAPING, *WRITERS} - {Preprocessing}  # which is no layer
        super().__init__(model, input_shape, kinds, "C", fold_batch_norm=True)
        self.steps: list[Step] = []

    def written(self, kind, layer, name: str, inputs: list, shape, y_shape) -> Array:
        """Add the step of a layer; return its output."""
        if kind in _RESHAPING:
            return inputs[0]._replace(shape=y_shape)
        if kind in _NORMS:
            kind, layer = _NORMS[kind], _as_convolution(layer, kind, name)
            inputs = [inputs[0]._replace(shape=shape if len(shape) > 1 else (*shape, 1))]
        y = Array(len(self.steps) + 1, y_shape)
        self.steps.append(Step(name, kind, layer, tuple(inputs), y))
        return y


def _as_convolution(norm: Any, kind: type, name: str) -> nn.Module:
    """Return the convolution of single pixels that does what a batch normalization does."""
    C = norm.num_features
    layer = _NORMS[kind](C, C, 1, groups=C, bias=False, dtype=norm.dtype)
    layer.weight.data[...] = 1
    one = folded(layer, norm)
    if one is None:
        what = "its running variance is negative, or its factors are too large for float32"
        if not norm.track_running_stats:
            what = "it has no running statistics, so its output for an image depends on the other images of the batch"
        raise ValueError(f"{name or '`model`'}: {norm} cannot be written as C: {what}.")
    return one
