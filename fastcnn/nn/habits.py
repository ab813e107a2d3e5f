"""What a `torch.nn.Module` has and a `Module` has not, and what does it here."""

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
