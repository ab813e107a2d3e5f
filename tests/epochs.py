"""Records of epochs for tests."""

from fastcnn.training import Epoch


def classified(epoch, batches, seconds, train_loss, train_accuracy, validation_loss, validation_accuracy, lr, rate):
    """Make the record of an epoch of a classification, with its numbers in the order of the files."""
    train = {"loss": train_loss, "accuracy": train_accuracy}
    validation = {"loss": validation_loss, "accuracy": validation_accuracy}
    return Epoch(epoch, batches, seconds, Epoch.named(train, validation), lr, rate)
