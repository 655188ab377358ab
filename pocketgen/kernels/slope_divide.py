"""delta = s / g: an error times the slope of the activation, whose inverse is g.

Where s needs 64 bits (deep backprop) delta saturates at the limits of 32 bits.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import INT32_MAX, clamp, div_trunc, store
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(s: Array, g: Array, delta: Array, sizes: Sizes) -> None:
    """s, g, delta: (samples, n); g >= 1."""
    quotient = div_trunc(s, g)  # 1.
    if sizes["saturate"]:
        quotient = clamp(quotient, -sizes["saturate"], sizes["saturate"])  # 2.
    store(delta, quotient)


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """delta: s at the steepest slope, in 32 bits."""
    s, g = ranges["s"], ranges["g"]
    # Farthest from 0 at the steepest slope (the least g), nearest to 0 at the flattest.
    low = div_trunc(s.low, g.low if s.low < 0 else g.high)
    high = div_trunc(s.high, g.low if s.high > 0 else g.high)
    delta = Range(int(low), int(high))
    if delta.magnitude <= INT32_MAX:
        return Bound(ranges={"delta": delta}, sizes={"saturate": 0})
    return Bound(ranges={"delta": Range.symmetric(INT32_MAX)}, sizes={"saturate": INT32_MAX})


def cost(sizes: Sizes) -> Cost:
    """One division for each unit."""
    return Cost(divisions=sizes["n"])


SLOPE_DIVIDE = Kernel(
    name="slope_divide",
    equation="delta = s / g",
    args=(
        Arg("s", "in", ("n",)),
        Arg("g", "in", ("n",)),
        Arg("delta", "out", ("n",)),
    ),
    sizes=("n", "saturate"),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("div_trunc:s",),
)
