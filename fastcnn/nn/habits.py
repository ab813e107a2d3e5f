"""Attributes of PyTorch's modules and parameters that fastcnn does not have, and what to use instead."""

ABSENT = {
    **dict.fromkeys(("cuda", "xpu", "mtia", "ipu"), "fastcnn computes on the CPU, so leave the call out"),
    **dict.fromkeys(("half", "bfloat16", "type"), 'dtypes are float32 and float64; `to("float64")` changes them'),
    **dict.fromkeys(
        ("register_forward_hook", "register_forward_pre_hook"),
        "`fastcnn.nn.trace(model, x)` returns the input and the output of each layer",
    ),
    **dict.fromkeys(
        ("register_backward_hook", "register_full_backward_hook", "register_full_backward_pre_hook"),
        "insert a custom layer that passes on its input and gradient, and look at them there; see `fastcnn.nn.Module`",
    ),
    "compile": "all passes are compiled, and `compile_inference()` prepares a trained model for inference",
    "get_buffer": "use `dict(model.named_buffers())[name]`",
    "get_parameter": "use `dict(model.named_parameters())[name]`",
    "set_submodule": "assign layers, as in `model[0] = layer` or `block.body = layer`",
    "share_memory": "`fastcnn.distributed` trains on several processes",
}
"""Attribute names, and the end of the error message for each."""

ABSENT_OF_PARAMETERS = {
    **dict.fromkeys(("detach", "numpy", "cpu"), "`parameter.data` is the NumPy array"),
    **dict.fromkeys(("cuda", "device"), "it is in the CPU's memory, so leave it out"),
    **dict.fromkeys(("clone",), "use `parameter.data.copy()`"),
    **dict.fromkeys(("copy_", "mul_", "add_", "zero_", "clamp_"), "`parameter.data[...] = ` writes into its array"),
    **dict.fromkeys(("fill_", "normal_", "uniform_"), "`fastcnn.nn.init` fills parameters"),
    "norm": "use `np.linalg.norm(parameter.data)`",
    "abs": "use `np.abs(parameter.data)`",
    "grad_fn": "gradients are explicit: `model.backward(loss.backward())`",
}
"""The same for a `Parameter`."""
