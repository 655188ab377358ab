"""s = e R: the output error through a fixed random matrix (Direct Feedback Alignment).

Source: PocketNN (arXiv 2201.02863), after Nokland 2016 (arXiv 1609.01596).
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import matmul, store
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(e: Array, R: Array, s: Array, sizes: Sizes) -> None:
    """e: (samples, classes); R: (classes, n); s: (samples, n)."""
    store(s, matmul(e, R))  # 1. and 2.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """s: the sum of one product for each class."""
    s = ranges["e"].product(ranges["R"]).sum_of(sizes["classes"])
    return Bound(ranges={"s": s}, accumulators=(Accumulator.of("s", s),))


def cost(sizes: Sizes) -> Cost:
    """One multiply-accumulate for each entry of R."""
    return Cost(macs=sizes["classes"] * sizes["n"])


FEEDBACK_PROJECT = Kernel(
    name="feedback_project",
    equation="s = e R",
    args=(
        Arg("e", "in", ("classes",)),
        Arg("R", "in", ("classes", "n")),
        Arg("s", "out", ("n",)),
    ),
    sizes=("classes", "n"),
    label=("classes", "n"),
    run=run,
    bound=bound,
    cost=cost,
)
