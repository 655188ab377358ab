"""s = delta w: the error that a dense layer with forward weights of 8 bits hands to its input.

w is what the forward pass saw of W: its high byte, W / 256 rounded down, or, with fraction 1, W
itself. Counterpart of dense_input_gradient, for W stored input by input.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import floor_pow2, matmul, store
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes
from pocketgen.kernels.dense_forward_int8 import forward_range


def run(delta: Array, W: Array, s: Array, sizes: Sizes) -> None:
    """delta: (samples, fan_out); W: (fan_in, fan_out); s: (samples, fan_in)."""
    w = floor_pow2(W, sizes["fraction"])  # 1.
    store(s, matmul(delta, w.T))  # 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """s: the sum of fan_out products, which starts from 0."""
    w = forward_range(ranges["W"], sizes["fraction"])
    s = ranges["delta"].product(w).sum_of(sizes["fan_out"]).union(Range(0, 0))
    return Bound(ranges={"s": s}, accumulators=(Accumulator.of("s", s),))


def cost(sizes: Sizes) -> Cost:
    """One multiply-accumulate for each weight."""
    return Cost(macs=sizes["fan_in"] * sizes["fan_out"])


DENSE_INPUT_GRADIENT_INT8 = Kernel(
    name="dense_input_gradient_int8",
    equation="s = delta w, w the high bytes of W",
    args=(
        Arg("delta", "in", ("fan_out",)),
        Arg("W", "in", ("fan_in", "fan_out")),
        Arg("s", "out", ("fan_in",)),
    ),
    sizes=("fan_in", "fan_out", "fraction"),
    label=("fan_in", "fan_out"),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("floor_pow2:W",),
)
