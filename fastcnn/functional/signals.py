"""Signals as images of one row: conversion of batches, filters and shapes, without copies."""

import numpy as np


def as_images(x, backend):
    """Signals (N, C, L), in the backend's layout, as images (N, C, 1, L); images stay as they are."""
    C, *extents = x.shape[1:]
    return x if len(extents) == 2 else backend.unflatten(x, (C, 1, *extents))


def as_given(y, axes: int, backend):
    """Images (N, C, 1, L), in the backend's layout, as signals (N, C, L) if there is one axis; else unchanged."""
    C, _, L = y.shape[1:]
    return y if axes == 2 else backend.unflatten(y, (C, L))


def filters(weight: np.ndarray) -> np.ndarray:
    """(O, C, K) as (O, C, 1, K); filters of images stay as they are."""
    return weight if weight.ndim == 4 else weight.reshape(*weight.shape[:2], 1, -1)


def extents(height: int, width: int, axes: int) -> tuple[int, ...]:
    """(height, width) of images, (width,) of signals."""
    return (height, width)[-axes:]


def images_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(N, C, L) as (N, C, 1, L); the shape of images stays as it is."""
    N, C, *extents = shape
    return N, C, *(1, *extents)[-2:]
