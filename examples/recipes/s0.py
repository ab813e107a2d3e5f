"""S0: LeNet on 28x28 images, made faster with im2col and as_strided.

The optimizer of the write-up is ``v = 0.8 v + 0.2 g; w -= 1e-4 v + 3e-5 w``, where g is the sum over the batch of 64.
With the mean over the batch, this is SGD with lr 1e-4 * 64 * 0.2 = 1.28e-3, momentum 0.8, and a decay of 3e-5 in each
step, which includes biases and is not changed by the schedule. 30,000 steps are 32 epochs of 938.
"""

from recipe import Claim, Recipe, Run

SETTINGS = {
    "model": "lenet5",
    "model_options": {"image_size": 28},
    "images": "centred",
    "init": "he",
    "batch_size": 64,
    "optimizer": "DecayingSGD",
    "optimizer_options": {"lr": 1.28e-3, "momentum": 0.8, "decay_per_step": 3e-5},
    "schedule": "MultiStepLR",
    "schedule_options": {"milestones": [10_000, 20_000], "gamma": 0.1, "every": "batch"},
    "log_every": 100,
}
RECIPE = Recipe(
    "S0",
    "LeNet, faster with im2col and as_strided",
    [
        "The write-up has dropout but does not say where or how much; here it is 0.2 before each linear layer.",
        "Images are divided by 255, and the mean of the training images is subtracted. Initial weights are He's and "
        "biases 0; the write-up's are normal.",
        "Every epoch is a new permutation; in the write-up, batches are contiguous slices of the data.",
        "As written, the decay does not shrink with the learning rate. When the rate has fallen to a tenth or a "
        "hundredth, the decay outweighs the gradients, and the accuracy falls. `decay_with_lr` starts with the same "
        "decay and scales it with the rate, without dropout.",
        "Without dropout the write-up's test accuracy is 20 points below its training accuracy; with a correct "
        "gradient it is not (`no_dropout`).",
    ],
    [
        Run(
            "dropout",
            epochs=32,
            dropout=0.2,
            claims=(
                Claim("S0-16", "test accuracy", 0.9795, "test_accuracy"),
                Claim("S0-16", "training accuracy", 0.9813, "train_accuracy"),
                Claim("S0-18", "parameters", 44_426, "parameters", "equal"),
                Claim("S0-15", "losses recorded, one for 100 steps", 300, "log_lines"),
            ),
            **SETTINGS,
        ),
        Run(
            "decay_with_lr",
            epochs=32,
            claims=(
                Claim("S0-16", "test accuracy, decay scaled with lr", 0.9795, "test_accuracy"),
                Claim("S0-16", "training accuracy, decay scaled with lr", 0.9813, "train_accuracy"),
            ),
            **{
                **SETTINGS,
                "optimizer": "SGD",
                "optimizer_options": {"lr": 1.28e-3, "momentum": 0.8, "weight_decay": 3e-5 / 6.4e-3},
            },
        ),
        Run(
            "no_dropout",
            epochs=27,  # 25,000 steps
            claims=(
                Claim("S0-17", "test accuracy without dropout", 0.70, "test_accuracy"),
                Claim("S0-17", "training accuracy without dropout", 0.90, "train_accuracy"),
            ),
            **SETTINGS,
        ),
    ],
)
