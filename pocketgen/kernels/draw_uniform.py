"""w = centre + uniform random integers in [-limit, limit] without 0, of (seed, stream, index).

Source: PocketNN's published program starts backpropagation so; the generator is pocketgen's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import draw_symmetric, store, stream_key
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(seed: int, w: Array, sizes: Sizes) -> None:
    """w: n elements of any shape, drawn in storage order; seed: uint32."""
    key = stream_key(seed, sizes["stream"])  # 1.
    drawn = draw_symmetric(key, np.arange(sizes["n"]), sizes["limit"])
    store(w, sizes["centre"] + drawn.reshape(w.shape))  # 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """w: limit to both sides of the centre."""
    low, high = sizes["centre"] - sizes["limit"], sizes["centre"] + sizes["limit"]
    return Bound(ranges={"w": Range(low, high)})


def cost(sizes: Sizes) -> Cost:
    """One random number for each element."""
    return Cost()


DRAW_UNIFORM = Kernel(
    name="draw_uniform",
    equation="w[i] = centre + draw(key(seed, stream), i) in [-limit, limit] without 0",
    args=(
        Arg("seed", "in"),
        Arg("w", "out", ("n",)),
    ),
    sizes=("n", "stream", "limit", "centre"),
    passed=("n", "stream", "limit", "centre"),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("mix", "stream_key", "draw_symmetric"),
)
