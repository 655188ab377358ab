"""delta = clamp((s / divisor) f / 64): the error at a unit's sum, by four times the true slope.

s / divisor is rounded down, the last quotient to the nearest. Counterpart of slope_divide, which
PocketNN's inverse slopes need.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import clamp, floor_pow2, store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes

SLOPE_DIVISOR = 64
SLOPE_HALF = 32


def run(s: Array, f: Array, delta: Array, sizes: Sizes) -> None:
    """s, f, delta: (samples, n)."""
    product = floor_pow2(s, sizes["divisor"]) * wide(f) + SLOPE_HALF  # 1.
    scaled = floor_pow2(product, SLOPE_DIVISOR)  # 2.
    store(delta, clamp(scaled, -sizes["limit"], sizes["limit"]))  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """delta: the product of both ranges, scaled, within the limit."""
    s = floor_pow2([ranges["s"].low, ranges["s"].high], sizes["divisor"])
    product = Range(int(s[0]), int(s[1])).product(ranges["f"])
    ends = floor_pow2([product.low + SLOPE_HALF, product.high + SLOPE_HALF], SLOPE_DIVISOR)
    delta = clamp(ends, -sizes["limit"], sizes["limit"])
    return Bound(
        ranges={"delta": Range(int(delta[0]), int(delta[1]))},
        accumulators=(Accumulator.of("product", Range(product.low, product.high + SLOPE_HALF)),),
    )


def cost(sizes: Sizes) -> Cost:
    """One multiplication for each unit."""
    return Cost(macs=sizes["n"])


SLOPE_MULTIPLY = Kernel(
    name="slope_multiply",
    equation="delta = clamp((s / divisor) f / 64)",
    args=(
        Arg("s", "in", ("n",)),
        Arg("f", "in", ("n",)),
        Arg("delta", "out", ("n",)),
    ),
    sizes=("n", "divisor", "limit"),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("floor_pow2:s", "floor_pow2:product", "clamp:product"),
)
