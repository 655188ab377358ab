"""e = 256 (softmax(q) - onehot(label)): the gradient of the cross-entropy, through a small table.

q = h / divisor rounded to the nearest; exp(-d / 16) comes from a table of 256 entries in 1/32767,
d being the distance from the largest q. No entry is 0, so neither is a sum.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import clamp, div_trunc, floor_pow2, store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes

TABLE_SIZE = 256
ONE = 256  # a probability of 1


def run(h: Array, label: Array, table: Array, e: Array, sizes: Sizes) -> None:
    """h, e: (samples, n); label: (samples,); table: (256,)."""
    q = floor_pow2(wide(h) + sizes["half"], sizes["divisor"])
    largest = q.max(axis=1, keepdims=True)  # 1.
    powers = wide(table)[clamp(largest - q, 0, TABLE_SIZE - 1)]  # 2.
    total = powers.sum(axis=1, keepdims=True)
    scaled = powers * ONE + div_trunc(total, 2)
    p = clamp(div_trunc(scaled, total), 0, ONE)  # 3.
    wanted = np.arange(sizes["n"]) == wide(label)[:, np.newaxis]
    store(e, p - np.where(wanted, ONE, 0))  # 4.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """e: a probability 0..256, less 256 at the label."""
    h, top, n = ranges["h"], ranges["table"].high, sizes["n"]
    rounded = Range(h.low, h.high + sizes["half"])  # before and after half is added
    ends = floor_pow2([h.low + sizes["half"], rounded.high], sizes["divisor"])
    distance = Range(0, int(ends[1] - ends[0]))
    total = Range(0, top * n)
    return Bound(
        ranges={"e": Range(-ONE, ONE)},
        accumulators=(
            Accumulator.of("rounded", rounded.union(distance)),  # one type holds both
            Accumulator.of("total", total),
            Accumulator.of("scaled", Range(0, top * ONE + int(div_trunc(total.high, 2)))),
        ),
    )


def cost(sizes: Sizes) -> Cost:
    """One division for each class."""
    return Cost(divisions=sizes["n"])


ERROR_SOFTMAX = Kernel(
    name="error_softmax",
    equation="e = 256 (softmax(q) - onehot(label)), q = (h + half) / divisor, rounded down",
    args=(
        Arg("h", "in", ("n",)),
        Arg("label", "in"),
        Arg("table", "in", ("entries",)),
        Arg("e", "out", ("n",)),
    ),
    sizes=("n", "half", "divisor"),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("floor_pow2:rounded", "clamp:rounded", "div_trunc:scaled", "clamp:scaled"),
)
