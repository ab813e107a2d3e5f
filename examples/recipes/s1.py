"""S1: PyNet's LeNet-5 on images enlarged to 32x32.

In the write-up the gradient is summed over the batch of 128, with lr 1e-3 and a decay of 1e-3 of the weights only. With
the mean over the batch, this is lr 0.128 and weight decay 7.8e-6. By mistake, its biases learn 128 (linear) to
128 * OH * OW (convolution) times slower than its weights; here the gradient is correct.
"""

from recipe import Claim, Recipe, Run

RECIPE = Recipe(
    "S1",
    "PyNet's LeNet-5",
    [
        "The gradient of the biases is correct here; the write-up divides it, but not that of the weights, by the "
        "number of rows.",
        "Accuracies include all 60,000 and 10,000 images; the write-up leaves out the last, smaller batches.",
        "Every epoch is a new permutation; in the write-up, the order never changes.",
        "The write-up's time is that of an i7-8700 with 12 threads.",
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
