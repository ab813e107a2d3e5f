"""LeNet-5 in NumPy as in tutorials on CNNs: im2row with index arrays, row2im with `numpy.add.at`, plain SGD.

The design is that of zjZSTU/PyNet: rows of patches are multiplied with filters stored as (C*KH*KW, O), and max-pooling
is an argmax over rows of patches. As a fair baseline, it avoids needless work of such programs: it computes in float32,
and skips the gradient of the images.
"""

import numpy as np


class Conv:
    """Convolution with stride 1 and no padding."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray, *, first: bool = False):
        self.shape, self.first = weight.shape, first
        self.weight = np.ascontiguousarray(weight.reshape(len(weight), -1).T)  # (C*KH*KW, O)
        self.bias = bias

    def forward(self, x):
        """Convolve images (N, C, H, W); returns (N, O, OH, OW)."""
        O, C, KH, KW = self.shape
        N, _, H, W = self.x_shape = x.shape
        OH, OW = H - KH + 1, W - KW + 1
        self.at = patch_indices(C, KH, KW, OH, OW, stride=1)
        self.rows = x[:, *self.at].reshape(N * OH * OW, C * KH * KW)
        y = self.rows @ self.weight + self.bias  # (N*OH*OW, O)
        return y.reshape(N, OH, OW, O).transpose(0, 3, 1, 2)

    def backward(self, dy):
        """Compute the gradients; returns that of the images, or None in the first layer."""
        O = len(self.bias)
        dy = dy.transpose(0, 2, 3, 1).reshape(-1, O)  # (N*OH*OW, O)
        self.dweight, self.dbias = self.rows.T @ dy, dy.sum(axis=0)
        if self.first:
            return None
        dx = np.zeros(self.x_shape, dy.dtype)
        np.add.at(dx, (slice(None), *self.at), (dy @ self.weight.T).reshape(len(dx), *self.at[0].shape))
        return dx

    def gradients(self):
        """Return the gradients of weight and bias, in PyTorch's shapes."""
        return self.dweight.T.reshape(self.shape), self.dbias


class MaxPool:
    """2x2 max-pooling."""

    def forward(self, x):
        """Pool images (N, C, H, W); returns (N, C, H/2, W/2)."""
        N, C, H, W = self.x_shape = x.shape
        _, iy, ix = patch_indices(1, 2, 2, H // 2, W // 2, stride=2)
        self.at = iy, ix
        rows = x[:, :, iy, ix]  # (N, C, OH*OW, 4)
        self.winners = rows.argmax(axis=-1)[..., None]
        return np.take_along_axis(rows, self.winners, axis=-1).reshape(N, C, H // 2, W // 2)

    def backward(self, dy):
        """Return the gradient of the images."""
        N, C, H, W = self.x_shape
        rows = np.zeros((N, C, H // 2 * (W // 2), 4), dy.dtype)
        np.put_along_axis(rows, self.winners, dy.reshape(self.winners.shape), axis=-1)
        dx = np.zeros(self.x_shape, dy.dtype)
        np.add.at(dx, (slice(None), slice(None), *self.at), rows)
        return dx


class ReLU:
    """ReLU, max(x, 0)."""

    def forward(self, x):
        """Return the positive part."""
        self.positive = x > 0
        return x * self.positive

    def backward(self, dy):
        """Return the gradient of the input."""
        return dy * self.positive


class Flatten:
    """Reshape (N, C, H, W) to (N, C*H*W)."""

    def forward(self, x):
        """Put all features of an image into one row."""
        self.x_shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy):
        """Restore the shape of the features."""
        return dy.reshape(self.x_shape)


class Linear:
    """Fully connected layer."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        self.weight, self.bias = np.ascontiguousarray(weight.T), bias  # (inputs, outputs)

    def forward(self, x):
        """Map features (N, inputs) to (N, outputs)."""
        self.x = x
        return x @ self.weight + self.bias

    def backward(self, dy):
        """Compute the gradients; returns that of the input."""
        self.dweight, self.dbias = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.weight.T

    def gradients(self):
        """Return the gradients of weight and bias, in PyTorch's shapes."""
        return self.dweight.T, self.dbias


class LeNet5:
    """The same net as `fastcnn.models.LeNet5`, with its weights."""

    def __init__(self, state: dict[str, np.ndarray]):
        conv1, conv2, conv3, linear1, linear2 = ((state[f"{i}.weight"], state[f"{i}.bias"]) for i in (0, 3, 6, 9, 11))
        self.layers = (
            Conv(*conv1, first=True), ReLU(), MaxPool(),
            Conv(*conv2), ReLU(), MaxPool(),
            Conv(*conv3), ReLU(), Flatten(),
            Linear(*linear1), ReLU(), Linear(*linear2),
        )  # fmt: skip
        self.trained = [layer for layer in self.layers if hasattr(layer, "weight")]

    def gradients(self, images, labels) -> tuple[float, list[np.ndarray]]:
        """Return the mean cross-entropy of a batch and its gradients with respect to all parameters."""
        x = images
        for layer in self.layers:
            x = layer.forward(x)
        log_p = x - x.max(axis=1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        of_labels = np.arange(len(x)), labels
        dy = np.exp(log_p)
        dy[of_labels] -= 1
        dy /= np.float32(len(x))
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return -float(log_p[of_labels].mean()), [array for layer in self.trained for array in layer.gradients()]

    def update(self, lr: float) -> None:
        """Take a step of plain SGD."""
        for layer in self.trained:
            layer.weight -= np.float32(lr) * layer.dweight
            layer.bias -= np.float32(lr) * layer.dbias


def patch_indices(C: int, KH: int, KW: int, OH: int, OW: int, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the channel, row and column of every tap of every window: three arrays (OH*OW, C*KH*KW)."""
    c, ky, kx = (grid.reshape(1, -1) for grid in np.indices((C, KH, KW)))
    oy, ox = (grid.reshape(-1, 1) for grid in np.indices((OH, OW)))
    return np.broadcast_arrays(c, oy * stride + ky, ox * stride + kx)
