"""A whole convolutional network in one file, forward and backward, in plain Python: nothing to install, not even NumPy.

conv 3x3 -> ReLU -> max-pooling 2x2 -> conv 3x3 -> ReLU -> linear -> softmax and cross-entropy; trained by SGD. An image
is a list of channels, a channel a list of rows, a row a list of numbers: x[c][i][j] is a pixel. Each function has its
backward function below it, which takes dy, the gradient of the loss with respect to the output y, and returns dx, the
gradient with respect to the input x. It adds the gradients with respect to the parameters to dweight and dbias.
"""

import argparse
import gzip
import math
import random
from itertools import product
from pathlib import Path

# The digits in 3x5 dots: a row of 7 is ###, of 5 #.#, of 4 #.., of 2 .#., of 1 ..#
FONT = "75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717"


def each(*sizes):
    """Indices of nested loops: each(2, 3) gives (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)."""
    return product(*map(range, sizes))


def shape(x):
    """Sizes of nested lists: shape([[1, 2, 3], [4, 5, 6]]) is (2, 3)."""
    return (len(x), *shape(x[0])) if isinstance(x, list) else ()


def nested(number, *sizes):
    """Nested lists of results of number(): nested(float, 2, 3) is [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]."""
    return [nested(number, *sizes[1:]) for _ in range(sizes[0])] if sizes else number()


def apply(f, *x):
    """Nested lists of f of the numbers at each place: apply(max, [[1, 2]], [[0, 3]]) is [[1, 3]]."""
    return [apply(f, *parts) for parts in zip(*x, strict=True)] if isinstance(x[0], list) else f(*x)


def conv(x, weight, bias):
    """y[o][i][j] = bias[o] + sum over c, u, v of weight[o][c][u][v] * x[c][i + u][j + v]."""
    (C, H, W), (O, _, K, _) = shape(x), shape(weight)
    y = nested(float, O, H - K + 1, W - K + 1)
    for o, i, j in each(*shape(y)):
        total, filter = bias[o], weight[o]
        for c, u, v in each(C, K, K):
            total += filter[c][u][v] * x[c][i + u][j + v]
        y[o][i][j] = total
    return y


def conv_backward(dy, x, weight, dweight, dbias):
    """With d = dy[o][i][j], each product weight * x of that sum adds d * weight to its dx and d * x to its dweight."""
    dx, (_, C, K, _) = nested(float, *shape(x)), shape(weight)
    for o, i, j in each(*shape(dy)):
        d, filter, dfilter = dy[o][i][j], weight[o], dweight[o]
        if d != 0:  # ReLU and pooling leave many zeros
            dbias[o] += d
            for c, u, v in each(C, K, K):
                dx[c][i + u][j + v] += d * filter[c][u][v]
                dfilter[c][u][v] += d * x[c][i + u][j + v]
    return dx


def relu(x):
    """Each number x becomes max(x, 0)."""
    return apply(lambda number: max(number, 0.0), x)


def relu_backward(dy, y):
    """Pass on dy where y > 0; elsewhere dx = 0."""
    return apply(lambda d, number: d if number > 0 else 0.0, dy, y)


def max_pool(x):
    """y[c][i][j] = max over u, v of x[c][2 * i + u][2 * j + v]."""
    y = nested(float, len(x), len(x[0]) // 2, len(x[0][0]) // 2)
    for c, i, j in each(*shape(y)):
        y[c][i][j] = max(x[c][2 * i + u][2 * j + v] for u, v in each(2, 2))
    return y


def max_pool_backward(dy, x):
    """The largest number of a window, of equal ones the first, gets all of its dy[c][i][j]; the others get 0."""
    dx = nested(float, *shape(x))
    for c, i, j in each(*shape(dy)):
        u, v = max(each(2, 2), key=lambda uv: x[c][2 * i + uv[0]][2 * j + uv[1]])
        dx[c][2 * i + u][2 * j + v] = dy[c][i][j]
    return dx


def linear(x, weight, bias):
    """y[o] = bias[o] + sum over k of weight[o][k] * x[k]."""
    return [b + sum(w * number for w, number in zip(row, x, strict=True)) for row, b in zip(weight, bias, strict=True)]


def linear_backward(dy, x, weight, dweight, dbias):
    """dx[k] = sum over o of dy[o] * weight[o][k]; dweight[o][k] += dy[o] * x[k]; dbias[o] += dy[o]."""
    dx = nested(float, len(x))
    dbias[:] = apply(lambda b, d: b + d, dbias, dy)
    for o, k in each(len(dy), len(x)):
        dx[k] += dy[o] * weight[o][k]
        dweight[o][k] += dy[o] * x[k]
    return dx


def cross_entropy(logits, label):
    """Loss -log(p[label]) with p[k] = exp(logits[k]) / sum of exp(logits), and its gradient p[k] - (k == label)."""
    shifted = [logit - max(logits) for logit in logits]  # leaves p as it is, and exp cannot overflow
    total = sum(map(math.exp, shifted))
    return math.log(total) - shifted[label], [math.exp(z) / total - (k == label) for k, z in enumerate(shifted)]


def new_parameters(rng, side=12):
    """[weight, bias] of each layer: weights are normal with variance 2 / (terms of a sum), which suits ReLU (He)."""
    last, parameters = (side - 2) // 2 - 2, []  # a 3x3 filter takes 2 off the side, and the pooling halves it
    for outputs, *inputs in (4, 1, 3, 3), (8, 4, 3, 3), (10, 8 * last * last):
        deviation = math.sqrt(2 / math.prod(inputs))
        weight = nested(lambda sigma=deviation: rng.gauss(0, sigma), outputs, *inputs)
        parameters.append([weight, nested(float, outputs)])
    return parameters


def forward(parameters, x):
    """What the layers give for an image: the logits, one for each class, come last."""
    a1 = relu(conv(x, *parameters[0]))
    p1 = max_pool(a1)
    a2 = relu(conv(p1, *parameters[1]))
    features = [number for channel in a2 for row in channel for number in row]
    return a1, p1, a2, features, linear(features, *parameters[2])


def backward(parameters, gradients, x, label, share):
    """Add the gradients of share * loss to ``gradients``, from the last layer to the first; return share * loss."""
    (conv1, conv2, last), (dconv1, dconv2, dlast) = parameters, gradients
    a1, p1, a2, features, logits = forward(parameters, x)
    loss, dlogits = cross_entropy(logits, label)
    dfeatures = linear_backward([share * d for d in dlogits], features, last[0], *dlast)
    da2 = nested(iter(dfeatures).__next__, *shape(a2))  # the same numbers in the shape of a2
    dp1 = conv_backward(relu_backward(da2, a2), p1, conv2[0], *dconv2)
    da1 = max_pool_backward(dp1, a1)
    conv_backward(relu_backward(da1, a1), x, conv1[0], *dconv1)
    return share * loss


def train_step(parameters, velocity, batch, lr, momentum=0.9):
    """Take the gradient g of the batch's mean loss, then v = momentum * v + g and p = p - lr * v; return the loss."""
    gradients = apply(lambda p: 0.0, parameters)
    loss = sum(backward(parameters, gradients, x, label, 1 / len(batch)) for x, label in batch)
    velocity[:] = apply(lambda v, g: momentum * v + g, velocity, gradients)
    parameters[:] = apply(lambda p, v: p - lr * v, parameters, velocity)
    return loss


def draw_digit(rng, label):
    """A 12x12 image: the digit, 6x10, at a random place and in a random shade, with noise on every pixel."""
    image, shade = nested(lambda: rng.gauss(0, 0.1), 1, 12, 12), rng.uniform(0.6, 1)
    top, left = rng.randint(0, 2), rng.randint(1, 5)
    for i, j in each(10, 6):
        image[0][top + i][left + j] += shade * (int(FONT[label][i // 2]) >> (2 - j // 2) & 1)
    return image


def read_mnist(folder, name, count):
    """The first pairs (image, label) of MNIST's files; each pixel of the 14x14 image is the mean of four."""
    files = (Path(folder) / f"{name}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    pixels, labels = (gzip.decompress(file.read_bytes())[start:] for file, start in zip(files, (16, 8), strict=True))
    images = [nested(float, 1, 14, 14) for _ in labels[:count]]
    for n, i, j, u, v in each(len(images), 14, 14, 2, 2):
        images[n][0][i][j] += pixels[784 * n + 28 * (2 * i + u) + 2 * j + v] / 255 / 4
    return list(zip(images, labels[:count], strict=True))


def main():
    """Train, and print the mean loss and the accuracy on test images after each epoch."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=8, help="passes over the training images (default 8)")
    parser.add_argument("--images", type=int, default=1000, help="training images (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default 0)")
    parser.add_argument("--mnist", metavar="FOLDER", help="read MNIST's four .gz files instead of drawing digits")
    args = parser.parse_args()
    if min(args.epochs, args.images) < 1 or (args.mnist and len([*Path(args.mnist).glob("*-ubyte.gz")]) < 4):
        parser.error("--epochs and --images must be at least 1, and --mnist a folder with MNIST's four .gz files")
    rng, counts = random.Random(args.seed), {"train": args.images, "t10k": 500}
    drawn = ([(draw_digit(rng, n % 10), n % 10) for n in range(count)] for count in counts.values())
    train, test = (read_mnist(args.mnist, *part) for part in counts.items()) if args.mnist else drawn
    parameters = new_parameters(rng, side=len(train[0][0][0]))
    velocity = apply(lambda p: 0.0, parameters)
    print(f"Training on {len(train)} digits for {args.epochs} epochs, with 7 ms or so for each digit.", flush=True)
    for epoch in range(args.epochs):
        lr = 0.04 * (1 - epoch / args.epochs)  # falls to 0
        rng.shuffle(train)
        losses = [train_step(parameters, velocity, train[i : i + 10], lr) for i in range(0, len(train), 10)]
        logits = [(forward(parameters, x)[-1], label) for x, label in test]
        right, loss = sum(ys[label] == max(ys) for ys, label in logits) / len(test), sum(losses) / len(losses)
        print(f"epoch {epoch + 1}: loss {loss:.3f}, test accuracy {right:.1%}", flush=True)


if __name__ == "__main__":
    main()
