"""b = update(b, sum of delta): every bias moved by its gradient, summed over the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pocketgen.intmath import store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(
    delta: Array, n: int, b: Array, sizes: Sizes, update: Callable[[Array, Array], Array]
) -> None:
    """delta: (n, fan_out); b: (fan_out,)."""
    gradient = wide(delta).sum(axis=0)  # 1.
    store(b, update(b, gradient))  # 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """gradient: the sum of one delta for each sample of the batch."""
    gradient = ranges["delta"].sum_of(sizes["batch"])
    return Bound(accumulators=(Accumulator.of("gradient", gradient),))


def cost(sizes: Sizes) -> Cost:
    """Additions, and one division for each bias."""
    return Cost(divisions=sizes["fan_out"])


DENSE_UPDATE_BIAS = Kernel(
    name="dense_update_bias",
    equation="b = update(b, G), G = sum over the batch of delta",
    args=(
        Arg("delta", "in", ("n", "fan_out")),
        Arg("n", "in"),
        Arg("b", "inout", ("fan_out",)),
    ),
    sizes=("fan_out", "batch"),
    label=("fan_out",),
    run=run,
    bound=bound,
    cost=cost,
)
