"""s = delta W: the error that a dense layer hands to its input (backpropagation).

PocketNN's published program uses W as already updated by this batch; so does the rule Backprop.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import matmul, store
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(delta: Array, W: Array, s: Array, sizes: Sizes) -> None:
    """delta: (samples, fan_out); W: (fan_out, fan_in); s: (samples, fan_in)."""
    store(s, matmul(delta, W))  # 1. and 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """s: the sum of fan_out products."""
    s = ranges["delta"].product(ranges["W"]).sum_of(sizes["fan_out"])
    return Bound(ranges={"s": s}, accumulators=(Accumulator.of("s", s),))


def cost(sizes: Sizes) -> Cost:
    """One multiply-accumulate for each weight."""
    return Cost(macs=sizes["fan_in"] * sizes["fan_out"])


DENSE_INPUT_GRADIENT = Kernel(
    name="dense_input_gradient",
    equation="s = delta W",
    args=(
        Arg("delta", "in", ("fan_out",)),
        Arg("W", "in", ("fan_out", "fan_in")),
        Arg("s", "out", ("fan_in",)),
    ),
    sizes=("fan_in", "fan_out"),
    label=("fan_in", "fan_out"),
    run=run,
    bound=bound,
    cost=cost,
)
