"""a = h, g = 1: no activation ("as_is" in PocketNN's published program)."""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import store, wide
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(h: Array, a: Array, g: Array, sizes: Sizes) -> None:
    """h, a, g: (samples, n)."""
    v = wide(h)  # 1.
    store(a, v)  # 2.
    store(g, 1)  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """a: as h; g: 1."""
    return Bound(ranges={"a": ranges["h"], "g": Range(1, 1)})


def cost(sizes: Sizes) -> Cost:
    """A copy."""
    return Cost()


IDENTITY = Kernel(
    name="identity",
    equation="a = h, g = 1",
    args=(
        Arg("h", "in", ("n",)),
        Arg("a", "out", ("n",)),
        Arg("g", "out", ("n",)),
    ),
    sizes=("n",),
    label=("n",),
    run=run,
    bound=bound,
    cost=cost,
)
