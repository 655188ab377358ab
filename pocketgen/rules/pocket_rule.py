"""What PocketNN's two rules share: squared error, inverse slopes, an inverse learning rate.

In: the rule's parameters. Out: the steps for the error, the deltas' slopes and the updates.
Source: PocketNN (arXiv 2201.02863) and its published program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pocketgen.errors import ModelError
from pocketgen.intmath import Int64, is_rising_pair, is_whole, isqrt, make_plain, wide
from pocketgen.ir import Array, Buffer, Range, Step
from pocketgen.kernels import ERROR_CLASS, ERROR_VECTOR, SGD_STEP, SLOPE_DIVIDE
from pocketgen.layers import Site
from pocketgen.rules.rule import Scene, label_buffer, out_size, training_arguments
from pocketgen.rules.search import Space, Span, halves

MAX_BATCH = 65535
LR_SHIFT_LIMIT = 15  # so often can the rate be halved
MAX_LR_INV = 2**31 - 1
TARGET_LIMIT = 32767


@dataclass(frozen=True)
class PocketRule:
    """Parameters of both PocketNN rules.

    lr_inv: the inverse of the learning rate, 1..2**31 - 1. batch: samples summed for one update,
    1..65535. target: what the output of the true class should reach while the others go to 0, or
    "vector" where each sample comes with a vector of targets (regression). target_range: the least
    and the greatest given target; by default -127..127.
    wide_sums: False tightens the weights' clamp where 32-bit sums could overflow; True keeps
    PocketNN's clamp of 32767 everywhere and takes such sums in 64 bits.
    """

    lr_inv: int = 1000
    batch: int = 20
    target: int | Literal["vector"] = 15
    target_range: tuple[int, int] | None = None
    wide_sums: bool = False

    def __post_init__(self) -> None:
        make_plain(self)

    def int8(self, fan_in: int, last: bool) -> None:
        """The forward pass sees all 16 bits of a weight."""

    def drop(self, features: int) -> int:
        """Inputs are not dropped."""
        return 0

    @property
    def rate_state(self) -> str:
        """The rate is halved by counting lr_shift up."""
        return "lr_shift"

    def states(self) -> tuple[Buffer, ...]:
        """lr_shift."""
        note = "the learning rate is 1 / (lr_inv * 2^lr_shift)"
        return (Buffer("lr_shift", "state", (), "uint8", Range(0, LR_SHIFT_LIMIT), note=note),)

    def scheduled_rate(self, epoch: int, epochs: int) -> None:
        """The rate stays as it is."""

    def errors(self, output: Array, labels: Array, fan_in: int) -> Int64:
        """Outputs less the target of the label's class."""
        wanted = np.arange(output.shape[1]) == wide(labels)[:, np.newaxis]
        return wide(wide(output) - wanted * int(self.target))

    def lr_inv_of(self, state: int) -> int:
        """The inverse learning rate of a value of lr_shift."""
        return int(self.lr_inv) << state

    def arguments(self) -> tuple[Buffer, ...]:
        """What training is told beside samples and labels."""
        return training_arguments(MAX_BATCH)

    @property
    def expects(self) -> Literal["label", "y"]:
        """Labels, or target vectors for regression."""
        return "y" if self.target == "vector" else "label"

    @property
    def target_magnitude(self) -> int:
        """The largest |y|."""
        return self.targets.magnitude

    @property
    def targets(self) -> Range:
        """Every value that a target can have."""
        if self.target == "vector":
            return Range(*(self.target_range or (-127, 127)))
        return Range(min(int(self.target), 0), max(int(self.target), 0))

    def check(self) -> None:
        """Raise ModelError for parameters out of range."""
        for name, value, high in (
            ("lr_inv", self.lr_inv, MAX_LR_INV),
            ("batch", self.batch, MAX_BATCH),
        ):
            if not (is_whole(value) and 1 <= value <= high):
                raise ModelError(f"{self.rule_name}: {name} is {value!r}; the range is 1..{high}")
        if not isinstance(self.wide_sums, bool):
            raise ModelError(
                f"{self.rule_name}: wide_sums is {self.wide_sums!r}; give True or False"
            )
        if self.target == "vector":
            self.check_target_range()
        elif not (is_whole(self.target) and 1 <= abs(self.target) <= TARGET_LIMIT):
            raise ModelError(
                f"{self.rule_name}: target is {self.target!r}; "
                f"give 1..{TARGET_LIMIT} for classes or 'vector' for regression"
            )
        elif self.target_range is not None:
            raise ModelError(f"{self.rule_name}: target_range goes with target='vector' only")

    def check_target_range(self) -> None:
        """Raise ModelError for a range of targets that is empty or beyond 16 bits."""
        given = self.target_range
        if given is None:
            return
        if not (is_rising_pair(given) and max(abs(end) for end in given) <= TARGET_LIMIT):
            raise ModelError(
                f"{self.rule_name}: target_range is {given}; "
                f"it must rise within -{TARGET_LIMIT}..{TARGET_LIMIT}"
            )

    @property
    def rule_name(self) -> str:
        """The rule's name, for messages and the canonical text."""
        return type(self).__name__

    def search(self) -> Space:
        """The rate, from 32 times to a 256th; smaller batches; for classes the target."""
        rate = Span(max(1, self.lr_inv // 32), min(256 * self.lr_inv, MAX_LR_INV), even=False)
        space: Space = {"lr_inv": rate, "batch": halves(self.batch)}
        return space if self.target == "vector" else {**space, "target": Span(4, 127)}

    def describe(self) -> tuple[str, ...]:
        """The parameters in the model's canonical text."""
        low, high = self.targets.low, self.targets.high
        wanted = f"vector {low}..{high}" if self.target == "vector" else str(self.target)
        line = f"rule {self.rule_name} lr_inv {self.lr_inv} batch {self.batch} target {wanted}"
        return (line, "wide sums") if self.wide_sums else (line,)

    def error(self, scene: Scene) -> tuple[tuple[Buffer, ...], Step]:
        """e = a - y at the output: its buffers and its step."""
        n, last = scene.classes, scene.sites[-1]
        e = Buffer("e", "delta", (n,), per_sample=True, note="output errors")
        if self.target == "vector":
            y = Buffer(
                "y",
                "target",
                (n,),
                self.targets.dtype(),
                self.targets,
                per_sample=True,
                note="targets",
            )
            operands = {"a": last.name("a"), "y": "y", "e": "e"}
            return (y, e), Step(
                ERROR_VECTOR, operands, {"n": n}, f"output: {ERROR_VECTOR.equation}"
            )
        label = label_buffer(n)
        operands = {"a": last.name("a"), "label": "label", "e": "e"}
        sizes = {"n": n, "target": int(self.target)}
        return (label, e), Step(ERROR_CLASS, operands, sizes, f"output: {ERROR_CLASS.equation}")

    def slope(self, scene: Scene, site: Site, source: str) -> tuple[Buffer, Step]:
        """delta = source / g at a layer: its buffer and its step."""
        n = out_size(scene.layers[site.index - 1], site)
        delta = Buffer(
            site.name("delta"), "delta", (n,), per_sample=True, layer=site.index, note="deltas"
        )
        operands = {"s": source, "g": site.name("g"), "delta": delta.name}
        return delta, Step(
            SLOPE_DIVIDE,
            operands,
            {"n": n},
            f"layer {site.index}: {SLOPE_DIVIDE.equation}",
            site.index,
        )

    def update(self) -> Step:
        """How one weight follows its gradient."""
        return Step(
            SGD_STEP,
            {"lr_shift": "lr_shift"},
            {"lr_inv": self.lr_inv},
            SGD_STEP.equation,
        )


def uniform_limit(fan_in: int, fan_out: int) -> int:
    """r = isqrt(12 * 32767 / (fan_in + fan_out)), at least 1: PocketNN's random range."""
    return max(1, isqrt(12 * 32767 // (fan_in + fan_out)))
