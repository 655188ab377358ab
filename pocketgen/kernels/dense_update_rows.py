"""W = update(W, x^T delta): every weight moved by its gradient, summed over the batch, row by row.

W is stored input by input, as dense_forward_int8 reads it. An input that is 0 in the whole batch
has no gradient, and by every update a gradient of 0 moves nothing, so its row is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pocketgen.intmath import matmul, store
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(
    x: Array, delta: Array, n: int, W: Array, sizes: Sizes, update: Callable[[Array, Array], Array]
) -> None:
    """x: (n, fan_in); delta: (n, fan_out); W: (fan_in, fan_out)."""
    gradient = matmul(x.T, delta)  # 1. and 2.
    store(W, update(W, gradient))  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """gradient: the sum of one product for each sample of the batch, or of fewer."""
    products = ranges["x"].product(ranges["delta"]).sum_of(sizes["batch"])
    gradient = products.union(Range(0, 0))
    return Bound(accumulators=(Accumulator.of("gradient", gradient),))


def cost(sizes: Sizes) -> Cost:
    """One multiply-accumulate for each weight and sample, where no input is 0."""
    return Cost(macs=sizes["fan_in"] * sizes["fan_out"] * sizes["batch"])


DENSE_UPDATE_ROWS = Kernel(
    name="dense_update_rows",
    equation="W = update(W, G), G = sum over the batch of x delta",
    args=(
        Arg("x", "in", ("n", "fan_in")),
        Arg("delta", "in", ("n", "fan_out")),
        Arg("n", "in"),
        Arg("W", "inout", ("fan_in", "fan_out")),
    ),
    sizes=("fan_in", "fan_out", "batch", "tile"),
    label=("fan_in", "fan_out"),
    run=run,
    bound=bound,
    cost=cost,
)
