"""Layers that run several branches and concatenate their outputs."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastcnn import _validate
from fastcnn._inputs import added
from fastcnn.nn.calls import last_call
from fastcnn.nn.module import Module


class _Branches(Module):
    """Base of `Concat` and `Parallel`, which differ in the inputs of their branches."""

    def __init__(self, *branches: Module, dim: int = 1):
        self.dim = _validate.whole("dim", dim)
        if self.dim == 0:
            raise ValueError("`dim` must not be 0, the batch axis: the images of a batch are independent.")
        self.branches = branches

    @property
    def branches(self) -> tuple[Module, ...]:
        """The branches, in order."""
        return self._branches

    @branches.setter
    def branches(self, branches: Iterable[Module]) -> None:
        branches, name = tuple(branches), type(self).__name__
        for i, branch in enumerate(branches):
            if not isinstance(branch, Module):
                raise TypeError(f"Branch {i} of {name} must be a Module, not {type(branch).__name__}.")
        if len(branches) < self._least:
            raise ValueError(f"{name} needs at least {'one branch' if self._least == 1 else 'two branches'}.")
        self._branches = branches

    _least = 1

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Names and branches; the names are indices: "0", "1", ..."""
        return ((str(i), branch) for i, branch in enumerate(self.branches))

    def __len__(self) -> int:
        return len(self.branches)

    def __getitem__(self, index: int) -> Any:  # a branch may be of any class
        return self.branches[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.branches)

    def _inputs(self, x) -> Iterable:
        """Return the input of each branch."""
        raise NotImplementedError

    def forward_native(self, x, backend):
        """Run all branches and concatenate their outputs."""
        self._calls, ys = [], []
        for branch, given in zip(self.branches, self._inputs(x), strict=True):
            ys.append(branch.forward_native(given, backend))
            self._calls.append(last_call(branch))
        shapes = [y.shape for y in ys]
        axes = len(shapes[0])
        if not -axes < self.dim < axes:
            raise ValueError(
                f"{type(self).__name__} needs an axis {self.dim} after the batch axis, but its branches return shapes "
                f"{', '.join(map(str, shapes))}."
            )
        self._axis = self.dim % axes
        if len({(len(shape), *shape[: self._axis], *shape[self._axis + 1 :]) for shape in shapes}) > 1:
            raise ValueError(
                f"{type(self).__name__} concatenates the outputs of its branches along axis {self._axis}, so their "
                f"other axes must match; the shapes are {', '.join(map(str, shapes))}."
            )
        self._sizes = tuple(shape[self._axis] for shape in shapes)
        return backend.concatenate(ys, self._axis)

    def _gradients(self, dy, backend, input_grad: bool) -> list:
        """Return the gradient of each branch's input."""
        dys = backend.concatenate_backward(dy, self._sizes, self._axis)
        return [call.backward(part, backend, input_grad) for call, part in zip(self._calls, dys, strict=True)]


class Concat(_Branches):
    """Run all branches on one input and concatenate: ``torch.cat([branch(x) for branch in branches], dim)``.

    Parameters
    ----------
    *branches : Module
        Often `Sequential` models. An `Identity` among them passes the input on, as in a DenseNet or in the skip
        connections of a U-Net.
    dim : int, default 1
        Axis along which outputs are concatenated: by default the channels of images (N, C, H, W) or the features of
        rows (N, features). It cannot be the batch axis. All other axes of the outputs must match.

    Attributes
    ----------
    branches : tuple of Module
        May be reassigned.
    dim : int

    Raises
    ------
    TypeError, ValueError
        If a branch is not a `Module`, there are no branches, or `dim` is not a whole number or is 0; when called, if
        the shapes of the outputs do not match.

    References
    ----------
    C. Szegedy et al., "Going deeper with convolutions", CVPR 2015. G. Huang, Z. Liu, L. van der Maaten, K. Weinberger,
    "Densely connected convolutional networks", CVPR 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> block = nn.Concat(nn.Identity(), nn.ReLU())
    >>> block(np.array([[-1.0, 2.0]]))
    array([[-1.,  2.,  0.,  2.]])
    >>> block.backward(np.array([[1.0, 2.0, 3.0, 4.0]]))
    array([[1., 6.]])
    """

    @property
    def several_inputs(self) -> bool:  # type: ignore[override]
        """Whether all branches take several inputs."""
        return all(branch.several_inputs for branch in self.branches)

    def _inputs(self, x) -> Iterable:
        return [x] * len(self.branches)

    def backward_native(self, dy, backend, input_grad: bool):
        """Pass each branch its part of the gradient, and add up the gradients of the input."""
        dx, *others = self._gradients(dy, backend, input_grad)
        if not input_grad:
            return None
        for other in others:
            dx = added(dx, other, backend)
        return dx


class Parallel(_Branches):
    """Run each branch on an input of its own and concatenate the outputs.

    It is the first layer of a model with several inputs. Call such a model as ``model(a, b)`` or ``model((a, b))``; its
    ``backward`` returns a tuple with the gradient of each input.

    Parameters
    ----------
    *branches : Module
        At least two. An `Identity` passes its input on unchanged.
    dim : int, default 1
        As for `Concat`.

    Attributes
    ----------
    branches : tuple of Module
        May be reassigned.
    dim : int

    Raises
    ------
    TypeError, ValueError
        If a branch is not a `Module`, there are fewer than two, or `dim` is not a whole number or is 0; when called, if
        the number of inputs is not that of the branches, or the shapes of the outputs do not match.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> look = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.GlobalAvgPool2d())
    >>> model = nn.Sequential(nn.Parallel(look, nn.Identity()), nn.Linear(4 + 2, 3))
    >>> image, size = np.zeros((5, 1, 8, 8), np.float32), np.zeros((5, 2), np.float32)
    >>> y = model(image, size)
    >>> [dx.shape for dx in model.backward(y)]
    [(5, 1, 8, 8), (5, 2)]
    """

    several_inputs = True
    _least = 2

    def _inputs(self, x) -> Iterable:
        given = len(x) if isinstance(x, tuple) else 1
        if given != len(self.branches):
            raise ValueError(
                f"{type(self).__name__} has {len(self.branches)} branches and needs one input for each, not {given}."
            )
        return x

    def backward_native(self, dy, backend, input_grad: bool):
        """Pass each branch its part of the gradient."""
        dxs = self._gradients(dy, backend, input_grad)
        return tuple(dxs) if input_grad else None
