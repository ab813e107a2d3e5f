"""Records of epochs, for tests of what takes them."""

from fastcnn.training import Epoch


def classified(epoch, batches, seconds, train_loss, train_accuracy, validation_loss, validation_accuracy, lr, rate):
    """An epoch of a classification, all its numbers in the order of files."""
    train = {"loss": train_loss, "accuracy": train_accuracy}
    validation = {"loss": validation_loss, "accuracy": validation_accuracy}
    return Epoch(epoch, batches, seconds, Epoch.named(train, validation), lr, rate)
