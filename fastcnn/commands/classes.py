"""Match the classes of a data set with those of a model, by name."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fastcnn.commands.errors import remark
from fastcnn.data import ArrayDataset, DataError


def with_classes(data: ArrayDataset, known: Sequence[str], numbered: bool = False) -> ArrayDataset:
    """Relabel data with the class numbers of a model; classes are matched by name.

    Names that differ only in case or in the encoding of accents match if there is just one candidate. Each such match
    is reported on stderr.

    Parameters
    ----------
    data : ArrayDataset
    known : sequence of str
        The names of the model's classes.
    numbered : bool
        Whether the data's class names are just numbers. If none of them is a class of the model, labels are kept.

    Returns
    -------
    ArrayDataset
        The data with the model's classes.

    Raises
    ------
    DataError
        If the data have a class that the model does not know, or whose name matches several classes.
    """
    used = [data.classes[label] for label in np.unique(data.labels)]
    if numbered and not set(used) & set(known):
        if len(known) <= int(data.labels.max()):
            raise DataError(f"{data.source}: a label is {data.labels.max()}, but the model has {len(known)} classes.")
        return replace(data, classes=tuple(known))
    label = {name: known.index(name) for name in used if name in known}
    others = [name for name in used if name not in known]
    free = [name for name in known if name not in label]
    for name in others:
        meant = [k for k in free if folded(k) == folded(name)]
        if len(meant) == 1 and sum(folded(other) == folded(name) for other in others) == 1:
            label[name] = known.index(meant[0])
            remark(f"The class {name} of the data is matched with the model's class {meant[0]}.")
    if unknown := [name for name in others if name not in label]:
        raise DataError(
            f"{data.source}: the model does not know the classes {listed_names(unknown)}; it knows "
            f"{listed_names(known)}."
        )
    to_known = np.array([label.get(name, -1) for name in data.classes])  # -1 for a class without images
    return replace(data, labels=to_known[data.labels], classes=tuple(known))


def folded(name: str) -> str:
    """Normalize a name: names that differ only in case or in the encoding of accents become equal."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def listed_names(names: Sequence[str]) -> str:
    """Join names for a sentence; of more than 12, only the first 12."""
    return ", ".join(names[:12]) + ", ..." * (len(names) > 12)
