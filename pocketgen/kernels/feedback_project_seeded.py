"""s = e R with R drawn again from its seed at every use: feedback at zero bytes.

The same bits as feedback_project with the stored matrix of the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import draw_symmetric, matmul, store
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(e: Array, s: Array, sizes: Sizes) -> None:
    """e: (samples, classes); s: (samples, n)."""
    classes, n = sizes["classes"], sizes["n"]
    R = draw_symmetric(sizes["key"], np.arange(classes * n), sizes["limit"])  # 1.
    store(s, matmul(e, R.reshape(classes, n)))  # 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """s: the sum of one product for each class."""
    s = ranges["e"].product(Range.symmetric(sizes["limit"])).sum_of(sizes["classes"])
    return Bound(ranges={"s": s}, accumulators=(Accumulator.of("s", s),))


def cost(sizes: Sizes) -> Cost:
    """One multiply-accumulate and one random number for each entry of R."""
    return Cost(macs=sizes["classes"] * sizes["n"])


FEEDBACK_PROJECT_SEEDED = Kernel(
    name="feedback_project_seeded",
    equation="s = e R, R[c][o] = draw(key, c n + o) in [-limit, limit] without 0",
    args=(
        Arg("e", "in", ("classes",)),
        Arg("s", "out", ("n",)),
    ),
    sizes=("classes", "n", "key", "limit"),
    label=("classes", "n"),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("mix", "draw_symmetric"),
)
