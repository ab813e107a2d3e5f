"""Chains: sequences of steps that process a block of images from the first to the last step before the next block.

Most steps treat each block separately. If such steps follow each other, what one has written of a block is still in the
cache when the next one reads it, and threads do not wait for each other in between. Other steps are moved out of the
chain where possible. A step that is independent of the chain, such as the filter transform of Winograd's algorithm,
moves before it. A step whose results no later step of the chain needs, such as adding up the parts of a gradient, moves
behind it. Each step reads the same values as in the original order.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Use(NamedTuple):
    """What a step uses; this determines where it may run among other steps.

    Attributes
    ----------
    blocks : int
        Number of blocks of images, if each task reads and writes one block only. 0 if not, if the step may stop the
        program, or if threads cannot share the blocks evenly.
    reads, writes : set of int
        Ids of the memory that it reads and writes.
    stops : bool
        Whether it may stop the program; then no step is moved across it.
    """

    blocks: int
    reads: set[int]
    writes: set[int]
    stops: bool = False

    def is_apart(self, other: "Use") -> bool:
        """Whether the two steps may be swapped."""
        return not (self.writes & (other.reads | other.writes) or other.writes & self.reads)


def chains(uses: Sequence[Use]) -> Iterator[list[int]]:
    """An equivalent order of steps: lists of indices, each of the steps of a chain or of one step alone."""
    chain: list[int] = []
    behind: list[int] = []

    def is_apart(use: Use, others: list[int]) -> bool:
        return all(use.is_apart(uses[other]) for other in others)

    for i, use in enumerate(uses):
        if chain and use.blocks == uses[chain[0]].blocks and is_apart(use, behind):
            chain.append(i)
        elif chain and not use.blocks and not use.stops:
            if is_apart(use, chain) and is_apart(use, behind):
                yield [i]
            else:
                behind.append(i)
        else:
            yield from _whole(chain, behind)
            chain, behind = [i] if use.blocks else [], []
            if not use.blocks:
                yield [i]
    yield from _whole(chain, behind)


def _whole(chain: list[int], behind: list[int]) -> Iterator[list[int]]:
    if chain:
        yield chain
    yield from ([i] for i in behind)
