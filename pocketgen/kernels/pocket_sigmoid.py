"""a = PocketSigmoid(h / 256): the logistic curve in seven straight pieces, with inverse slopes g.

Source: PocketNN (arXiv 2201.02863), table of pocket activations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import div_trunc, store
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(h: Array, a: Array, sizes: Sizes, g: Array | None = None) -> None:
    """h, a, g: (samples, n)."""
    v = div_trunc(h, 256)  # 1.
    size = np.abs(v)
    store(  # 2.
        a,
        np.select(
            [v < -127, v < -74, v < -31, v < 32, v < 75, v < 128],
            [
                1,
                div_trunc(v, 8) + 20,
                div_trunc(v, 2) + 48,
                v + 64,
                div_trunc(v, 2) + 80,
                div_trunc(v, 8) + 108,
            ],
            127,
        ),
    )
    if g is not None:
        store(g, np.select([size > 127, size > 74, size > 31], [127, 8, 2], 1))  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """a: 1..127; g: any of the four."""
    v = div_trunc([ranges["h"].low, ranges["h"].high], 256)
    return Bound(
        ranges={"a": Range(1, 127), "g": Range(1, 127)},
        accumulators=(Accumulator.of("v", Range(int(v[0]), int(v[1]))),),
    )


def cost(sizes: Sizes) -> Cost:
    """One division by a constant for each unit."""
    return Cost(divisions=sizes["n"])


POCKET_SIGMOID = Kernel(
    name="pocket_sigmoid",
    equation="a = PocketSigmoid(v), g = 1 / slope, v = h / 256",
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
