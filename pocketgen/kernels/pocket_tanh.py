"""a = PocketTanh(h / divisor): tanh in seven straight pieces, with the inverse slope g of each.

Source: PocketNN (arXiv 2201.02863), table of pocket activations; the published program divides h by
256 * fan_in. The inverse slopes are the published ones (1, 2, 8, 127), not the true derivative.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import div_trunc, store
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(h: Array, a: Array, sizes: Sizes, g: Array | None = None) -> None:
    """h, a, g: (samples, n)."""
    v = div_trunc(h, sizes["divisor"])  # 1.
    size = np.abs(v)
    outer = np.where(v < 0, -88, 88)
    middle = np.where(v < 0, -32, 32)
    store(  # 2.
        a,
        np.select(
            [v < -127, v < -74, v < -31, v < 32, v < 75, v < 128],
            [-127, div_trunc(v, 4) + outer, v + middle, 2 * v, v + middle, div_trunc(v, 4) + outer],
            127,
        ),
    )
    if g is not None:
        store(g, np.select([size > 127, size > 74, size > 31], [127, 8, 2], 1))  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """a: the curve at both ends of h's range (it never falls); g: any of the four."""
    h = ranges["h"]
    v = div_trunc([h.low, h.high], sizes["divisor"])
    a = np.zeros(2, dtype=np.int64)
    run(h=np.array([h.low, h.high], dtype=np.int64), a=a, sizes=sizes)
    return Bound(
        ranges={"a": Range(int(a[0]), int(a[1])), "g": Range(1, 127)},
        accumulators=(Accumulator.of("v", Range(int(v[0]), int(v[1]))),),
    )


def cost(sizes: Sizes) -> Cost:
    """One division by a constant for each unit."""
    return Cost(divisions=sizes["n"])


POCKET_TANH = Kernel(
    name="pocket_tanh",
    equation="a = PocketTanh(v), g = 1 / slope, v = h / divisor",
    args=(
        Arg("h", "in", ("n",)),
        Arg("a", "out", ("n",)),
        Arg("g", "out", ("n",), optional=True),
    ),
    sizes=("n", "divisor"),
    label=("n", "divisor"),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("div_trunc:h",),
)
