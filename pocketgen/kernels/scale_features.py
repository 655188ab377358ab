"""x = clamp((raw - offset) * multiplier / divisor) with an offset and a multiplier per feature.

Like scale_input, for sensors whose features differ in centre and spread.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import clamp, div_trunc, store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(raw: Array, offset: Array, multiplier: Array, x: Array, sizes: Sizes) -> None:
    """raw, x: (samples, n); offset, multiplier: (n,)."""
    product = (wide(raw) - wide(offset)) * wide(multiplier)  # 1.
    store(x, clamp(div_trunc(product, sizes["divisor"]), sizes["low"], sizes["high"]))  # 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """x lies in low..high."""
    raw, offset = ranges["raw"], ranges["offset"]
    difference = Range(raw.low - offset.high, raw.high - offset.low)
    return Bound(
        ranges={"x": Range(sizes["low"], sizes["high"])},
        accumulators=(
            Accumulator.of("difference", difference),
            Accumulator.of("product", difference.product(ranges["multiplier"])),
        ),
    )


def cost(sizes: Sizes) -> Cost:
    """One multiplication and one division by a power of two for each feature."""
    return Cost(macs=sizes["n"])


SCALE_FEATURES = Kernel(
    name="scale_features",
    equation="x = clamp((raw - offset) * multiplier / divisor), feature by feature",
    args=(
        Arg("raw", "in", ("n",)),
        Arg("offset", "in", ("n",)),
        Arg("multiplier", "in", ("n",)),
        Arg("x", "out", ("n",)),
    ),
    sizes=("n", "divisor", "low", "high"),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("div_trunc:product", "clamp:product"),
)
