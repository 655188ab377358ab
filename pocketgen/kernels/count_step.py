"""step = step + 1 modulo 2**32: the number of updates, on which random numbers depend."""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import next_word, store
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(step: Array, sizes: Sizes) -> None:
    """step: a scalar, uint32."""
    store(step, next_word(step))  # 1.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """step: any word."""
    return Bound(ranges={"step": Range(0, 2**32 - 1)})


def cost(sizes: Sizes) -> Cost:
    """One addition."""
    return Cost()


COUNT_STEP = Kernel(
    name="count_step",
    equation="step = step + 1, modulo 2^32",
    args=(Arg("step", "inout"),),
    sizes=(),
    run=run,
    bound=bound,
    cost=cost,
)
