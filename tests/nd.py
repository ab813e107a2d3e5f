"""Choose the function or layer for signals or for images that fits a case."""


def of(namespace, name: str, case):
    """Look up a name such as "conv{}d" in a module: `F.conv1d` for a case of signals, `F.conv2d` for one of images."""
    return getattr(namespace, name.format(len(case.x) - 2))
