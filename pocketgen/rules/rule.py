"""What every training rule offers to lowering, and what it is given.

In: the layers at their sites. Out: the buffers and steps that training needs.
Not here: any particular rule, any layer kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pocketgen.intmath import Int64
from pocketgen.ir import Array, Buffer, Range, Step
from pocketgen.layers import Int8, Layer, Site
from pocketgen.rules.search import Space

# Streams of random numbers, one for each tensor: base + layer number.
WEIGHT_STREAM = 0x100
BIAS_STREAM = 0x200
FEEDBACK_STREAM = 0x300
# Of the random numbers of every update: base + update * update_streams + place. Place 0 is the
# input, then come the arrays of weights in the order in which they are updated.
UPDATE_STREAM = 0x1000


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

    def int8(self, fan_in: int, last: bool) -> Int8 | None:
        """A layer's arithmetic with forward weights of 8 bits, or None for whole weights."""

    def drop(self, features: int) -> int:
        """Eighths of the inputs that training sets to 0."""

    @property
    def rate_state(self) -> str:
        """The state that sets the learning rate."""

    def states(self) -> tuple[Buffer, ...]:
        """What training keeps beside the weights, in the order of the blob."""

    def scheduled_rate(self, epoch: int, epochs: int) -> int | None:
        """The rate's state for an epoch, counted from 0, of so many; None leaves it as it is."""

    def errors(self, output: Array, labels: Array, fan_in: int) -> Int64:
        """e (samples, classes) of outputs and class labels, as training computes it.

        fan_in: of the output layer.
        """

    def lr_inv_of(self, state: int) -> int:
        """The inverse learning rate of a value of the rate's state, rounded down."""

    def search(self) -> Space:
        """By option, the values that are worth a try; batches, for the RAM, only smaller ones."""

    def describe(self) -> tuple[str, ...]:
        """The rule in the model's canonical text."""

    def check(self) -> None:
        """Raise ModelError where the user's parameters make no sense."""

    def learning(self, scene: Scene) -> Learning:
        """The program of one batch, after the forward pass of each of its samples."""


def update_streams(layers: Sequence[Layer]) -> int:
    """How many streams of random numbers one update can use: W and b of each layer, the input."""
    return 2 * len(layers) + 1


def training_arguments(max_batch: int) -> tuple[Buffer, ...]:
    """What training is told beside samples and labels: their number, and the seed of a start."""
    return (
        Buffer("n", "count", (), "uint16", Range(1, max_batch), note="samples in this batch"),
        Buffer("seed", "seed", (), "uint32", Range(0, 2**32 - 1), note="seed"),
    )


def label_buffer(classes: int) -> Buffer:
    """The labels of a batch."""
    limits = Range(0, classes - 1)
    return Buffer("label", "label", (), "uint16", limits, per_sample=True, note="labels")


def out_size(layer: Layer, site: Site) -> int:
    """Elements of a layer's output."""
    size = 1
    for length in layer.output_shape(site.in_shape):
        size *= length
    return size
