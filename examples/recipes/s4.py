"""S4: a 3x3 convolution, a max-pooling and a softmax, trained image by image, against PyTorch.

The write-up compares with a net 51 times as large. Here PyTorch trains the same net, from the same weights, on the same
images in the same order, with as many threads.
"""

from recipe import Claim, Recipe, Run

RECIPE = Recipe(
    "S4",
    "One convolution, image by image, against PyTorch",
    [
        "Its accuracies are in pictures that are lost; the figures are those of its upstream's twin in Keras.",
        "Initial weights as there: normal, divided by the fan_in; biases 0.",
    ],
    [
        Run(
            "conv8",
            model="conv8",
            images="halved",
            init="normal / fan_in",
            batch_size=1,
            epochs=3,
            optimizer="SGD",
            optimizer_options={"lr": 0.005},
            seeds=(0, 1, 2, 3, 4),
            against_pytorch=True,
            claims=(
                Claim("S4-4", "test accuracy, mean of five seeds", 0.9744, "test_accuracy"),
                Claim("S4-4", "seconds an epoch", 47, "seconds_an_epoch", "lower"),
                Claim("S4-1", "parameters", 13_602, "parameters", "equal"),
            ),
        )
    ],
)
