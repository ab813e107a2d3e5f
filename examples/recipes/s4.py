"""S4: a 3x3 convolution, a max-pooling and a softmax, trained image by image, compared with PyTorch.

The write-up compares it with a net 51 times as large. Here PyTorch trains the same net, with the same initial weights,
the same images in the same order and the same number of threads.
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
    "threads": 1,  # a step of one image is too short for two threads: an epoch took 15 s on two, 9 s on one
}
RECIPE = Recipe(
    "S4",
    "One convolution, image by image, against PyTorch",
    [
        "The write-up shows its accuracies in images that are lost; the figures here are those of the Keras version of "
        "the program that it is based on.",
        "`conv8` uses the write-up's initial weights, normal numbers divided by the fan_in; `glorot` uses those of the "
        "Keras version.",
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
