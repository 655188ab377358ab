"""W = update(W, delta^T x): every weight moved by its gradient, summed over the batch.

update is the training rule's element kernel; this kernel only knows a dense layer's gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pocketgen.intmath import matmul, store
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(
    x: Array, delta: Array, n: int, W: Array, sizes: Sizes, update: Callable[[Array, Array], Array]
) -> None:
    """x: (n, fan_in); delta: (n, fan_out); W: (fan_out, fan_in)."""
    gradient = matmul(delta.T, x)  # 1. and 2.
    store(W, update(W, gradient))  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """gradient: the sum of one product for each sample of the batch."""
    gradient = ranges["x"].product(ranges["delta"]).sum_of(sizes["batch"])
    return Bound(accumulators=(Accumulator.of("gradient", gradient),))


def cost(sizes: Sizes) -> Cost:
    """One multiply-accumulate for each weight and sample, one division for each weight."""
    weights = sizes["fan_in"] * sizes["fan_out"]
    return Cost(macs=weights * sizes["batch"], divisions=weights)


DENSE_UPDATE_WEIGHTS = Kernel(
    name="dense_update_weights",
    equation="W = update(W, G), G = sum over the batch of delta x",
    args=(
        Arg("x", "in", ("n", "fan_in")),
        Arg("delta", "in", ("n", "fan_out")),
        Arg("n", "in"),
        Arg("W", "inout", ("fan_out", "fan_in")),
    ),
    sizes=("fan_in", "fan_out", "batch", "tile"),
    label=("fan_in", "fan_out"),
    run=run,
    bound=bound,
    cost=cost,
)
