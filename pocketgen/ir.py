"""The intermediate representation: what a program, a step, a kernel and a buffer are.

In: nothing. Out: the frozen records that every later stage reads and passes on.
Not here: any arithmetic (kernels), any C (plan, render), any decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pocketgen.intmath import INT_LIMITS

Array = NDArray[Any]
Sizes = Mapping[str, int]
Loop = Literal["once", "sample"]
Direction = Literal["in", "out", "inout"]
Role = Literal[
    "input",  # the caller's raw samples
    "label",  # the caller's class labels
    "target",  # the caller's target vectors
    "count",  # how many samples this batch has
    "row",  # the place of a sample in its batch
    "seed",  # the caller's seed for the initial weights
    "weight",
    "bias",
    "state",  # other things that training keeps, such as lr_shift
    "feedback",
    "table",  # constants of the model: scaling per feature, trained weights
    "activation",
    "slope",
    "delta",
    "scratch",
]
ARGUMENT_ROLES = ("input", "label", "target", "count", "row", "seed")
CONSTANT_ROLES = ("feedback", "table")
PARAMETER_ROLES = ("weight", "bias")


@dataclass(frozen=True)
class Range:
    """A closed interval of integers that a value is proven to stay in."""

    low: int
    high: int

    @classmethod
    def symmetric(cls, magnitude: int) -> Range:
        """[-magnitude, magnitude]."""
        return cls(-magnitude, magnitude)

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    def union(self, other: Range) -> Range:
        """The smallest interval that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    def product(self, other: Range) -> Range:
        """Every product of a value here and a value there."""
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Range(min(ends), max(ends))

    def sum_of(self, count: int) -> Range:
        """Every sum of 1 to count values, so every partial sum too."""
        return Range(min(self.low, self.low * count), max(self.high, self.high * count))

    def dtype(self) -> str:
        """The narrowest signed type that holds the interval; ``""`` if none up to 64 bits does."""
        for name in ("int8", "int16", "int32", "int64"):
            low, high = INT_LIMITS[name]
            if low <= self.low and self.high <= high:
                return name
        return ""


@dataclass(frozen=True)
class Buffer:
    """One named array of a program.

    shape: without the batch axis, in the order in which C stores it; ``()`` is a scalar.
    dtype: a numpy integer type; ``""`` until bounds derives it from the range.
    range: every value it can ever hold; ``None`` until bounds derives it.
    per_sample: has one row for each sample of a batch; kept: all rows stay until the next batch.
    values: what a constant (role feedback or table) holds. start: what a state starts from.
    axes: the storage axes in the order in which users see them (dense W: stored out × in,
    seen in × out as the papers print it).
    """

    name: str
    role: Role
    shape: tuple[int, ...]
    dtype: str = ""
    range: Range | None = None
    per_sample: bool = False
    kept: bool = True
    layer: int = 0
    note: str = ""
    axes: tuple[int, ...] = ()
    start: int = 0
    values: Array | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Elements of one sample's row (or of the whole, where there are no rows)."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def proven(self) -> Range:
        """The range, which bounds has set."""
        if self.range is None:
            raise AssertionError(f"buffer {self.name} has no range yet")
        return self.range


@dataclass(frozen=True)
class Arg:
    """One argument of a kernel: its name in equation, C and numpy; symbolic shape; direction."""

    name: str
    direction: Direction
    shape: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Accumulator:
    """The largest magnitude that an intermediate sum can reach, and what its type can hold."""

    name: str
    worst: int
    dtype: str

    @classmethod
    def of(cls, name: str, values: Range) -> Accumulator:
        """32 bits where they provably suffice, else 64; dtype ``""`` where not even those do."""
        # By magnitude: kernels negate, and -2**31 has no counterpart in 32 bits.
        dtype = Range.symmetric(values.magnitude).dtype()
        return cls(name, values.magnitude, "int32" if dtype in ("int8", "int16") else dtype)

    @property
    def limit(self) -> int:
        """The largest magnitude that is safe in the accumulator's type."""
        return INT_LIMITS[self.dtype or "int64"][1]


@dataclass(frozen=True)
class Bound:
    """What a kernel makes of its input ranges.

    ranges: of the outputs, by argument name. sizes: compile-time constants that follow from the
    ranges. accumulators: every sum inside the kernel.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    sizes: Sizes = field(default_factory=dict)
    accumulators: tuple[Accumulator, ...] = ()


@dataclass(frozen=True)
class Cost:
    """Work of one call: multiply-accumulates and divisions."""

    macs: int = 0
    divisions: int = 0


@dataclass(frozen=True)
class Kernel:
    """One equation, told once: C, numpy, bounds and cost all come from this record.

    args: ordered as in the C prototype and the numpy call. sizes: names of the compile-time
    constants; those in passed are handed over at each call instead, where one C function serves
    all. label: the sizes that tell instances apart in C names. run: the numpy twin, called
    with the arrays and ``sizes``. bound: from input ranges to output ranges. cost: from sizes.
    weight_limit: the largest |W| that keeps the sums in 32 bits, where W can be clamped.
    primitives: the integer functions that the template calls. element: not a step of its own but a
    function of single elements that an update kernel calls for every weight.
    """

    name: str
    equation: str
    args: tuple[Arg, ...]
    sizes: tuple[str, ...]
    run: Callable[..., Any]
    bound: Callable[[Mapping[str, Range], Sizes], Bound]
    cost: Callable[[Sizes], Cost]
    weight_limit: Callable[[Mapping[str, Range], Sizes], int] | None = None
    label: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    primitives: tuple[str, ...] = ()
    element: bool = False

    def arg(self, name: str) -> Arg:
        """The argument of that name."""
        return next(a for a in self.args if a.name == name)


@dataclass(frozen=True)
class Step:
    """A kernel at work: which buffer stands for which argument, and the sizes.

    loop: "sample" steps run once for each sample of a batch, "once" steps once a batch.
    update: the element kernel by which an update kernel moves each weight. instead: the step that
    takes this one's place in the forward pass of training, where that differs.
    """

    kernel: Kernel
    operands: Mapping[str, str]
    sizes: Sizes
    note: str
    layer: int = 0
    loop: Loop = "sample"
    update: Step | None = None
    instead: Step | None = None
    accumulators: tuple[Accumulator, ...] = ()

    def names(self, *directions: Direction) -> tuple[str, ...]:
        """The buffers that stand for arguments of these directions, in argument order."""
        return tuple(
            self.operands[a.name]
            for a in self.kernel.args
            if a.direction in directions and a.name in self.operands
        )


@dataclass(frozen=True)
class Program:
    """A model as buffers and three lists of steps: the C, the reference and the proofs read this.

    init starts the weights, forward runs one sample, train (which follows the forward pass of
    each sample of a batch) moves the weights. input, output: buffer names; input_range: what the
    model declares of raw values, though the C takes any. training: whether the program can learn;
    without it weights are constants. states: what training keeps beside the weights, in the order
    of the blob; it is part of the buffers only where the program learns.
    """

    name: str
    summary: str
    digest: str
    layout_digest: int
    description: tuple[str, ...]
    seed: int
    batch: int
    classes: int
    training: bool
    input: str
    input_range: Range
    output: str
    buffers: Mapping[str, Buffer]
    init: tuple[Step, ...]
    forward: tuple[Step, ...]
    train: tuple[Step, ...]
    error: str = ""
    expects: Literal["label", "y"] = "label"
    states: tuple[Buffer, ...] = ()

    def with_buffers(self, changed: Mapping[str, Buffer]) -> Program:
        """The same program with some buffers replaced."""
        return replace(self, buffers={**self.buffers, **changed})

    @property
    def learning_forward(self) -> tuple[Step, ...]:
        """The forward pass as training sees it."""
        return tuple(step.instead or step for step in self.forward)

    @property
    def parameters(self) -> tuple[Buffer, ...]:
        """Weights and biases, in the order of the blob: W1, b1, W2, b2, …"""
        return tuple(b for b in self.buffers.values() if b.role in PARAMETER_ROLES)

    @property
    def feedback(self) -> tuple[Buffer, ...]:
        """The stored feedback matrices."""
        return tuple(b for b in self.buffers.values() if b.role == "feedback")
