"""How well a network can still learn: flat units, dead units, weights that do not move.

In: a network and samples. Out: a frozen ``Health``; the network is as it was.
Not here: what to do about it (docs/recipe.md), and losses, which fit measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pocketgen.ir import Program

Array = NDArray[Any]

SAMPLES = 256  # looked at, but always at least one whole batch
BATCHES = 64  # looked at, at most: each one is taken back, which costs by the weight
FLAT = 127  # the inverse slope from which on a unit counts as flat; the next steeper one is 8


class Watched(Protocol):
    """What is needed of a network; ``Net`` has it."""

    program: Program

    @property
    def batch(self) -> int:
        """Samples in a full batch."""

    @property
    def buffers(self) -> Mapping[str, Array]:
        """Every array of the network by name, batch first."""

    def train_batch(self, x: Array, y: Array) -> None:
        """One update."""

    def kept(self) -> dict[str, Array]:
        """Copies of all that outlives a batch."""

    def put_back(self, kept: Mapping[str, Array]) -> None:
        """Make it so again."""


@dataclass(frozen=True)
class Health:
    """What an update finds and does, on a few samples.

    saturated: share 0..1 of hidden activations, over units and samples, at a flat end of their
    curve: f is 0, or g is 127 or more (its greatest values: 127, or INT32_MAX for a slope of 0).
    An identity is never flat. dead_units, of hidden_units: flat on every sample, or with the same
    output a on all of them (of two or more). zero_updates: share 0..1 of the weights W of all
    layers that one batch does not move, the mean over the batches. samples: how many were looked
    at.
    """

    saturated: float
    dead_units: int
    hidden_units: int
    zero_updates: float
    samples: int


def health(net: Watched, x: Array, y: Array) -> Health:
    """Train on a few batches, take each one back, and say what it met.

    x, y: samples and answers that the network takes, at least one. Looked at are 256 of them,
    evenly spread: in whole batches, at least one and at most 64, or all where there are fewer.
    Training sees inputs with some dropped, and so does this. Afterwards weights, biases and states
    are what they were; scratch such as e or a1 holds the last batch looked at.
    """
    rows = spread(len(x), net.batch)
    hidden = range(1, max(b.layer for b in net.program.parameters))
    weights = [p.name for p in net.program.parameters if p.role == "weight"]
    kept, buffers = net.kept(), net.buffers
    before = {name: buffers[name].copy() for name in weights}
    flat: list[list[Array]] = [[] for _ in hidden]
    output: list[list[Array]] = [[] for _ in hidden]
    still: list[float] = []
    try:
        for start in range(0, len(rows), net.batch):
            part = rows[start : start + net.batch]
            net.train_batch(x[part], y[part])
            for layer in hidden:
                flat[layer - 1].append(flat_units(buffers, layer)[: len(part)])
                output[layer - 1].append(buffers[f"a{layer}"][: len(part)].copy())
            moved = sum(int(np.count_nonzero(buffers[w] != before[w])) for w in weights)
            still.append(1 - moved / sum(w.size for w in before.values()))
            net.put_back(kept)
    finally:
        net.put_back(kept)
    whole = [np.concatenate(parts) for parts in flat]
    dead = [
        where.all(axis=0) | constant(np.concatenate(parts))
        for where, parts in zip(whole, output, strict=True)
    ]
    count = sum(where.size for where in whole)
    return Health(
        saturated=sum(int(where.sum()) for where in whole) / count if count else 0.0,
        dead_units=sum(int(units.sum()) for units in dead),
        hidden_units=sum(units.size for units in dead),
        zero_updates=sum(still) / len(still),
        samples=len(rows),
    )


def spread(count: int, batch: int) -> NDArray[np.int64]:
    """The rows looked at, of so many: evenly spread, in whole batches unless there are too few."""
    wanted = min(count, max(batch, min(SAMPLES, BATCHES * batch)))
    if wanted > batch:
        wanted -= wanted % batch
    return np.arange(wanted, dtype=np.int64) * count // wanted


def flat_units(buffers: Mapping[str, Array], layer: int) -> Array:
    """Where a layer's units are at a flat end of their curve, (batch, units)."""
    slope = buffers.get(f"f{layer}")
    return buffers[f"g{layer}"] >= FLAT if slope is None else slope == 0


def constant(output: Array) -> Array:
    """Which units have one output on all of two samples or more."""
    same: Array = (output == output[0]).all(axis=0)
    return same & (len(output) > 1)
