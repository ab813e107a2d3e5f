"""S4: a 3x3 convolution, a max-pooling and a softmax, trained image by image, against PyTorch.

The write-up compares with a net 51 times as large. Here PyTorch trains the same net, from the same weights, on the same
images in the same order, with as many threads.
"""

from recipe import Claim, Recipe, Run

SETTINGS = {
    "model": "conv8",
    "images": "halved",
    "batch_size": 1,
    "epochs": 3,
    "optimizer": "SGD",
    "optimizer_options": {"lr": 0.005},
    "seeds": (0, 1, 2, 3, 4),
    "threads": 1,  # a step of one image is over before others can help: an epoch took 15 s on two, 9 s on one
}
RECIPE = Recipe(
    "S4",
    "One convolution, image by image, against PyTorch",
    [
        "Its accuracies are in pictures that are lost; the figures are those of its upstream's twin in Keras.",
        "`conv8` starts with its initial weights: normal, divided by the fan_in; `glorot` with those of the twin.",
    ],
    [
        Run(
            "conv8",
            init="normal / fan_in",
            against_pytorch=True,
            claims=(
                Claim("S4-4", "test accuracy, mean of five seeds", 0.9744, "test_accuracy"),
                Claim("S4-4", "seconds an epoch", 47, "seconds_an_epoch", "lower"),
                Claim("S4-1", "parameters", 13_602, "parameters", "equal"),
            ),
            **SETTINGS,
        ),
        Run(
            "glorot",
            init="glorot",
            claims=(Claim("S4-4", "test accuracy, the twin's initial weights", 0.9744, "test_accuracy"),),
            **SETTINGS,
        ),
    ],
)
