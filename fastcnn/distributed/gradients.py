"""Summing gradients over the ranks."""

from collections.abc import Iterable

import numpy as np

from fastcnn.distributed.ranks import Ranks
from fastcnn.nn import Parameter


def sum_gradients(ranks: Ranks, params: Iterable[Parameter]) -> None:
    """Replace each parameter's gradient by its sum over all ranks, in a single sum of one array.

    A rank may lack a gradient, for example if it had no image. If a parameter has no gradient on any rank, it has none
    afterwards. Parameters that do not require a gradient are skipped.

    The sum follows the backward pass and does not overlap with it. To overlap, MPI would need a processor of its own
    while the kernels use all of them, and the backward pass would have to run layer by layer instead of as recorded
    kernels in one launch (`fastcnn.nn.recording`). ``bench/scaling.py`` shows how much could be gained at most.
    """
    params = [parameter for parameter in params if parameter.requires_grad]
    if not params:
        return
    dtype = np.result_type(*(parameter.dtype for parameter in params))
    sizes = [parameter.size for parameter in params]
    flat = np.zeros(sum(sizes) + len(params), dtype)  # the gradients, then a flag for each that exists
    places = np.split(flat, np.cumsum(sizes))
    for i, (parameter, place) in enumerate(zip(params, places, strict=False)):
        if parameter.grad is not None:
            place[:] = parameter.grad.reshape(-1)
            places[-1][i] = 1
    *sums, present = np.split(ranks.sum(flat), np.cumsum(sizes))
    for parameter, total, there in zip(params, sums, present, strict=True):
        parameter.grad = total.reshape(parameter.shape).astype(parameter.dtype, copy=False) if there else None
