"""Functions and layers of signals and of images, by the case that they are called with."""


def of(namespace, name: str, case):
    """That of a module: of ``F`` and "conv{}d" `F.conv1d` for a case of signals, `F.conv2d` for one of images."""
    return getattr(namespace, name.format(len(case.x) - 2))
