"""h = W x + b: the pre-activation of a dense layer (PocketNN, arXiv 2201.02863, forward pass)."""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import INT32_MAX, div_trunc, matmul, store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(x: Array, W: Array, b: Array, h: Array, sizes: Sizes) -> None:
    """x: (samples, fan_in); W: (fan_out, fan_in); b: (fan_out,); h: (samples, fan_out)."""
    total = wide(b)  # 1.
    total = total + matmul(x, W.T)  # 2.
    store(h, total)  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """h: the sum of fan_in products and the bias."""
    products = ranges["x"].product(ranges["W"]).sum_of(sizes["fan_in"])
    b = ranges["b"]
    h = Range(products.low + b.low, products.high + b.high)
    return Bound(ranges={"h": h}, accumulators=(Accumulator.of("sum", h),))


def cost(sizes: Sizes) -> Cost:
    """One multiply-accumulate for each weight."""
    return Cost(macs=sizes["fan_in"] * sizes["fan_out"])


def weight_limit(ranges: Mapping[str, Range], sizes: Sizes) -> int:
    """The largest |W| with which h stays in 32 bits, leaving headroom for what follows."""
    room = INT32_MAX - sizes["headroom"] - ranges["b"].magnitude
    return int(div_trunc(room, max(1, sizes["fan_in"] * ranges["x"].magnitude)))


DENSE_FORWARD = Kernel(
    name="dense_forward",
    equation="h = W x + b",
    args=(
        Arg("x", "in", ("fan_in",)),
        Arg("W", "in", ("fan_out", "fan_in")),
        Arg("b", "in", ("fan_out",)),
        Arg("h", "out", ("fan_out",)),
    ),
    sizes=("fan_in", "fan_out", "headroom"),
    label=("fan_in", "fan_out"),
    run=run,
    bound=bound,
    cost=cost,
    weight_limit=weight_limit,
)
