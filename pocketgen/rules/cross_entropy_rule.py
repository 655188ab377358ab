"""What the rules with softmax cross-entropy share: 8-bit forward weights over 16-bit masters.

In: the rule's parameters. Out: the arithmetic of the layers, the start, the error, the updates.
The forward pass sees the high byte of a weight; training moves all of its bits by gradient times
rate / 2^rate_shift, rounded. Inputs are dropped at random in training and scaled in prediction.

What is not given follows from the shapes, so that sums of few inputs are divided less:

    inputs of a layer               1..11  12..47  48..
    activation_shift                5      6       7
    output_shift                    7      8       9

    inputs of the network           1..11  12..95  96..255  256..
    dropout, in eighths             0      1       2        3

and rate_shift, in Model.for_data, from the samples that training sees, repeats included:

    samples times epochs below      2^16   2^18    2^23     any
    rate_shift                      11     12      13       14
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pocketgen.errors import ModelError
from pocketgen.intmath import Int64, is_whole, isqrt, make_plain, wide
from pocketgen.ir import Array, Buffer, Range, Step
from pocketgen.kernels import (
    COUNT_STEP,
    DRAW_UNIFORM,
    ERROR_SOFTMAX,
    FILL_ZERO,
    MASTER_STEP,
    MASTER_STEP_NOISY,
    SLOPE_MULTIPLY,
    STEP_KEY,
)
from pocketgen.layers import Int8, Site
from pocketgen.rules.rule import (
    UPDATE_STREAM,
    WEIGHT_STREAM,
    Scene,
    label_buffer,
    out_size,
    training_arguments,
    update_streams,
)
from pocketgen.rules.search import Space, Span, halves

MAX_BATCH = 65535
BIAS_INPUT = 64  # biases are the weights of a constant input of half an activation's range
BIAS_SHIFT = 6  # 64 = 2^6: a bias's gradient is multiplied by its input
BYTE = 256
FORWARD_LIMIT = 127
MAX_RATE = 255
TABLE_TOP = 32767  # exp(0)
TABLE_STEP = 16  # exp falls by e over so many units of q
ACTIVATION_SHIFT = 7
OUTPUT_SHIFT = 9
ERROR_DIVISOR = 8  # of the error that reaches a hidden layer
DELTA_LIMIT = 1023
NARROW = (12, 48)  # a layer of fewer inputs has smaller sums: one bit for each of these
DROPOUT_FEATURES = (12, 96, 256)  # an eighth of the inputs is dropped from each of these on
FROM_SHAPE = ("dropout", "activation_shift", "output_shift")  # None: derived from the shapes


@dataclass(frozen=True)
class CrossEntropyRule:
    """Parameters of the rules with softmax cross-entropy.

    batch: samples summed for one update, 1..65535. dropout: eighths of the inputs that training
    sets to 0, 0..7; by default 0, 1, 2, 3 from 0, 12, 96, 256 inputs on. rate, rate_shift: the
    learning rate is rate / 2^rate_shift for a gradient in 1/256 of a probability, rate 1..255,
    rate_shift 8..20. schedule: over the epochs of a fit the rate falls linearly to 1, or stays
    "constant". rounding: of updates, "nearest" or "stochastic". weights: "int16" trains 16 bits of
    which the forward pass sees 8; "int8" keeps only these, at half the memory, and needs
    stochastic rounding. activation_shift: hidden sums are divided by 2^activation_shift, 1..15; by
    default 7, and 6 and 5 for layers of fewer than 48 and 12 inputs. output_shift: the output's
    sums by 2^output_shift to become sixteenths of natural logarithms; by default 9, 8, 7.
    """

    batch: int = 20
    dropout: int | None = None
    rate: int = 16
    rate_shift: int = 13
    rounding: Literal["nearest", "stochastic"] = "nearest"
    weights: Literal["int16", "int8"] = "int16"
    activation_shift: int | None = None
    output_shift: int | None = None
    schedule: Literal["linear", "constant"] = "linear"

    def __post_init__(self) -> None:
        make_plain(self)

    @property
    def rule_name(self) -> str:
        """The rule's name, for messages and the canonical text."""
        return type(self).__name__

    @property
    def expects(self) -> Literal["label", "y"]:
        """Labels."""
        return "label"

    @property
    def wide_sums(self) -> bool:
        """8-bit weights need no wide sums."""
        return False

    @property
    def target_magnitude(self) -> int:
        """There is no target: errors are probabilities."""
        return 0

    def drop(self, features: int) -> int:
        """Eighths of the inputs that training sets to 0; more the more inputs there are."""
        if self.dropout is not None:
            return self.dropout
        return sum(features >= enough for enough in DROPOUT_FEATURES)

    @property
    def fraction(self) -> int:
        """What the forward pass cannot see of a weight."""
        return BYTE if self.weights == "int16" else 1

    def int8(self, fan_in: int, last: bool) -> Int8:
        """Forward weights of 8 bits; sums of the last layer become sixteenths of logarithms."""
        limit = FORWARD_LIMIT * self.fraction
        shift = self.output_shift if last else self.activation_shift
        if shift is None:
            shift = (OUTPUT_SHIFT if last else ACTIVATION_SHIFT) - narrowness(fan_in)
        return Int8(self.weights, limit, self.fraction, BIAS_INPUT, 2**shift)

    def softmax_sizes(self, fan_in: int) -> dict[str, int]:
        """How the output's sums of so many inputs are divided, to the nearest."""
        divisor = self.int8(fan_in, last=True).divisor
        return {"half": divisor // 2, "divisor": divisor}

    @property
    def rate_state(self) -> str:
        """The rate itself."""
        return "rate"

    def states(self) -> tuple[Buffer, ...]:
        """The rate, and the number of updates, on which random numbers depend."""
        note = f"the learning rate is rate / 2^{self.rate_shift}"
        words = Range(0, 2**32 - 1)
        return (
            Buffer(
                "rate",
                "state",
                (),
                "uint8",
                Range(0, self.rate),
                note=note,
                start=self.rate,
            ),
            Buffer("step", "state", (), "uint32", words, note="updates so far, modulo 2^32"),
        )

    def scheduled_rate(self, epoch: int, epochs: int) -> int:
        """Linearly from rate to 1: the ceiling of rate (epochs - epoch) / epochs."""
        if self.schedule == "constant":
            return self.rate
        return -(-self.rate * (epochs - epoch) // epochs)

    def errors(self, output: Array, labels: Array, fan_in: int) -> Int64:
        """Probabilities in 1/256, less 256 at the label."""
        e = np.zeros(output.shape, dtype=np.int64)
        sizes = {"n": output.shape[1], **self.softmax_sizes(fan_in)}
        ERROR_SOFTMAX.run(h=output, label=labels, table=exponentials(), e=e, sizes=sizes)
        return e

    def lr_inv_of(self, state: int) -> int:
        """2^rate_shift / state, rounded down; 0 where nothing is learned."""
        return 2**self.rate_shift // state if state else 0

    def check(self) -> None:
        """Raise ModelError for parameters out of range."""
        for name, low, high in (
            ("batch", 1, MAX_BATCH),
            ("dropout", 0, 7),
            ("rate", 1, MAX_RATE),
            ("rate_shift", 8, 20),
            ("activation_shift", 1, 15),
            ("output_shift", 1, 15),
        ):
            value = getattr(self, name)
            if value is None and name in FROM_SHAPE:
                continue
            if not (is_whole(value) and low <= value <= high):
                raise ModelError(
                    f"{self.rule_name}: {name} is {value!r}; the range is {low}..{high}"
                )
        for name, words in (
            ("rounding", ("nearest", "stochastic")),
            ("weights", ("int16", "int8")),
            ("schedule", ("linear", "constant")),
        ):
            value = getattr(self, name)
            if value not in words:
                raise ModelError(
                    f"{self.rule_name}: {name} is {value!r}; give {words[0]!r} or {words[1]!r}"
                )
        if self.weights == "int8" and self.rounding != "stochastic":
            raise ModelError(
                f"{self.rule_name}: weights of 8 bits cannot follow steps below 1; "
                "give rounding='stochastic' with weights='int8'"
            )

    def search(self) -> Space:
        """The rate, smaller batches, dropout, the shifts, and with 16-bit weights the rounding."""
        space: Space = {
            "rate": Span(4, 64, even=False),
            "rate_shift": Span(9, 15),
            "batch": halves(self.batch),
            "dropout": (None, 0, 1, 2, 3, 4),
            "activation_shift": (None, 5, 6, 7, 8),
            "output_shift": (None, 7, 8, 9, 10),
        }
        if self.weights == "int8":
            return space
        return {**space, "rounding": ("nearest", "stochastic")}

    def describe(self) -> tuple[str, ...]:
        """The parameters in the model's canonical text."""
        return (
            f"rule {self.rule_name} batch {self.batch} "
            f"rate {self.rate}/2^{self.rate_shift} {self.schedule} {self.rounding} "
            f"weights {self.weights}",
        )

    def arguments(self) -> tuple[Buffer, ...]:
        """What training is told beside samples and labels."""
        return training_arguments(MAX_BATCH)

    def init(self, scene: Scene) -> tuple[Step, ...]:
        """Every W uniform around the middle of what reads as 0, every b at 0."""
        steps = []
        for layer, site in zip(scene.layers, scene.sites, strict=True):
            for parameter in layer.buffers(site):
                if parameter.role == "weight":
                    steps.append(self.draw(parameter, site, layer.fans(site.in_shape)[0]))
                elif parameter.role == "bias":
                    note = f"layer {site.index}: {parameter.name} = 0"
                    sizes = {"n": parameter.size}
                    steps.append(
                        Step(FILL_ZERO, {"w": parameter.name}, sizes, note, site.index, "once")
                    )
        return tuple(steps)

    def draw(self, parameter: Buffer, site: Site, fan_in: int) -> Step:
        """W uniform, +- 64 sqrt(0.75 / fan_in) in the unit of forward weights."""
        # 16384 sqrt(3 / (4 fan_in)), an integer exactly: isqrt(16384^2 * 3 / (4 fan_in))
        limit = isqrt(16384**2 * 3 // (4 * fan_in)) * self.fraction // BYTE
        limit = min(max(limit, 1), (FORWARD_LIMIT - 1) * self.fraction)
        sizes = {
            "n": parameter.size,
            "stream": WEIGHT_STREAM + site.index,
            "limit": limit,
            "centre": self.fraction // 2,
        }
        operands = {"seed": "seed", "w": parameter.name}
        note = f"layer {site.index}: {parameter.name} uniform"
        return Step(DRAW_UNIFORM, operands, sizes, note, site.index, "once")

    def error(self, scene: Scene) -> tuple[tuple[Buffer, ...], Step]:
        """e = 256 (p - onehot) at the output, softmax through a table: its buffers and its step."""
        n, last = scene.classes, scene.sites[-1]
        if n < 2:
            raise ModelError(
                f"layer {last.index}: {n} output; softmax needs one for each of at least 2 classes"
            )
        values = exponentials()
        fan_in, _ = scene.layers[-1].fans(last.in_shape)
        e = Buffer("e", "delta", (n,), per_sample=True, note="output errors")
        table = Buffer(
            "exponentials",
            "table",
            values.shape,
            "int16",
            Range(int(values.min()), int(values.max())),
            note=f"{TABLE_TOP} exp(-i / {TABLE_STEP})",
            values=values,
        )
        return (label_buffer(n), table, e), Step(
            ERROR_SOFTMAX,
            {"h": last.name("a"), "label": "label", "table": table.name, "e": "e"},
            {"n": n, **self.softmax_sizes(fan_in)},
            f"output: {ERROR_SOFTMAX.equation}",
        )

    def slope(self, scene: Scene, site: Site, source: str) -> tuple[Buffer, Step]:
        """delta = source f at a hidden layer: its buffer and its step."""
        n = out_size(scene.layers[site.index - 1], site)
        delta = Buffer(
            site.name("delta"), "delta", (n,), per_sample=True, layer=site.index, note="deltas"
        )
        return delta, Step(
            SLOPE_MULTIPLY,
            {"s": source, "f": site.name("f"), "delta": delta.name},
            {"n": n, "divisor": ERROR_DIVISOR, "limit": DELTA_LIMIT},
            f"layer {site.index}: {SLOPE_MULTIPLY.equation}",
            site.index,
        )

    def updates(self, scene: Scene) -> tuple[tuple[Buffer, ...], tuple[Step, ...]]:
        """Every W and b moved, from the last layer to the first; then step counted."""
        noisy = self.rounding == "stochastic"
        key = Buffer(
            "key", "scratch", (), "uint32", Range(0, 2**32 - 1), note="key of random numbers"
        )
        steps: list[Step] = []
        stream = UPDATE_STREAM
        for layer, site in reversed(list(zip(scene.layers, scene.sites, strict=True))):
            delta = "e" if site.last else site.name("delta")
            moves = layer.weight_updates(site, delta, self.update(0), self.update(BIAS_SHIFT))
            for moved in moves:
                stream += 1
                if noisy:
                    steps.append(step_key(scene, stream, moved.layer))
                steps.append(moved)
        steps.append(Step(COUNT_STEP, {"step": "step"}, {}, COUNT_STEP.equation, 0, "once"))
        return ((key,) if noisy else ()), tuple(steps)

    def update(self, gained: int) -> Step:
        """How one weight follows its gradient; gained: bits by which its input is larger than 1."""
        shift = self.rate_shift - gained + (8 if self.weights == "int8" else 0)
        if self.rounding == "stochastic":
            sizes = {"bits": shift, "divisor": 2**shift}
            operands = {"rate": "rate", "noise": "key"}
            return Step(MASTER_STEP_NOISY, operands, sizes, MASTER_STEP_NOISY.equation)
        sizes = {"half": 2 ** (shift - 1), "divisor": 2**shift}
        return Step(MASTER_STEP, {"rate": "rate"}, sizes, MASTER_STEP.equation)


def narrowness(fan_in: int) -> int:
    """By how many bits the sums of a layer with few inputs are divided less."""
    return sum(fan_in < limit for limit in NARROW)


def exponentials() -> Array:
    """32767 exp(-i / 16) for i = 0 .. 255, rounded, never 0."""
    values = np.rint(TABLE_TOP * np.exp(-np.arange(BYTE) / TABLE_STEP))
    return wide(np.maximum(values, 1))


def step_key(scene: Scene, stream: int, layer: int) -> Step:
    """The key of this update's random numbers for one array of weights."""
    sizes = {"seed": scene.seed, "streams": update_streams(scene.layers), "stream": stream}
    note = f"layer {layer}: {STEP_KEY.equation}"
    return Step(STEP_KEY, {"step": "step", "key": "key"}, sizes, note, layer, "once")
