"""S2: notes on a CNN framework in NumPy, and a comparison of four optimizers over five epochs.

In the write-up the gradient is summed over the batch of 64. Its lr of 5e-4 corresponds to 0.032 with the mean, except
for Adam, which does not depend on the scale of gradients. Every step shrinks the weights by 4e-4, whatever the learning
rate: hence `DecayingSGD`, and a weight decay of 0.8 for AdamW, which decays by ``lr * weight_decay``. The write-up's
images are (N, H, W, C) and its filters (KH, KW, C, O). A transposed view converts both to fastcnn's layout:

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
    """Make the run of one of the four optimizers."""
    claims = (Claim("S2-9", f"test accuracy, {name}", said, "test_accuracy"),)
    return Run(name, epochs=5, leaky=0.01, optimizer=optimizer, optimizer_options=options, claims=claims, **SETTINGS)


RECIPE = Recipe(
    "S2",
    "A CNN framework in NumPy",
    [
        "Images have mean 0 and standard deviation 1 here; in the write-up they are bytes from 0 to 255. Initial "
        "weights are He's.",
        "The four optimizers use LeakyReLU(0.01), as in the names of the write-up's logs; `leaky_relu` is its best "
        "activation.",
        "Momentum, where it is used, is 0.9. The learning rate is constant: in the write-up it falls to a tenth after "
        "five epochs, when the comparison is over. With more epochs the accuracy then fell to 87 %, because the decay "
        "does not fall with the rate.",
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
