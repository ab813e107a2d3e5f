"""Callbacks of the recipes."""

from fastcnn import training


class DecayWeights(training.Callback):
    """Weight decay without biases: add ``factor * weight`` to the gradient of each weight."""

    def __init__(self, factor: float):
        self.factor = factor

    def on_backward_end(self, trainer) -> None:
        """Add the decay to the gradients."""
        for parameter in trainer.optimizer.params:
            if parameter.data.ndim > 1:
                parameter.grad += self.factor * parameter.data


class Log(training.Callback):
    """Record the mean loss and accuracy of every ``every`` training batches, and of the rest at the end of an epoch.

    Each line has "steps", "loss" and "accuracy"; the means are over the images of its batches.
    """

    def __init__(self, every: int):
        self.every = every
        self.lines = []

    def on_batch_end(self, trainer) -> None:
        """Add a line after every ``every`` batches and after the last batch of an epoch."""
        if trainer.progress.batches % self.every == 0 or trainer.progress.batches == len(trainer.loader):
            self._line(trainer)

    def _line(self, trainer) -> None:
        now, steps = trainer.progress, len(trainer.history.step_losses)
        right = now.sums["right"]
        new_epoch = not self.lines or self.lines[-1]["epoch"] != now.epoch
        before = {"images": 0, "right": 0, "sum": 0.0} if new_epoch else self.lines[-1]
        images = now.images - before["images"]
        self.lines.append({
            "steps": steps, "epoch": now.epoch, "images": now.images, "right": right, "sum": now.loss,
            "loss": (now.loss - before["sum"]) / images, "accuracy": (right - before["right"]) / images,
        })  # fmt: skip

    def state_dict(self) -> dict:
        """Return the lines."""
        return {"lines": self.lines}

    def load_state_dict(self, state, trainer) -> None:
        """Continue from a state."""
        self.lines = [dict(line) for line in state["lines"]]
