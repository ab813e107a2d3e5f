"""Synthetic signals: noisy waves of five forms."""

import numpy as np

from fastcnn import _validate

WAVEFORMS = "sine", "square", "triangle", "sawtooth", "chirp"
"""The classes of `waveforms`, by label."""


def waveforms(
    n: int, length: int = 256, noise: float = 0.3, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw noisy waves, labelled by their form.

    A wave is a sine, a square wave, a triangle or a sawtooth with 2 to 8 periods, or a chirp: a sine whose frequency
    rises from half of that to twice that. Form, periods, phase and amplitude (0.5 to 1.5) are drawn uniformly.

    Parameters
    ----------
    n : int
        Number of signals, at least 1.
    length : int, default 256
        Samples in a signal, at least 1.
    noise : float, default 0.3
        Standard deviation of the normally distributed noise on each sample, at least 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    signals : ndarray of shape (N, 1, L), float32
    labels : ndarray of shape (N,), int64
        Form of each signal: its index in `fastcnn.data.WAVEFORMS`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import data
    >>> signals, labels = data.waveforms(3, rng=np.random.default_rng(0))
    >>> signals.shape, [data.WAVEFORMS[label] for label in labels]
    ((3, 1, 256), ['chirp', 'sawtooth', 'triangle'])
    """
    n, length = _validate.count("n", n), _validate.count("length", length)
    noise, rng = _validate.number("noise", noise, 0), _validate.generator("rng", rng)
    labels = rng.integers(0, len(WAVEFORMS), n)
    periods, phase, amplitude = (rng.uniform(low, high, (n, 1)) for low, high in ((2, 8), (0, 1), (0.5, 1.5)))
    t = np.arange(length) / length
    rising = labels[:, None] == WAVEFORMS.index("chirp")
    # number of periods until t; its slope is the frequency, periods * (0.5 + 1.5 * t) for a chirp
    part = (np.where(rising, periods * t * (0.5 + 0.75 * t), periods * t) + phase) % 1  # fraction of a period, (n, L)
    sine = np.sin(2 * np.pi * part)
    forms = np.stack([sine, np.where(part < 0.5, 1, -1), 4 * np.abs(part - 0.5) - 1, 2 * part - 1, sine])
    signals = amplitude * forms[labels, np.arange(n)] + noise * rng.standard_normal((n, length))
    return signals[:, None].astype(np.float32), labels
