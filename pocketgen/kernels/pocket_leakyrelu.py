"""a = h, or h / 5 below 0, limited to -32767..32767, with the inverse slope g (no divisor).

Source: PocketNN's published program. Beyond the limits the slope is 0, its inverse INT32_MAX.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import INT32_MAX, div_trunc, store, wide
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(h: Array, a: Array, sizes: Sizes, g: Array | None = None) -> None:
    """h, a, g: (samples, n)."""
    v = wide(h)  # 1.
    store(a, np.select([v < -32767, v < 0, v < 32767], [-32767, div_trunc(v, 5), v], 32767))  # 2.
    if g is not None:
        store(g, np.select([v < -32767, v < 0, v < 32767], [INT32_MAX, 5, 1], INT32_MAX))  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """a: -32767..32767; g: 1, 5 or INT32_MAX."""
    return Bound(ranges={"a": Range.symmetric(32767), "g": Range(1, INT32_MAX)})


def cost(sizes: Sizes) -> Cost:
    """One division by a constant for each unit."""
    return Cost(divisions=sizes["n"])


POCKET_LEAKYRELU = Kernel(
    name="pocket_leakyrelu",
    equation="a = leaky ReLU of h in 16 bits, g = 1 / slope",
    args=(
        Arg("h", "in", ("n",)),
        Arg("a", "out", ("n",)),
        Arg("g", "out", ("n",), optional=True),
    ),
    sizes=("n",),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("div_trunc:h",),
)
