"""The numbers of glibc's rand(), on every machine, one by one or in fast blocks.

PocketNN's published runs shuffle samples and draw feedback matrices with rand() and its default
seed 1, so repeating them needs these very numbers. The algorithm is glibc's documented additive
feedback generator of degree 31: r[i] = r[i - 3] + r[i - 31] modulo 2^32, of which rand() returns
the upper 31 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DEGREE, LAG = 31, 3
DISCARDED = 310  # sums that glibc computes and drops after seeding
BLOCK = 1024


def _block_matrix() -> NDArray[np.uint32]:
    """(BLOCK, DEGREE): the next BLOCK words as sums, modulo 2^32, of the last DEGREE words."""
    rows = list(np.eye(DEGREE, dtype=np.uint32))
    for _ in range(BLOCK):
        rows.append(rows[-LAG] + rows[-DEGREE])
    return np.stack(rows[DEGREE:])


class GlibcRand:
    """A stream of rand() after srand(seed); seed is 0 .. 2^32 - 1."""

    _next_block = _block_matrix()

    def __init__(self, seed: int = 1) -> None:
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed {seed} is not in 0 .. {2**32 - 1}")
        word = seed or 1  # glibc takes 0 as 1
        words = [word if word < 2**31 else word - 2**32]  # as int32
        for _ in range(DEGREE - 1):
            words.append(16807 * words[-1] % (2**31 - 1))
        # The additive feedback starts as if the words were repeated LAG places on.
        words += words[:LAG]
        state = np.array([word % 2**32 for word in words[-DEGREE:]], np.uint32)
        self._words = state[:0]  # computed, not yet handed out
        self._state = state
        self.block(DISCARDED)

    def block(self, n: int) -> NDArray[np.int64]:
        """The next n results of rand(): (n,) in 0 .. 2^31 - 1."""
        parts = [self._words]
        available = len(self._words)
        while available < n:
            words = self._next_block @ self._state
            self._state = words[-DEGREE:]
            parts.append(words)
            available += BLOCK
        words = np.concatenate(parts)
        self._words = words[n:]
        return (words[:n] >> np.uint32(1)).astype(np.int64)

    def next(self) -> int:
        """The next result of rand()."""
        return int(self.block(1)[0])

    def nonzero(self, r: int) -> int:
        """rand() % (2r + 1) - r, drawn again while it is 0."""
        while True:
            value = self.next() % (2 * r + 1) - r
            if value:
                return value

    def shuffle(self, order: NDArray[np.int64]) -> None:
        """Fisher-Yates in place: for i = n - 1 … 1 swap order[i] with order[rand() % (i + 1)]."""
        items = order.tolist()
        last = len(items) - 1
        swaps = self.block(last) % np.arange(last + 1, 1, -1) if last > 0 else []
        for i, j in zip(range(last, 0, -1), swaps, strict=True):
            items[i], items[j] = items[j], items[i]
        order[:] = items
