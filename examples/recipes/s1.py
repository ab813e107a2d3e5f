"""S1: PyNet's LeNet-5 on images enlarged to 32x32.

Its gradient is summed over the batch of 128, with lr 1e-3 and a decay of 1e-3 of the weights only. For a mean over the
batch that is lr 0.128 and weight decay 7.8e-6. Its biases learn 128 (linear) to 128 * OH * OW (convolution) times
slower than its weights, by mistake; here the gradient is right.
"""

from recipe import Claim, Recipe, Run

RECIPE = Recipe(
    "S1",
    "PyNet's LeNet-5",
    [
        "The bias gradient is right here; there it is divided by the rows, and the weights' is not.",
        "Accuracy counts all 60,000 and 10,000 images; there, the last, smaller batches are left out.",
        "Every epoch is a new permutation; there, the order never changes.",
        "Its time is that of an i7-8700 with 12 threads.",
    ],
    [
        Run(
            "lenet5",
            model="lenet5",
            images="resized",
            batch_size=128,
            epochs=250,
            optimizer="SGD",
            optimizer_options={"lr": 0.128},
            weight_decay_of_weights=1e-3 / 128,
            claims=(
                Claim("S1-10", "test accuracy", 0.9904, "test_accuracy"),
                Claim("S1-10", "training accuracy", 0.9999, "train_accuracy"),
                Claim("S1-9", "seconds an epoch", 166, "seconds_an_epoch", "lower"),
                Claim("S1-9", "GFLOP/s in training", 0.82, "training_gflops"),
                Claim("S1-5", "parameters", 61_706, "parameters", "equal"),
                Claim("S1-5", "multiply-adds an image", 416_520, "multiply_adds", "equal"),
            ),
        )
    ],
)
