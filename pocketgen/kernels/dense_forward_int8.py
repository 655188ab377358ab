"""h = x w + bias_input c: the pre-activation of a dense layer with forward weights of 8 bits.

w and c are the high bytes of the weights W and biases b, W / 256 rounded down, or, with fraction 1,
these themselves: training moves all 16 bits, the forward pass sees 8. W is stored input by input:
where a compiler has vectors, one input's weights are taken side by side, and inputs of 0 left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import floor_pow2, matmul, store
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(x: Array, W: Array, b: Array, h: Array, sizes: Sizes) -> None:
    """x: (samples, fan_in); W: (fan_in, fan_out); b: (fan_out,); h: (samples, fan_out)."""
    w, c = floor_pow2(W, sizes["fraction"]), floor_pow2(b, sizes["fraction"])
    total = sizes["bias_input"] * c  # 1.
    total = total + matmul(x, w)  # 2.
    store(h, total)


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """h: the sum of fan_in products and the bias's."""
    w, c = (forward_range(ranges[name], sizes["fraction"]) for name in ("W", "b"))
    bias = c.product(Range(sizes["bias_input"], sizes["bias_input"]))
    # Inputs of 0 are skipped, so any number of products may be missing.
    products = ranges["x"].product(w).sum_of(sizes["fan_in"]).union(Range(0, 0))
    h = Range(products.low + bias.low, products.high + bias.high)
    return Bound(ranges={"h": h}, accumulators=(Accumulator.of("h", h),))


def forward_range(values: Range, fraction: int) -> Range:
    """Every forward weight of weights in a range."""
    ends = floor_pow2([values.low, values.high], fraction)
    return Range(int(ends[0]), int(ends[1]))


def cost(sizes: Sizes) -> Cost:
    """One multiply-accumulate for each weight, where no input is 0."""
    return Cost(macs=sizes["fan_in"] * sizes["fan_out"])


DENSE_FORWARD_INT8 = Kernel(
    name="dense_forward_int8",
    equation="h = x w + bias_input c, w and c the high bytes of W and b",
    args=(
        Arg("x", "in", ("fan_in",)),
        Arg("W", "in", ("fan_in", "fan_out")),
        Arg("b", "in", ("fan_out",)),
        Arg("h", "out", ("fan_out",)),
    ),
    sizes=("fan_in", "fan_out", "fraction", "bias_input"),
    label=("fan_in", "fan_out"),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("floor_pow2:W", "floor_pow2:b"),
)
