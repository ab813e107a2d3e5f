"""Module, the base class of all layers and models.

A module has two levels. `Module.forward` and `Module.backward` are public. They check plain NumPy arrays, pack them
into the backend's own layout, and unpack the results. ``forward_native`` and ``backward_native`` pass activations from
layer to layer in that layout, so a model packs and unpacks only once, however deep it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from fastcnn import _validate, backends
from fastcnn._inputs import Batch, checked_batch, each
from fastcnn._names import did_you_mean, dotted
from fastcnn.nn import calls, in_numpy, recording
from fastcnn.nn.habits import ABSENT
from fastcnn.nn.parameter import Buffer, Parameter, accumulate, collected, zero_grad
from fastcnn.nn.undoing import all_or_nothing

if TYPE_CHECKING:
    from fastcnn.nn.inference import Inference


class IncompatibleKeys(NamedTuple):
    """Names that a module has but a state has not, and the other way round."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module:
    """A layer, or a model made of layers.

    A custom layer defines ``forward(x)``, which returns y, and ``backward(dy)``, which adds the gradients of its
    parameters and returns dx. All are plain NumPy arrays. The methods must not write into x or dy, and y and dx must
    have the same dtype as these. Attributes that are a `Parameter`, a `Buffer` or a `Module` are found by name. The
    layer works anywhere in a model and with every backend. It may call other layers and go back through each of them
    once; for a layer that it calls several times, `fastcnn.nn.last_call` returns each call to go back through. If
    ``backward`` has a keyword argument ``input_grad``, it says whether dx is needed. `fastcnn.testing.check_layer`
    checks a layer.

    A layer that calls the backend directly, without converting to NumPy and back, defines ``forward_native(x,
    backend)`` and ``backward_native(dy, backend, input_grad)`` instead. ``backward_native`` returns None without
    `input_grad`. It is not called if neither the gradient of the input nor that of a parameter is needed, and it may
    skip those of the parameters if `learns` returns False. Activations are in the backend's own layout; their
    ``.shape`` is (N, C, H, W), (N, C, L) or (N, features) in every backend.

    New attributes that begin with an underscore and are set in a forward pass exist in the backward pass of the same
    call, and nowhere else. So a layer may be called several times before a backward pass, also at several places of a
    model (see `fastcnn.nn.calls`). All other attributes are those of the layer, whenever they are set. A native layer
    goes back through a call from `fastcnn.nn.last_call` with ``call.backward(dy, backend, input_grad)``.

    A layer with several inputs sets ``several_inputs = True``. Its ``forward`` then takes one argument for each input,
    its ``forward_native`` takes a tuple of activations, and its backward methods return a tuple of gradients, one for
    each input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         self.factor = nn.Parameter(np.full(1, 3.0))
    ...
    ...     def forward(self, x):
    ...         self._x = x
    ...         return self.factor.data * x
    ...
    ...     def backward(self, dy):
    ...         self.factor.accumulate(np.sum(dy * self._x, keepdims=True).reshape(1))
    ...         return self.factor.data * dy
    >>> model = nn.Sequential(Scale(), nn.ReLU())
    >>> model(np.array([[-1.0, 2.0]])), model.backward(np.array([[1.0, 1.0]])), model[0].factor.grad
    (array([[0., 6.]]), array([[0., 3.]]), array([2.]))

    The same for the backend's own activations:

    >>> class Absolute(nn.Module):
    ...     def forward_native(self, x, backend):
    ...         self._x = x
    ...         return backend.leaky_relu(x, -1.0)
    ...
    ...     def backward_native(self, dy, backend, input_grad):
    ...         return backend.leaky_relu_backward(dy, self._x, -1.0)
    >>> layer = Absolute()
    >>> layer(np.array([[-3.0, 2.0]]))
    array([[3., 2.]])
    >>> layer.backward(np.array([[1.0, 1.0]]))
    array([[-1.,  1.]])
    """

    training = True
    several_inputs: bool = False
    _last: Any = None  # (backend name, y, call or use of a recording) of the last forward
    _version = 0  # how often a public attribute was set or deleted
    _summarize: Callable[..., Any]  # both are set in the files that define them, as these import this one
    _inference: "type[Inference]"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        in_numpy.wrap(cls, Module)
        calls.wrap(cls)

    def __setattr__(self, name: str, value) -> None:
        if not name.startswith("_") and name != "training":
            object.__setattr__(self, "_version", self._version + 1)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if not name.startswith("_"):
            object.__setattr__(self, "_version", self._version + 1)
        object.__delattr__(self, name)

    if not TYPE_CHECKING:  # otherwise type checkers would accept every attribute

        def __getattr__(self, name: str):
            """Name the replacement for an attribute of PyTorch's modules, or raise the usual error."""
            if name in ABSENT:
                raise AttributeError(f"A Module of fastcnn has no `{name}`: {ABSENT[name]}.", name=name, obj=self)
            return object.__getattribute__(self, name)

    def forward(self, x: Batch, *more: np.ndarray) -> np.ndarray:
        """Compute the output for a batch with the current backend; `backward` uses the same backend.

        Parameters
        ----------
        x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float32 or float64
            Layers may save it, so do not change it before `backward`. A model with several inputs (see `Parallel`)
            takes a tuple of arrays with the same N and dtype.
        *more : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), optional
            The other inputs, if `x` is the first of several.

        Returns
        -------
        ndarray of shape (N, ...), dtype of `x`

        Raises
        ------
        TypeError, ValueError
            If `x` is not a float array of at least two axes, does not fit a layer, or there are several inputs but the
            model takes one.
        """
        inside = calls.backend_inside()
        if inside is not None:
            return np.array(inside.unpack(self.forward_native(each(inside.pack, checked_batch(x, *more)), inside)))
        self._last = None  # so that `backward` does not use an older batch if this call fails
        name = backends.get_backend()
        backend = backends.load(name)
        x = checked_batch(x, *more)
        with self._memory(backend):
            use = self._use_of_recording(backend, x)
            if use:
                y = use.forward(self, x)
                self._last = name, y, use
            else:
                with all_or_nothing():
                    native, call = calls.run(self, each(backend.pack, x), backend)
                    y = np.array(backend.unpack(native))  # a copy, as the caller may change it
                self._last = name, y, call
        return y

    def backward(self, dy: np.ndarray, *, input_grad: bool = True) -> Any:
        """Add the gradients of all parameters that require them and return that of the input, for the last batch.

        Parameters
        ----------
        dy : ndarray of the shape and dtype of the last output
            Gradient of the loss with respect to that output.
        input_grad : bool, default True
            Whether to compute the gradient of the input, which training does not need.

        Returns
        -------
        ndarray of the shape of the input, a tuple of these for several inputs, or None without `input_grad`

        Raises
        ------
        RuntimeError
            If there was no `forward` before, the last one failed, or it is ambiguous to which call of a layer a
            gradient belongs; see `fastcnn.nn.calls`.
        TypeError, ValueError
            If `dy` does not have the shape and dtype of the last output, or a custom layer returns a gradient that does
            not have those of its input.
        """
        if calls.backend_inside() is not None:
            return calls.by_door(lambda dy, inside: self.backward_native(dy, inside, input_grad), dy, input_grad)
        forward = type(self).forward
        if self._last is None and forward is not Module.forward and not in_numpy.has_door(forward):
            raise RuntimeError(
                f"{type(self).__name__} defines its own forward, which Module.backward cannot go back through: define "
                "forward_native and backward_native instead, or also define backward."
            )
        if self._last is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward needs the output of a batch: call {type(self).__name__}.forward first."
            )
        name, y, call = self._last
        dy = _validate.floats("dy", dy, like=("y", y))
        _validate.shape("dy", dy, y.shape, "the shape of the last output")
        backend = backends.load(name)
        with self._memory(backend):
            if isinstance(call, recording.Use):
                if call.is_current(self):
                    return call.backward(dy, bool(input_grad))
                call = call.call
            with collected() as gradients:
                dx = call.backward(backend.pack(dy), backend, input_grad)
            dx = each(backend.unpack, dx) if input_grad else None
            accumulate(gradients)
            return dx

    def __call__(self, x: Batch, *more: np.ndarray) -> np.ndarray:
        """See `forward`."""
        return self.forward(x, *more)

    def forward_native(self, x, backend):
        """Return the output, in the layout of ``backend``."""
        raise NotImplementedError(f"{type(self).__name__} must define forward_native(x, backend).")

    def backward_native(self, dy, backend, input_grad: bool):
        """Add the gradients of the parameters; return that of the input, in the layout of ``backend``."""
        raise NotImplementedError(f"{type(self).__name__} must define backward_native(dy, backend, input_grad).")

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Names and modules directly inside this one.

        Raises
        ------
        TypeError
            If an attribute is a list, a tuple or a dictionary of modules, which would not be found.
        """
        children = {name: value for name, value in vars(self).items() if isinstance(value, Module)}
        for name, value in vars(self).items():
            if isinstance(value, (list, tuple, dict)) and not name.startswith("_"):
                items = value.values() if isinstance(value, dict) else value
                if any(isinstance(item, Module) and item not in children.values() for item in items):
                    raise TypeError(
                        f"`{name}` of this {type(self).__name__} is a {type(value).__name__} of modules, which are not "
                        f"found there; use a Module{'Dict' if isinstance(value, dict) else 'List'} instead."
                    )
        return iter(children.items())

    def children(self) -> Iterator["Module"]:
        """Modules directly inside this one."""
        return (child for _, child in self.named_children())

    def modules(self) -> Iterator["Module"]:
        """The module itself and all modules inside it, each once."""
        return (module for _, module in self.named_modules())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, "Module"]]:
        """Dotted names and modules, in PyTorch's order: the module itself, named `prefix`, and all modules inside it.

        Parameters
        ----------
        prefix : str, default ""
            Prefix of the names.
        remove_duplicate : bool, default True
            Whether a module with several names is listed only once, under its first name.

        Examples
        --------
        >>> from fastcnn import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Residual(nn.ReLU()))
        >>> [name for name, _ in model.named_modules()]
        ['', '0', '1', '1.body', '1.shortcut']
        """
        seen: set[Module] = set()
        waiting: list[tuple[str, Module]] = [(prefix, self)]
        while waiting:
            name, module = waiting.pop()
            if module in seen and remove_duplicate:
                continue
            seen.add(module)
            yield name, module
            inside = [(dotted(name, child), value) for child, value in module.named_children()]
            waiting.extend(reversed(inside))

    def get_submodule(self, target: str) -> "Module":
        """Return the module with a dotted name, as in `named_modules`; "" is the module itself.

        Raises
        ------
        AttributeError
            If there is no module of that name.

        Examples
        --------
        >>> from fastcnn import nn
        >>> nn.Sequential(nn.Residual(nn.ReLU())).get_submodule("0.body")
        ReLU()
        """
        modules = dict(self.named_modules(remove_duplicate=False))
        if target in modules:
            return modules[target]
        meant = did_you_mean(target, modules, repr)
        raise AttributeError(f"This {type(self).__name__} has no module named {target!r}{meant}.")

    def apply(self, fn: Callable[["Module"], object]) -> Self:
        """Call ``fn`` with every module inside this one, and with this one last; return the module.

        Examples
        --------
        >>> from fastcnn import nn
        >>> def init_weights(module):
        ...     if isinstance(module, nn.Linear):
        ...         module.bias.data.fill(0.5)
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).apply(init_weights)
        >>> model[1].bias.data
        array([0.5, 0.5], dtype=float32)
        """
        for child in dict.fromkeys(self.children()):
            child.apply(fn)
        fn(self)
        return self

    def add_module(self, name: str, module: "Module | None") -> None:
        """Set a module as an attribute: ``setattr(self, name, module)`` with additional checks.

        Raises
        ------
        TypeError, ValueError
            If `module` is neither a `Module` nor None, or `name` is not a valid name or is that of another attribute.
        """
        self._register(name, module, "module", Module)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set a parameter as an attribute; see `add_module`."""
        self._register(name, param, "param", Parameter)

    def register_buffer(self, name: str, tensor: np.ndarray | None, persistent: bool = True) -> None:
        """Set a `Buffer` that holds an array as an attribute; see `add_module`.

        Raises
        ------
        TypeError, ValueError
            As in `add_module`, and if `persistent` is not True: an array that is not part of the state is a plain
            attribute.
        """
        if not _validate.flag("persistent", persistent):
            raise ValueError(
                f"`persistent` must be True, as every buffer is part of the state. Use a plain attribute for other "
                f"arrays: `self.{name} = array`."
            )
        self._register(name, tensor if tensor is None else Buffer(tensor), "tensor", Buffer)

    def _register(self, name: str, value, argument: str, kind: type) -> None:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            raise ValueError(f"`name` is {name!r} but must be the name of a public attribute.")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"`{argument}` must be a {kind.__name__} or None, not {type(value).__name__}.")
        before = getattr(self, name, None)
        if before is not None and not isinstance(before, kind):
            raise ValueError(f"`name` is {name!r}, but that is another attribute of {type(self).__name__}.")
        setattr(self, name, value)

    def to(self, *to: Any, device: Any = None, dtype: Any = None) -> Self:
        """Set the dtype of all parameters, gradients and floating-point buffers; return the module.

        Optimizers must be made after this call, not before it.

        Parameters
        ----------
        *to : dtype, str or torch.device
            float32 or float64, as a dtype of NumPy or PyTorch or by name; or "cpu", which changes nothing.
        device, dtype : dtype, str or torch.device, optional
            The same as keyword arguments.

        Returns
        -------
        Module
            The module itself.

        Raises
        ------
        TypeError
            If an argument is something else.

        Examples
        --------
        >>> import numpy as np
        >>> from fastcnn import nn
        >>> nn.Linear(2, 3).to("cpu").to(np.float64).weight
        Parameter(shape=(3, 2), dtype=float64)
        """
        dtypes = []
        for value in (*to, device, dtype):
            name = str(getattr(value, "__name__", value)).removeprefix("torch.")
            if name in ("float32", "float64"):
                dtypes.append(np.dtype(name))
            elif value is not None and name != "cpu":
                raise TypeError(
                    f'`to` takes "cpu" and the dtypes float32 and float64, not {value!r}: fastcnn computes on the '
                    "processor's threads."
                )
        for chosen in dtypes:
            self._set_dtype(chosen)
        return self

    def _set_dtype(self, dtype: np.dtype) -> None:
        new: list[tuple[Parameter | Buffer, str, np.ndarray]] = []
        for _, held in self.named_state():
            if held.dtype.kind == "f":
                new.append((held, "data", held.data.astype(dtype, copy=False)))
            if isinstance(held, Parameter) and held.grad is not None:
                new.append((held, "grad", held.grad.astype(dtype, copy=False)))
        for held, name, array in new:  # all are converted, so this cannot end halfway
            setattr(held, name, array)
        for module in self.modules():
            if "dtype" in vars(module):
                module.dtype = dtype

    def float(self) -> Self:
        """Set the dtype to float32, as ``to(np.float32)`` does; return the module."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Set the dtype to float64, as ``to(np.float64)`` does; return the module."""
        return self.to(np.float64)

    def cpu(self) -> Self:
        """Return the module, which is on the CPU already."""
        return self

    def named_state(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        """Dotted names, parameters and buffers of this module and all modules inside it, in PyTorch's order.

        A parameter or buffer that several layers share is listed under each of its names.
        """
        for kind in (Parameter, Buffer):
            for name, value in vars(self).items():
                if isinstance(value, kind):
                    yield name, value
        for child_name, child in self.named_children():
            for name, value in child.named_state():
                yield f"{child_name}.{name}", value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Names and parameters of this module and all inside it, in PyTorch's order, each once by its first name."""
        return ((name, value) for name, value in self._named_once() if isinstance(value, Parameter))

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Names and buffers of this module and all inside it, in PyTorch's order, each once by its first name."""
        return ((name, value) for name, value in self._named_once() if isinstance(value, Buffer))

    def buffers(self) -> Iterator[Buffer]:
        """Buffers of this module and all modules inside it, each once."""
        return (buffer for _, buffer in self.named_buffers())

    def _named_once(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        names: dict[Parameter | Buffer, str] = {}
        for name, value in self.named_state():
            names.setdefault(value, name)
        return ((name, value) for value, name in names.items())

    def parameters(self) -> Iterator[Parameter]:
        """Parameters of this module and all modules inside it, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze or unfreeze the parameters of this module and all modules inside it; return the module.

        Frozen parameters get no gradient, so no optimizer changes them, and computations that only they need are
        skipped. Without ``input_grad``, a backward pass ends at the first layer that learns. The setting at the time of
        ``backward`` counts. In training mode, a frozen batch normalization still updates its running statistics;
        ``eval()`` prevents that.

        Parameters
        ----------
        requires_grad : bool, default True
            Whether the parameters learn. False freezes them.

        Returns
        -------
        Module
            The module itself.

        Raises
        ------
        TypeError
            If `requires_grad` is neither True nor False.

        Examples
        --------
        >>> from fastcnn import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(784, 84), nn.ReLU(), nn.Linear(84, 8))
        >>> model.layers = (*model.requires_grad_(False).layers[:-1], nn.Linear(84, 2))  # another head
        >>> [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        ['3.weight', '3.bias']
        """
        flag = _validate.flag("requires_grad", requires_grad)
        for parameter in self.parameters():
            parameter.requires_grad = flag
        return self

    def learns(self) -> bool:
        """Whether a parameter of this module or of a module inside it requires its gradient."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode for this module and all modules inside it; return the module.

        The mode affects `Dropout`, `Dropout2d`, `BatchNorm1d` and `BatchNorm2d`.
        """
        training = _validate.flag("mode", mode)
        for module in self.modules():
            module.training = training
        return self

    def eval(self) -> Self:
        """Set evaluation mode, as ``train(False)`` does; return the module."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to None or, without ``set_to_none``, existing ones to zeros."""
        zero_grad(self.parameters(), set_to_none)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all parameters and buffers by name."""
        return {name: value.data.copy() for name, value in self.named_state()}

    def load_state_dict(self, state_dict: Mapping[str, np.ndarray], strict: bool = True) -> "IncompatibleKeys":
        """Set parameters and buffers from arrays of the same names, shapes and dtypes.

        Parameters
        ----------
        state_dict : mapping of str to ndarray
            As returned by `state_dict`.
        strict : bool, default True
            Whether missing and unknown names are errors. If False, parameters and buffers without an array keep their
            values, and arrays with unknown names are ignored.

        Returns
        -------
        missing_keys, unexpected_keys : list of str
            A named tuple of these two lists, which are empty with `strict`.

        Raises
        ------
        TypeError
            If `strict` is neither True nor False.
        ValueError
            If a shape or a dtype differs or, with `strict`, a name. The message lists all differences, and nothing has
            changed.

        Examples
        --------
        Load the body of another model, but not its head:

        >>> from fastcnn import nn
        >>> trained = nn.Sequential(nn.Flatten(), nn.Linear(784, 84), nn.ReLU(), nn.Linear(84, 8))
        >>> model = nn.Sequential(*trained.layers[:-1], nn.Linear(84, 2))
        >>> state = {name: array for name, array in trained.state_dict().items() if not name.startswith("3.")}
        >>> model.load_state_dict(state, strict=False).missing_keys
        ['3.weight', '3.bias']
        """
        state, strict = state_dict, _validate.flag("strict", strict)
        own, faults = dict(self.named_state()), []
        arrays: dict[str, np.ndarray] = {}
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        for name, value in own.items():
            if name in missing:
                if strict:
                    faults.append(f"`{name}` is missing")
                continue
            array = arrays[name] = np.asarray(state[name])
            if array.shape != value.shape:
                faults.append(f"`{name}` has shape {array.shape} but must have {value.shape}")
            if array.dtype != value.dtype:
                faults.append(f"`{name}` is {array.dtype} but must be {value.dtype}")
        if strict:
            faults += [f"`{name}` is unknown" for name in unexpected]
        given = {name: value for name, value in own.items() if name in state}
        first = {value: name for name, value in reversed(given.items())}
        for name, value in given.items():
            if name != first[value] and not faults and not _same(arrays[name], arrays[first[value]]):
                faults.append(f"`{name}` and `{first[value]}` are the same array here but differ in the state")
        if faults:
            raise ValueError(f"The state does not fit this {type(self).__name__}: {'; '.join(faults)}.")
        for name, array in arrays.items():
            if any(np.may_share_memory(array, value.data) for value in given.values()):
                arrays[name] = array.copy()  # else it could change before it is read
        for name, value in given.items():
            value.data[...] = arrays[name]
        return IncompatibleKeys(missing, unexpected)

    def check_arrays(self, dtype: np.dtype, **shapes: tuple[int, ...]) -> None:
        """Raise an error if a parameter or buffer does not hold an array of this dtype and of the given shape.

        Users may assign arrays at any time, and a kernel would read beyond the end of one that is too short.
        """
        for name, shape in shapes.items():
            held = getattr(self, name)
            if held is None:
                continue
            data = held.data
            if not isinstance(data, np.ndarray):
                raise TypeError(f"`{name}` of {self} must hold a numpy array, not {type(data).__name__}.")
            if data.shape != shape:
                raise ValueError(f"`{name}` of {self} has shape {data.shape} but must have {shape}.")
            if data.dtype != dtype:
                raise TypeError(f"`{name}` of {self} is {data.dtype} but must be {dtype}.")

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Multiply-adds for one image, without those of the modules inside; the shapes have no batch axis."""
        return 0

    def summary(self, input_shape: Sequence[int] | Sequence[Sequence[int]] | None = None) -> None:
        """Print a table of all layers: output, parameters, multiply-adds and memory of the output, for one image.

        In a notebook the table is displayed. `fastcnn.nn.summarize` returns and explains the numbers.

        Parameters
        ----------
        input_shape : sequence of int, or of such sequences, optional
            Shape of one image without the batch axis: (C, H, W), (C, L) or (features,). By default it is the model's
            own ``input_shape``. For a model with several inputs, a sequence of the shapes of each.

        Raises
        ------
        TypeError, ValueError
            If there is no `input_shape`, or it does not fit a layer.

        Examples
        --------
        >>> from fastcnn import nn
        >>> nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), nn.MaxPool2d(2)).summary((1, 28, 28))
        layer                output  parameters  multiply-adds  memory, kB
        ------------------------------------------------------------------
        Sequential      8 x 13 x 13
          0: Conv2d     8 x 26 x 26          72         48,672       21.63
          1: MaxPool2d  8 x 13 x 13                                   5.41
        ------------------------------------------------------------------
        total                                72         48,672       27.04
        """
        Module._summarize(self, input_shape).show()

    def compile_inference(self, batch_size: int = 512) -> "Inference":
        """Prepare this module for inference, in evaluation mode; see `fastcnn.nn.Inference`."""
        return Module._inference(self, batch_size)

    def programs(self) -> dict[str, list]:
        """Return the programs that the backend ran for the last batch; printing a program shows its steps.

        Each step is a compiled kernel. ``program.times()`` measures how long each takes, without changing the model.

        Returns
        -------
        dict of str to list
            Under ``"forward"`` and ``"backward"``, the programs in the order in which they run. There is one of each
            for a model that is recorded as a whole; there may be more, or none, if layers are called one by one (see
            `fastcnn.nn.unrecorded`). Lists are empty in backends other than "numba", and for a backward pass that did
            not run.

        Raises
        ------
        RuntimeError
            If no batch was computed yet.
        """
        if self._last is None:
            name = type(self).__name__
            raise RuntimeError(f"{name}.programs needs a batch: call {name}.forward first.")
        return recording.programs(self._last[2])

    def extra_repr(self) -> str:
        """Return the arguments of a layer for its repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "\n  " + "\n  ".join(lines) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"

    def __getstate__(self) -> dict:
        """State for copy and pickle: everything but what is stored of past batches."""
        return {name: value for name, value in vars(self).items() if name not in calls.KEPT_BY_DOORS}

    def why_unrecorded(self) -> str | None:
        """Return why the passes of this module itself cannot be recorded now, or None if they can."""
        return None

    def _use_of_recording(self, backend, x) -> "recording.Use | None":
        if not recording.can_record(backend):
            return None
        made = vars(self).get("_recordings")
        if made is None:
            made = vars(self)["_recordings"] = recording.Recordings(native=False)
        return made.take(self, backend, x)

    def _memory(self, backend) -> AbstractContextManager:
        """Return a context in which the backend allocates from the module's own pool; both are freed together."""
        if not hasattr(backend, "Pool"):
            return nullcontext()
        pool = vars(self).get("_pool")
        if pool is None:
            pool = vars(self)["_pool"] = backend.Pool()
        return pool


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same bytes."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()
