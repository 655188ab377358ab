"""e = a - y with y the given target vector (squared error, regression)."""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(a: Array, y: Array, e: Array, sizes: Sizes) -> None:
    """a, y, e: (samples, n)."""
    store(e, wide(a) - wide(y))  # 1.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """e: the farthest apart that a and y can be."""
    a, y = ranges["a"], ranges["y"]
    e = Range(a.low - y.high, a.high - y.low)
    return Bound(ranges={"e": e}, accumulators=(Accumulator.of("e", e),))


def cost(sizes: Sizes) -> Cost:
    """Subtractions only."""
    return Cost()


ERROR_VECTOR = Kernel(
    name="error_vector",
    equation="e = a - y",
    args=(
        Arg("a", "in", ("n",)),
        Arg("y", "in", ("n",)),
        Arg("e", "out", ("n",)),
    ),
    sizes=("n",),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
)
