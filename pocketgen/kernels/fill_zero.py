"""w = 0: PocketNN's initial weights with Direct Feedback Alignment."""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import store
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(w: Array, sizes: Sizes) -> None:
    """w: n elements of any shape."""
    store(w, 0)  # 1.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """w: 0."""
    return Bound(ranges={"w": Range(0, 0)})


def cost(sizes: Sizes) -> Cost:
    """No arithmetic."""
    return Cost()


FILL_ZERO = Kernel(
    name="fill_zero",
    equation="w = 0",
    args=(Arg("w", "out", ("n",)),),
    sizes=("n",),
    passed=("n",),
    run=run,
    bound=bound,
    cost=cost,
)
