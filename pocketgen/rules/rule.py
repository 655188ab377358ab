"""What every training rule offers to lowering, and what it is given.

In: the layers at their sites. Out: the buffers and steps that training needs.
Not here: any particular rule, any layer kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pocketgen.ir import Array, Buffer, Step
from pocketgen.layers import Layer, Site

# Streams of random numbers, one for each tensor: base + layer number.
WEIGHT_STREAM = 0x100
BIAS_STREAM = 0x200
FEEDBACK_STREAM = 0x300


@dataclass(frozen=True)
class Scene:
    """What a rule works on: the layers in order, and the user's seed and feedback matrices."""

    layers: tuple[Layer, ...]
    sites: tuple[Site, ...]
    seed: int
    feedback: Mapping[str, Array]

    @property
    def classes(self) -> int:
        """Elements of the last layer's output."""
        return out_size(self.layers[-1], self.sites[-1])


@dataclass(frozen=True)
class Learning:
    """What a rule adds to a program: buffers, how weights start, and the steps of a batch."""

    buffers: tuple[Buffer, ...]
    init: tuple[Step, ...]
    train: tuple[Step, ...]
    error: str


class Rule(Protocol):
    """A training rule. Frozen dataclasses implement it."""

    @property
    def batch(self) -> int:
        """How many samples one update sums over, at most."""

    @property
    def wide_sums(self) -> bool:
        """Whether weights keep their full clamp even where 32-bit sums could then overflow."""

    @property
    def expects(self) -> Literal["label", "y"]:
        """Whether a sample comes with a class label or with a target vector."""

    @property
    def target_magnitude(self) -> int:
        """The largest |y| that the error a - y can meet."""

    def describe(self) -> tuple[str, ...]:
        """The rule in the model's canonical text."""

    def check(self) -> None:
        """Raise ModelError where the user's parameters make no sense."""

    def learning(self, scene: Scene) -> Learning:
        """The program of one batch, after the forward pass of each of its samples."""


def out_size(layer: Layer, site: Site) -> int:
    """Elements of a layer's output."""
    size = 1
    for length in layer.output_shape(site.in_shape):
        size *= length
    return size
