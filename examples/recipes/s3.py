"""S3: a course report of Tsinghua University: a CNN of 4,842 parameters against two fully connected networks."""

from recipe import Claim, Recipe, Run

RECIPE = Recipe(
    "S3",
    "A CNN against two MLPs",
    [
        "The write-up does not give the preprocessing and the initial weights. Here images are x/255 - 0.5 for the "
        "CNN, and have mean 0 and standard deviation 1 for the MLPs; initial weights are uniform in ±1/sqrt(fan_in), "
        "as in PyTorch.",
        "The momentum is the write-up's, 1e-4, which has practically no effect.",
        "As in the write-up, the MLPs are trained for 100 epochs at a constant learning rate.",
    ],
    [
        Run(
            "cnn",
            model="conv4_conv8",
            images="halved",
            batch_size=50,
            epochs=30,
            optimizer="SGD",
            optimizer_options={"lr": 0.1, "momentum": 1e-4, "weight_decay": 2e-4},
            schedule="StepLR",
            schedule_options={"step_size": 5, "gamma": 0.5},
            log_every=25,
            pictures=True,
            claims=(
                Claim("S3-8", "test accuracy, CNN", 0.9858, "test_accuracy"),
                Claim("S3-12", "seconds an epoch, CNN", 240, "seconds_an_epoch", "lower"),
                Claim("S3-8", "GFLOP/s in training, CNN, at most", 0.32, "training_gflops"),
                Claim("S3-6", "parameters, CNN", 4_842, "parameters", "equal"),
            ),
        ),
        Run(
            "mlp",
            model="mlp",
            images="standardized",
            batch_size=100,
            epochs=100,
            optimizer="SGD",
            optimizer_options={"lr": 0.1, "momentum": 1e-4, "weight_decay": 1e-4},
            log_every=50,
            claims=(
                Claim("S3-9", "test accuracy, MLP 392", 0.9832, "test_accuracy"),
                Claim("S3-9", "seconds for 30 epochs, MLP 392", 120, "seconds_for_30_epochs", "lower"),
                Claim("S3-9", "parameters, MLP 392", 311_650, "parameters", "equal"),
            ),
        ),
        Run(
            "mlp2",
            model="mlp",
            model_options={"hidden": [392, 196]},
            images="standardized",
            batch_size=100,
            epochs=100,
            optimizer="SGD",
            optimizer_options={"lr": 0.1, "momentum": 1e-4, "weight_decay": 2e-4},
            loss="euclidean",
            log_every=50,
            claims=(
                Claim("S3-10", "test accuracy, MLP 392-196", 0.9875, "test_accuracy"),
                Claim("S3-10", "seconds for 30 epochs, MLP 392-196", 210, "seconds_for_30_epochs", "lower"),
                Claim("S3-10", "parameters, MLP 392-196", 386_718, "parameters", "equal"),
            ),
        ),
    ],
)
