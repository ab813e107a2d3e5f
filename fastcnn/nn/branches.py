"""Layers side by side, whose outputs are joined."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastcnn import _validate
from fastcnn._inputs import added
from fastcnn.nn.calls import last_call
from fastcnn.nn.module import Module


class _Branches(Module):
    """What `Concat` and `Parallel` share: all but what each branch is given."""

    def __init__(self, *branches: Module, dim: int = 1):
        self.dim = _validate.whole("dim", dim)
        if self.dim == 0:
            raise ValueError("`dim` is 0, the axis of the batch, but images are independent of each other.")
        self.branches = branches

    @property
    def branches(self) -> tuple[Module, ...]:
        """What computes side by side."""
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
        """Branches, named by their places: "0", "1", ..."""
        return ((str(i), branch) for i, branch in enumerate(self.branches))

    def __len__(self) -> int:
        return len(self.branches)

    def __getitem__(self, index: int) -> Any:  # a branch, of whatever class it is
        return self.branches[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.branches)

    def _inputs(self, x) -> Iterable:
        """What each branch is given."""
        raise NotImplementedError

    def forward_native(self, x, backend):
        """All branches, and their outputs as one."""
        self._calls, ys = [], []
        for branch, given in zip(self.branches, self._inputs(x), strict=True):
            ys.append(branch.forward_native(given, backend))
            self._calls.append(last_call(branch))
        shapes = [y.shape for y in ys]
        axes = len(shapes[0])
        if not -axes < self.dim < axes:
            raise ValueError(
                f"{type(self).__name__} needs an axis {self.dim} behind that of the batch; its branches make shapes "
                f"{', '.join(map(str, shapes))}."
            )
        self._axis = self.dim % axes
        if len({(len(shape), *shape[: self._axis], *shape[self._axis + 1 :]) for shape in shapes}) > 1:
            raise ValueError(
                f"{type(self).__name__} joins what its branches make along axis {self._axis}, so that all else must be "
                f"of one size; the shapes are {', '.join(map(str, shapes))}."
            )
        self._sizes = tuple(shape[self._axis] for shape in shapes)
        return backend.concatenate(ys, self._axis)

    def _gradients(self, dy, backend, input_grad: bool) -> list:
        """Those of what each branch was given."""
        dys = backend.concatenate_backward(dy, self._sizes, self._axis)
        return [call.backward(part, backend, input_grad) for call, part in zip(self._calls, dys, strict=True)]


class Concat(_Branches):
    """What all branches make of the same input, side by side: ``torch.cat([branch(x) for branch in branches], dim)``.

    Parameters
    ----------
    *branches : Module
        Often each a `Sequential`. With `Identity` among them, the input itself goes along, as in a DenseNet, and past
        the inner levels of a U-Net.
    dim : int, default 1
        The axis along which outputs are joined: the channels of images (N, C, H, W), the features of rows. Not that of
        the batch. Along all others, branches must make the same size.

    Attributes
    ----------
    branches : tuple of Module
        Others may be assigned.
    dim : int

    Raises
    ------
    TypeError, ValueError
        If a branch is not a `Module`, there is none, or `dim` is not a whole number or is 0; from a call, if the
        outputs do not fit together.

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
        """Whether the branches take several inputs."""
        return all(branch.several_inputs for branch in self.branches)

    def _inputs(self, x) -> Iterable:
        return [x] * len(self.branches)

    def backward_native(self, dy, backend, input_grad: bool):
        """Each branch has its part of the gradient, and what comes back is added."""
        dx, *others = self._gradients(dy, backend, input_grad)
        if not input_grad:
            return None
        for other in others:
            dx = added(dx, other, backend)
        return dx


class Parallel(_Branches):
    """As many inputs as branches, each branch with its own; their outputs are joined.

    A model with several inputs begins with it. It is called as ``model(a, b)`` or ``model((a, b))``, and its
    ``backward`` returns a tuple, the gradient of each input.

    Parameters
    ----------
    *branches : Module
        At least two. `Identity` takes an input as it is.
    dim : int, default 1
        As for `Concat`.

    Attributes
    ----------
    branches : tuple of Module
        Others may be assigned.
    dim : int

    Raises
    ------
    TypeError, ValueError
        If a branch is not a `Module`, there are fewer than two, or `dim` is not a whole number or is 0; from a call, if
        there are not as many inputs as branches, or the outputs do not fit together.

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
                f"{type(self).__name__} has {len(self.branches)} branches and needs as many inputs, not {given}."
            )
        return x

    def backward_native(self, dy, backend, input_grad: bool):
        """Each branch has its part of the gradient."""
        dxs = self._gradients(dy, backend, input_grad)
        return tuple(dxs) if input_grad else None
