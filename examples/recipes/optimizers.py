"""The optimizers of the recipes, by name."""

from fastcnn import optim


class DecayingSGD(optim.SGD):
    """`fastcnn.optim.SGD` that also shrinks the parameters by a constant fraction in each step.

    This decay is independent of gradient, momentum and learning rate, so a schedule does not change it.
    """

    def __init__(self, params, lr: float, momentum: float = 0.0, nesterov: bool = False, *, decay_per_step: float):
        super().__init__(params, lr, momentum, nesterov=nesterov)
        self.decay_per_step = decay_per_step

    def _update(self, backend, places, parameters, grads) -> None:
        for parameter in parameters:
            parameter -= self.decay_per_step * parameter
        super()._update(backend, places, parameters, grads)


OPTIMIZERS = {"SGD": optim.SGD, "AdamW": optim.AdamW, "DecayingSGD": DecayingSGD}
