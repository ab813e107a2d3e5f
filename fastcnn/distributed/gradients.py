"""The sum of all ranks' gradients."""

from collections.abc import Iterable

import numpy as np

from fastcnn.distributed.ranks import Ranks
from fastcnn.nn import Parameter


def sum_gradients(ranks: Ranks, params: Iterable[Parameter]) -> None:
    """Let each parameter's gradient be the sum of those of all ranks, all of them in one array and one sum.

    A rank may have none, as one that saw no image; a parameter that has none on any rank has none afterwards. Those
    that require no gradient stay as they are.

    It comes after the backward pass, not beside it. Beside it, MPI would need a processor of its own to make progress,
    while the kernels use them all, and a model would have to go back layer by layer, where now its recorded kernels
    run in one launch (`fastcnn.nn.recording`). ``bench/scaling.py`` says what there is to gain at most.
    """
    params = [parameter for parameter in params if parameter.requires_grad]
    if not params:
        return
    dtype = np.result_type(*(parameter.dtype for parameter in params))
    sizes = [parameter.size for parameter in params]
    flat = np.zeros(sum(sizes) + len(params), dtype)  # the gradients, then for each whether there is one
    places = np.split(flat, np.cumsum(sizes))
    for i, (parameter, place) in enumerate(zip(params, places, strict=False)):
        if parameter.grad is not None:
            place[:] = parameter.grad.reshape(-1)
            places[-1][i] = 1
    *sums, present = np.split(ranks.sum(flat), np.cumsum(sizes))
    for parameter, total, there in zip(params, sums, present, strict=True):
        parameter.grad = total.reshape(parameter.shape).astype(parameter.dtype, copy=False) if there else None
