"""The default task: classification, unless the loss is for another task."""

from fastcnn.training.tasks.classification import Classification
from fastcnn.training.tasks.multi_label import MultiLabel
from fastcnn.training.tasks.regression import Regression
from fastcnn.training.tasks.task import Task

_NO_CLASSES = {  # losses of `fastcnn.nn` and `fastcnn.functional` for other tasks than classification
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
    """Return the task, or a `Classification` if it is None.

    Raises
    ------
    TypeError
        If `task` is not a Task.
    ValueError
        If no task is given and the loss is one of fastcnn's that is not for classification.
    """
    if isinstance(task, Task):
        return task
    if task is not None:
        raise TypeError(f"`task` must be a Task, such as training.Regression(), not {task!r:.60}.")
    named = loss if hasattr(loss, "__name__") else type(loss)
    if named.__module__.startswith("fastcnn.") and named.__name__ in _NO_CLASSES:
        raise ValueError(
            f"`loss` is {named.__name__}, which is not for classification, and no `task` is given: pass "
            f"task=training.{_NO_CLASSES[named.__name__].__name__}()."
        )
    return Classification()
