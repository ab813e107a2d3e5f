"""The task that is meant where none is said: a classification, but for losses that classify nothing."""

from fastcnn.training.tasks.classification import Classification
from fastcnn.training.tasks.multi_label import MultiLabel
from fastcnn.training.tasks.regression import Regression
from fastcnn.training.tasks.task import Task

_NO_CLASSES = {  # losses of `fastcnn.nn` and `fastcnn.functional` whose targets are no labels of images
    "MSELoss": Regression,
    "L1Loss": Regression,
    "SmoothL1Loss": Regression,
    "HuberLoss": Regression,
    "BCEWithLogitsLoss": MultiLabel,
    "mse_loss": Regression,
    "l1_loss": Regression,
    "smooth_l1_loss": Regression,
    "huber_loss": Regression,
    "binary_cross_entropy_with_logits": MultiLabel,
}


def chosen(task: Task | None, loss) -> Task:
    """The task, where it is one.

    Raises
    ------
    TypeError
        If it is none.
    ValueError
        If none is given, and the loss is one of fastcnn's that does not classify.
    """
    if isinstance(task, Task):
        return task
    if task is not None:
        raise TypeError(f"`task` must be a Task, such as training.Regression(), not {task!r:.60}.")
    named = loss if hasattr(loss, "__name__") else type(loss)
    if named.__module__.startswith("fastcnn.") and named.__name__ in _NO_CLASSES:
        raise ValueError(
            f"`loss` is {named.__name__}, which does not learn classes of images, and no `task` is given: pass "
            f"task=training.{_NO_CLASSES[named.__name__].__name__}()."
        )
    return Classification()
