"""S2: notes on a CNN framework in NumPy, and its four optimizers for five epochs.

Its gradient is summed over the batch of 64: lr 5e-4 there is 0.032 for a mean, but for Adam, which does not see the
scale. Its decay takes 4e-4 of the weights in every step, whatever the learning rate: `DecayingSGD`, and for AdamW,
which decays by ``lr * weight_decay``, 0.8. Images there are (N, H, W, C) and filters (KH, KW, C, O); fastcnn's are
NCHW, and both are a transposed view away, which `fastcnn.functional` takes as it is:

    y = functional.conv2d(x.transpose(0, 3, 1, 2), weight.transpose(3, 2, 0, 1), padding="same").transpose(0, 2, 3, 1)
"""

from recipe import Claim, Recipe, Run

SETTINGS = {
    "model": "conv12_conv24",
    "images": "standardized",
    "init": "he",
    "batch_size": 64,
    "log_every": 50,
}
SUMMED = {"lr": 5e-4 * 64, "decay_per_step": 4e-4}


def compared(name: str, said: float, optimizer: str, options: dict) -> Run:
    """One of the four."""
    claims = (Claim("S2-9", f"test accuracy, {name}", said, "test_accuracy"),)
    return Run(name, epochs=5, leaky=0.01, optimizer=optimizer, optimizer_options=options, claims=claims, **SETTINGS)


RECIPE = Recipe(
    "S2",
    "A CNN framework in NumPy",
    [
        "Images have mean 0 and deviation 1 here; there they are bytes from 0 to 255. Initial weights are He's.",
        "The four optimizers use LeakyReLU(0.01), as its logs are named; `leaky_relu` is its best activation.",
        "Momentum is 0.9 where it has one. The learning rate is constant: its own falls to a tenth after five epochs, "
        "when the comparison is over; in more epochs accuracy then fell to 87 %, as the decay does not fall with it.",
    ],
    [
        compared("sgd", 0.9676, "DecayingSGD", SUMMED),
        compared("momentum", 0.9716, "DecayingSGD", {**SUMMED, "momentum": 0.9}),
        compared("nesterov", 0.9711, "DecayingSGD", {**SUMMED, "momentum": 0.9, "nesterov": True}),
        compared("adam", 0.9707, "AdamW", {"lr": 5e-4, "weight_decay": 4e-4 / 5e-4}),
        Run(
            "leaky_relu",
            epochs=16,
            leaky=0.001,
            optimizer="DecayingSGD",
            optimizer_options=SUMMED,
            claims=(Claim("S2-9", "test accuracy, SGD and LeakyReLU(0.001)", 0.9798, "test_accuracy"),),
            **SETTINGS,
        ),
    ],
)
