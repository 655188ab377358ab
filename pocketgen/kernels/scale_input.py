"""x = clamp((raw - offset) * multiplier / divisor): one affine map for all features.

The program's first step where the model scales its input or narrows its range, so that host and
firmware cannot differ: the caller always hands over the sensor's raw integers.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import clamp, div_trunc, store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(raw: Array, x: Array, sizes: Sizes) -> None:
    """raw, x: (samples, n)."""
    product = (wide(raw) - sizes["offset"]) * sizes["multiplier"]  # 1.
    store(x, clamp(div_trunc(product, sizes["divisor"]), sizes["low"], sizes["high"]))  # 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """x lies in low..high, or closer where raw's range says so."""
    raw, multiplier = ranges["raw"], sizes["multiplier"]
    difference = Range(raw.low - sizes["offset"], raw.high - sizes["offset"])
    product = difference.product(Range(multiplier, multiplier))
    ends = clamp(
        div_trunc([product.low, product.high], sizes["divisor"]), sizes["low"], sizes["high"]
    )
    return Bound(
        ranges={"x": Range(int(ends[0]), int(ends[1]))},
        accumulators=(
            Accumulator.of("difference", difference),
            Accumulator.of("product", product),
        ),
    )


def cost(sizes: Sizes) -> Cost:
    """One multiplication and one division by a power of two for each feature."""
    return Cost(macs=sizes["n"])


SCALE_INPUT = Kernel(
    name="scale_input",
    equation="x = clamp((raw - offset) * multiplier / divisor)",
    args=(
        Arg("raw", "in", ("n",)),
        Arg("x", "out", ("n",)),
    ),
    sizes=("n", "offset", "multiplier", "divisor", "low", "high"),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("div_trunc:product", "clamp:product"),
)
