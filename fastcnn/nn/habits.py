"""What a module or a parameter of PyTorch has and one of fastcnn has not, and what does it here."""

ABSENT = {
    **dict.fromkeys(("cuda", "xpu", "mtia", "ipu"), "it computes on the processor's threads, so leave the call out"),
    **dict.fromkeys(("half", "bfloat16", "type"), 'numbers are float32 or float64, set by `to("float64")`'),
    **dict.fromkeys(
        ("register_forward_hook", "register_forward_pre_hook"),
        "`fastcnn.nn.trace(model, x)` gives what goes into each layer and what comes out",
    ),
    **dict.fromkeys(
        ("register_backward_hook", "register_full_backward_hook", "register_full_backward_pre_hook"),
        "a layer of one's own that gives on what it is given sees the gradient at its place; see `fastcnn.nn.Module`",
    ),
    "compile": "all passes are compiled, and `compile_inference()` makes a trained model ready to answer",
    "get_buffer": "`dict(model.named_buffers())[name]` does it",
    "get_parameter": "`dict(model.named_parameters())[name]` does it",
    "set_submodule": "layers are assigned, as `model[0] = layer` or `block.body = layer`",
    "share_memory": "`fastcnn.distributed` shares out training among processes",
}
"""By the name of the attribute, the rest of the sentence."""

ABSENT_OF_PARAMETERS = {
    **dict.fromkeys(("detach", "numpy", "cpu"), "`parameter.data` is the NumPy array"),
    **dict.fromkeys(("cuda", "device"), "it is in the processor's memory, so leave it out"),
    **dict.fromkeys(("clone",), "`parameter.data.copy()` does it"),
    **dict.fromkeys(("copy_", "mul_", "add_", "zero_", "clamp_"), "`parameter.data[...] = ` writes into its array"),
    **dict.fromkeys(("fill_", "normal_", "uniform_"), "`fastcnn.nn.init` fills parameters"),
    "norm": "`np.linalg.norm(parameter.data)` does it",
    "abs": "`np.abs(parameter.data)` does it",
    "grad_fn": "gradients are explicit: `model.backward(loss.backward())`",
}
"""As `ABSENT`, of a `Parameter`."""
