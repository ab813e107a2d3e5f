"""The classes of data and those of a model: the same ones have the same names, wherever they stand."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fastcnn.commands.errors import remark
from fastcnn.data import ArrayDataset, DataError


def with_classes(data: ArrayDataset, known: Sequence[str], numbered: bool = False) -> ArrayDataset:
    """The data with the labels of a model's classes, by name.

    Names that differ in case or in how accents are written are the same where only one can be meant; it is said.

    Parameters
    ----------
    data : ArrayDataset
    known : sequence of str
        The names of the model's classes.
    numbered : bool
        Whether the names of the data's are nothing but their numbers. If none is a name of the model's, they count.

    Raises
    ------
    DataError
        If the data have a class that the model does not know, or of which it cannot be said which it is.
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
            remark(f"The class {name} of the data is taken for the model's {meant[0]}.")
    if unknown := [name for name in others if name not in label]:
        raise DataError(
            f"{data.source}: the model does not know the classes {listed_names(unknown)}; it knows "
            f"{listed_names(known)}."
        )
    to_known = np.array([label.get(name, -1) for name in data.classes])  # -1 of a class without images
    return replace(data, labels=to_known[data.labels], classes=tuple(known))


def folded(name: str) -> str:
    """What names have in common that differ in case or in how accents are written."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def listed_names(names: Sequence[str]) -> str:
    """The names for a sentence, the first of many."""
    return ", ".join(names[:12]) + ", ..." * (len(names) > 12)
