"""x = a with each element set to 0 with probability drop / 8, by random words of a counter.

Source: Srivastava et al. 2014 (JMLR 15), without the division by the kept share: prediction scales
its input instead (scale_kept). The random bits are a function of (seed, step, row, index), so that
the order of the work cannot change them; 32 elements share a word.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import drop_word, low_bits, store, stream_key, wide
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(a: Array, step: Array, row: Array, x: Array, sizes: Sizes) -> None:
    """a, x: (samples, n); step: updates so far, a scalar; row: (samples,), places in the batch."""
    key = stream_key(sizes["seed"], int(step) * sizes["streams"] + sizes["stream"])  # 1.
    index = wide(row)[:, np.newaxis] * sizes["words"] + np.arange(sizes["words"])
    dropped = low_bits(drop_word(key, index, sizes["drop"]), 32)  # 2.
    gone = dropped.reshape(len(a), -1)[:, : sizes["n"]]
    store(x, np.where(gone == 1, 0, wide(a)))  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """x: a, or 0."""
    return Bound(ranges={"x": ranges["a"].union(Range(0, 0))})


def cost(sizes: Sizes) -> Cost:
    """Three random numbers for every 32 elements."""
    return Cost()


DROPOUT = Kernel(
    name="dropout",
    equation="x = a, or 0 with probability drop / 8",
    args=(
        Arg("a", "in", ("n",)),
        Arg("step", "in"),
        Arg("row", "in"),
        Arg("x", "out", ("n",)),
    ),
    sizes=("n", "words", "drop", "seed", "streams", "stream"),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("mix", "stream_key", "drop_word"),
)
