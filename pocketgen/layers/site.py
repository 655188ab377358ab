"""What every layer offers to lowering and to the training rules, and where it stands.

In: the place of a layer in its model. Out: buffers and steps.
Not here: any particular layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pocketgen.ir import Buffer, Step

GRADIENT_TILE = 256  # gradients of so many weights at most stand on the stack at a time: 1 kB


@dataclass(frozen=True)
class Int8:
    """Arithmetic in which the forward pass sees weights of 8 bits.

    dtype, limit: of the stored weights and biases. fraction: a weight's forward value is the
    weight / fraction, rounded down; 256 takes the high byte of 16 bits, 1 all of 8. bias_input:
    the constant input that biases are the weights of. divisor: a power of two by which sums are
    divided, to the nearest, before the activation or the softmax.
    """

    dtype: str
    limit: int
    fraction: int
    bias_input: int
    divisor: int


@dataclass(frozen=True)
class Site:
    """Where a layer stands: its number from 1, what it reads, and how training will use it.

    source: name of the buffer with the layer's input x. headroom: how far below INT32_MAX the
    pre-activations must stay so that what follows cannot overflow either. batch: samples whose
    gradients are summed. wide_sums: whether weights keep their full clamp and sums that 32 bits
    cannot hold are taken in 64. training: whether activations and slopes are kept for the rule.
    int8: the arithmetic of forward weights of 8 bits, where the rule asks for it. last: whether
    this is the output layer.
    """

    index: int
    source: str
    in_shape: tuple[int, ...]
    headroom: int = 0
    batch: int = 1
    wide_sums: bool = False
    training: bool = True
    int8: Int8 | None = None
    last: bool = False

    def name(self, letter: str) -> str:
        """The name of one of this layer's buffers: W1, h1, delta1, …"""
        return f"{letter}{self.index}"


class Layer(Protocol):
    """A layer kind: what it computes, as buffers and steps. Frozen dataclasses implement it."""

    @property
    def title(self) -> str:
        """The layer in words, for messages: Dense(100, 'pocket_tanh')."""

    def describe(self, in_shape: tuple[int, ...]) -> str:
        """The layer in the model's canonical text."""

    def check(self, index: int) -> None:
        """Raise ModelError where the user's parameters make no sense."""

    def check_site(self, site: Site) -> None:
        """Raise ModelError where the layer cannot do what the rule asks for."""

    def output_shape(self, in_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the activations for inputs of in_shape."""

    def fans(self, in_shape: tuple[int, ...]) -> tuple[int, int]:
        """fan_in and fan_out, from which rules derive the range of random numbers."""

    def buffers(self, site: Site) -> tuple[Buffer, ...]:
        """Weights, biases and activations; in training also slopes."""

    def forward(self, site: Site) -> tuple[Step, ...]:
        """From the input to the activations, one sample."""

    def weight_updates(
        self, site: Site, delta: str, update: Step, bias_update: Step | None = None
    ) -> tuple[Step, ...]:
        """From x and delta to moved weights, once a batch; bias_update: by default as update."""

    def input_gradient(self, site: Site, delta: str, result: str) -> tuple[Step, ...]:
        """From this layer's delta to the error at its input, one sample."""


def even_tile(count: int) -> int:
    """The tile that covers count weights in the fewest, and then most equal, pieces."""
    pieces = -(-count // GRADIENT_TILE)
    return -(-count // pieces)


def fan_in(in_shape: tuple[int, ...]) -> int:
    """How many inputs each unit sees: all of them, whatever their shape."""
    count = 1
    for length in in_shape:
        count *= length
    return count
