"""h = W x + b in 64 bits, limited to 32: for weights that keep PocketNN's own clamp.

Where fan_in inputs and weights of full 16 bits could overflow a 32-bit sum, the products are added
up in 32 bits for as many inputs as provably fit (a block), and the blocks in 64 bits. h saturates
at the limits of 32 bits, where every bounded activation has long been flat.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import INT32_MAX, clamp, div_trunc, matmul, store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(x: Array, W: Array, b: Array, h: Array, sizes: Sizes) -> None:
    """x: (samples, fan_in); W: (fan_out, fan_in); b: (fan_out,); h: (samples, fan_out)."""
    total = wide(b)  # 1.
    total = total + matmul(x, W.T)  # 2. and 3.
    store(h, clamp(total, -sizes["limit"], sizes["limit"]))  # 4.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """h: the sum, within 32 bits less the headroom for what follows."""
    product = ranges["x"].product(ranges["W"])
    block = int(div_trunc(INT32_MAX, max(1, product.magnitude)))
    block = min(max(block, 1), sizes["fan_in"])
    blocks = int(div_trunc(sizes["fan_in"] + block - 1, block))
    products, b = product.sum_of(sizes["fan_in"]), ranges["b"]
    total = Range(products.low + b.low, products.high + b.high)
    limit = INT32_MAX - sizes["headroom"]
    return Bound(
        ranges={"h": Range(max(total.low, -limit), min(total.high, limit))},
        sizes={"block": block, "blocks": blocks, "limit": limit},
        accumulators=(
            Accumulator.of("sum", product.sum_of(block)),
            Accumulator.of("total", total),
        ),
    )


def cost(sizes: Sizes) -> Cost:
    """One multiply-accumulate for each weight."""
    return Cost(macs=sizes["fan_in"] * sizes["fan_out"])


DENSE_FORWARD_WIDE = Kernel(
    name="dense_forward_wide",
    equation="h = W x + b, limited to 32 bits",
    args=(
        Arg("x", "in", ("fan_in",)),
        Arg("W", "in", ("fan_out", "fan_in")),
        Arg("b", "in", ("fan_out",)),
        Arg("h", "out", ("fan_out",)),
    ),
    sizes=("fan_in", "fan_out", "headroom", "block", "blocks", "limit"),
    label=("fan_in", "fan_out"),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("clamp:total",),
)
