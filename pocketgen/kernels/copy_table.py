"""w = table: trained weights from flash to where training can change them."""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import store
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(table: Array, w: Array, sizes: Sizes) -> None:
    """table, w: n elements of the same shape."""
    store(w, table)  # 1.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """w: as table."""
    return Bound(ranges={"w": ranges["table"]})


def cost(sizes: Sizes) -> Cost:
    """No arithmetic."""
    return Cost()


COPY_TABLE = Kernel(
    name="copy_table",
    equation="w = table",
    args=(
        Arg("table", "in", ("n",)),
        Arg("w", "out", ("n",)),
    ),
    sizes=("n",),
    passed=("n",),
    run=run,
    bound=bound,
    cost=cost,
)
