"""x = (a (8 - drop) + 4) / 8 rounded down: what dropout leaves of an input on average.

Prediction sees this where training sees dropout.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import floor_pow2, store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(a: Array, x: Array, sizes: Sizes) -> None:
    """a, x: (samples, n)."""
    product = wide(a) * sizes["kept"] + 4  # 1.
    store(x, floor_pow2(product, 8))  # 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """x: both ends of a, scaled (the map never falls)."""
    a, kept = ranges["a"], sizes["kept"]
    product = Range(a.low * kept, a.high * kept + 4)  # before and after 4 is added
    ends = floor_pow2([product.low + 4, product.high], 8)
    return Bound(
        ranges={"x": Range(int(ends[0]), int(ends[1]))},
        accumulators=(Accumulator.of("product", product),),
    )


def cost(sizes: Sizes) -> Cost:
    """One multiplication for each element."""
    return Cost(macs=sizes["n"])


SCALE_KEPT = Kernel(
    name="scale_kept",
    equation="x = (a kept + 4) / 8, rounded down",
    args=(
        Arg("a", "in", ("n",)),
        Arg("x", "out", ("n",)),
    ),
    sizes=("n", "kept"),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("floor_pow2:product",),
)
