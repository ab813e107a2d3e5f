"""Chains: steps through all of which a block of images goes before the next block does.

Most steps treat each block by itself. Where such follow each other, what one has written of a block is still in the
cache when the next one reads it, and no thread waits for the others in between. What stands in the way and need not is
moved out of it: before the chain comes a step that has nothing to do with it, as the transform of filters for
Winograd's algorithm; behind it one that no later step of the chain needs, as the sum of a gradient's parts. Each step
finds the same numbers as in the order in which the steps were written down.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Use(NamedTuple):
    """What a step does, as far as its place among others depends on it.

    Attributes
    ----------
    blocks : int
        Into how many parts its tasks fall, each of which reads and writes one block of images only; 0 if they do not,
        if it stops, or if threads cannot share them evenly.
    reads, writes : set of int
        Memory, by numbers that tell it apart.
    stops : bool
        Whether it may stop the program: nothing passes it.
    """

    blocks: int
    reads: set[int]
    writes: set[int]
    stops: bool = False

    def is_apart(self, other: "Use") -> bool:
        """Whether the two may change places."""
        return not (self.writes & (other.reads | other.writes) or other.writes & self.reads)


def chains(uses: Sequence[Use]) -> Iterator[list[int]]:
    """An order of steps in which they compute the same: the numbers of those of a chain, or of one step alone."""
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
