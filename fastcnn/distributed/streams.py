"""Random streams for the ranks that do not overlap."""

import numpy as np


def jumped(states: dict[str, dict], rank: int) -> dict[str, dict]:
    """Return the generator states of a rank, by name, given the ``states`` of rank 0.

    Each rank is jumped so far ahead in the same sequence that the draws of different ranks never overlap. As long as
    all ranks draw equally many numbers, the states of rank 0 determine those of all ranks.

    Raises
    ------
    ValueError
        If a generator cannot jump, unlike those of ``numpy.random.default_rng``.
    """
    return {name: _jumped(name, state, rank) if rank else state for name, state in states.items()}


def _jumped(name: str, state: dict, rank: int) -> dict:
    bits = getattr(np.random, state["bit_generator"])()
    if not hasattr(bits, "jumped"):
        raise ValueError(
            f"The model's generator `{name}` is a {state['bit_generator']}, which cannot be divided among ranks; use "
            "one from numpy.random.default_rng."
        )
    bits.state = state
    return bits.jumped(rank).state
