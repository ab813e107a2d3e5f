"""Random streams of the ranks that do not overlap."""

import numpy as np


def jumped(states: dict[str, dict], rank: int) -> dict[str, dict]:
    """The states of generators, by name, from which a rank draws where rank 0 draws from ``states``.

    Each is so far on in the same sequence of numbers that the ranks' draws never meet. As long as all ranks draw
    equally many, those of rank 0 tell where all the others are.

    Raises
    ------
    ValueError
        If a generator has no jumps; those of ``numpy.random.default_rng`` have.
    """
    return {name: _jumped(name, state, rank) if rank else state for name, state in states.items()}


def _jumped(name: str, state: dict, rank: int) -> dict:
    bits = getattr(np.random, state["bit_generator"])()
    if not hasattr(bits, "jumped"):
        raise ValueError(
            f"The generator `{name}` of the model is a {state['bit_generator']}, whose sequence cannot be shared out "
            "among ranks; take numpy.random.default_rng's."
        )
    bits.state = state
    return bits.jumped(rank).state
