"""e = a - y with y = target for the labelled class and 0 elsewhere (squared error).

Source: PocketNN (arXiv 2201.02863); the published program uses target = 15.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(a: Array, label: Array, e: Array, sizes: Sizes) -> None:
    """a, e: (samples, n); label: (samples,)."""
    classes = np.arange(sizes["n"])
    y = np.where(classes == wide(label)[:, np.newaxis], sizes["target"], 0)  # 1.
    store(e, wide(a) - y)  # 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """e: a less 0 or target."""
    a, target = ranges["a"], sizes["target"]
    e = Range(a.low - max(target, 0), a.high - min(target, 0))
    return Bound(ranges={"e": e}, accumulators=(Accumulator.of("e", e),))


def cost(sizes: Sizes) -> Cost:
    """Subtractions only."""
    return Cost()


ERROR_CLASS = Kernel(
    name="error_class",
    equation="e = a - y, y = target at the label, 0 elsewhere",
    args=(
        Arg("a", "in", ("n",)),
        Arg("label", "in"),
        Arg("e", "out", ("n",)),
    ),
    sizes=("n", "target"),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
)
