"""a = h limited to 0..127, with the inverse slope g (no divisor).

Source: PocketNN's published program. Outside 0..127 the slope is 0, its inverse INT32_MAX.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import INT32_MAX, clamp, store, wide
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(h: Array, a: Array, sizes: Sizes, g: Array | None = None) -> None:
    """h, a, g: (samples, n)."""
    v = wide(h)  # 1.
    store(a, clamp(v, 0, 127))  # 2.
    if g is not None:
        store(g, np.where((v < 0) | (v > 127), INT32_MAX, 1))  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """a: 0..127; g: 1 or INT32_MAX."""
    return Bound(ranges={"a": Range(0, 127), "g": Range(1, INT32_MAX)})


def cost(sizes: Sizes) -> Cost:
    """Comparisons only."""
    return Cost()


POCKET_RELU8BIT = Kernel(
    name="pocket_relu8bit",
    equation="a = min(max(h, 0), 127), g = 1 / slope",
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
)
