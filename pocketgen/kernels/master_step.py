"""w = clamp(w - G rate / divisor), rounded to the nearest: gradient descent on a master weight.

The forward pass sees only the master's high byte, so that steps far smaller than its unit add up.
The learning rate is rate / divisor; divisor is a power of two, half of it rounds to the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import clamp, floor_pow2, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(w: Array, gradient: Array, rate: int, sizes: Sizes) -> Array:
    """w, gradient: any equal shape; the new w as int64."""
    scaled = wide(gradient) * rate + sizes["half"]  # 1.
    moved = wide(w) - floor_pow2(scaled, sizes["divisor"])  # 2.
    return clamp(moved, -sizes["limit"], sizes["limit"])  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """w stays in [-limit, limit]."""
    product = ranges["gradient"].product(ranges["rate"])
    return descent(product, Range(sizes["half"], sizes["half"]), sizes)


def descent(product: Range, added: Range, sizes: Sizes) -> Bound:
    """The bound of a step: what is added (never negative) to the product rounds the quotient."""
    scaled = Range(product.low, product.high + added.high)
    change = floor_pow2([product.low + added.low, scaled.high], sizes["divisor"])
    limit = sizes["limit"]
    moved = Range(-limit - int(change[1]), limit - int(change[0]))
    return Bound(
        ranges={"w": Range.symmetric(limit)},
        accumulators=(Accumulator.of("scaled", scaled), Accumulator.of("moved", moved)),
    )


def cost(sizes: Sizes) -> Cost:
    """One multiplication and one shift for each weight."""
    return Cost(macs=1)


MASTER_STEP = Kernel(
    name="master_step",
    equation="w = clamp(w - (G rate + half) / divisor), rounded down",
    args=(
        Arg("w", "inout"),
        Arg("gradient", "in"),
        Arg("rate", "in"),
    ),
    sizes=("half", "divisor", "limit"),
    label=("divisor",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("floor_pow2:scaled", "clamp:moved"),
    element=True,
)
