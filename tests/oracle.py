"""The training rules straight from their specifications, in exact numpy: the outside judge.

`Network` is PocketNN's two rules, `CrossEntropyNetwork` pocketgen's own.

Knows nothing of pocketgen and imports nothing of it. Matrices are as the paper prints them: x is
(batch, n_in), W (n_in, n_out), b (n_out,), R (n_classes, n_out). Layers count from 1 in names and
tags, from 0 in Python's lists. Every value is exact: a product that int64 could not hold is
computed with Python's integers instead.

Source: J. Song, F. Lin, "PocketNN: Integer-only Training and Inference of Neural Networks via
Direct Feedback Alignment and Pocket Activations in Pure C++" (arXiv 2201.02863); for pocketgen's
own rule A. Nokland, "Direct Feedback Alignment Provides Learning in Deep Neural Networks"
(arXiv 1609.01596), the arithmetic being written out below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

INT32_MAX = 2**31 - 1
PARAMETER_MAX = 32767  # weights and biases are int16 without -32768
NEVER = INT32_MAX  # inverse slope of a saturated unit: dividing by it stops its learning

ACTIVATIONS = (
    "pocket_tanh",
    "pocket_sigmoid",
    "pocket_relu8bit",
    "pocket_leakyrelu",
    "identity",
)


# --- exact integers -----------------------------------------------------------------------------


def ints(x: object) -> Ints:
    return np.asarray(x).astype(np.int64)


def div(numerator: NDArray, denominator: NDArray | int) -> NDArray:
    """C99's division: the quotient is truncated toward zero."""
    quotient = np.abs(numerator) // np.abs(denominator)
    return np.where((numerator < 0) != (denominator < 0), -quotient, quotient)


def product(left: Ints, right: Ints) -> NDArray:
    """left @ right; of Python's integers where int64 might overflow."""
    largest = int(np.abs(left).max(initial=0)) * int(np.abs(right).max(initial=0))
    if largest * left.shape[1] < 2**53:  # float64 is exact here, and fast
        return ints(left.astype(np.float64) @ right.astype(np.float64))
    if largest * left.shape[1] < 2**62:
        return left @ right
    return left.astype(object) @ right.astype(object)


def clamp(x: NDArray, limit: int) -> Ints:
    return ints(np.minimum(np.maximum(x, -limit), limit))


def fits32(x: NDArray) -> Ints:
    """x, which the bounds promise to fit 32 bits."""
    assert x.size == 0 or (int(x.min()) >= -INT32_MAX - 1 and int(x.max()) <= INT32_MAX)
    return ints(x)


# --- activations: value and inverse slope -------------------------------------------------------


def pocket_tanh(h: Ints, n_in: int) -> tuple[Ints, Ints]:
    v = div(h, 256 * n_in)
    pieces = [v < -127, v < -74, v < -31, v < 32, v < 75, v < 128]
    quarter = div(v, 4)
    a = np.select(pieces, [-127, quarter - 88, v - 32, 2 * v, v + 32, quarter + 88], 127)
    g = np.select(pieces, [127, 8, 2, 1, 2, 8], 127)
    return a, g


def pocket_sigmoid(h: Ints, n_in: int) -> tuple[Ints, Ints]:
    v = div(h, 256)
    pieces = [v < -127, v < -74, v < -31, v < 32, v < 75, v < 128]
    half, eighth = div(v, 2), div(v, 8)
    a = np.select(pieces, [1, eighth + 20, half + 48, v + 64, half + 80, eighth + 108], 127)
    g = np.select(pieces, [127, 8, 2, 1, 2, 8], 127)
    return a, g


def pocket_relu8bit(h: Ints, n_in: int) -> tuple[Ints, Ints]:
    pieces = [h < 0, h <= 127]
    return np.select(pieces, [0, h], 127), np.select(pieces, [NEVER, 1], NEVER)


def pocket_leakyrelu(h: Ints, n_in: int) -> tuple[Ints, Ints]:
    pieces = [h < -32767, h < 0, h < 32767]
    return np.select(pieces, [-32767, div(h, 5), h], 32767), np.select(pieces, [NEVER, 5, 1], NEVER)


def identity(h: Ints, n_in: int) -> tuple[Ints, Ints]:
    return h, np.ones_like(h)


def activate(name: str, h: Ints, n_in: int) -> tuple[Ints, Ints]:
    """Output and inverse slope of the activation called `name`, of a layer with n_in inputs."""
    assert name in ACTIVATIONS
    a, g = globals()[name](h, n_in)
    return ints(a), ints(g)


# --- input, targets, loss -----------------------------------------------------------------------


def scaled(
    raw: NDArray, offset: object, multiplier: object, shift: int, low: int, high: int
) -> Ints:
    """x = clamp((raw - offset) * multiplier / 2^shift); offset, multiplier also per feature."""
    x = div((ints(raw) - ints(offset)) * ints(multiplier), 2**shift)
    return ints(np.minimum(np.maximum(x, low), high))


def class_targets(labels: NDArray, n_classes: int, target: int) -> Ints:
    """`target` for the true class, 0 for the others."""
    return np.where(ints(labels)[:, None] == np.arange(n_classes), target, 0)


def loss_of(e: Ints) -> int:
    """The loss of a batch: every e*e is halved by itself."""
    return sum(value * value // 2 for value in e.reshape(-1).tolist())


# --- what overflow safety forces ----------------------------------------------------------------


class UnsafeError(Exception):
    """Some sum cannot be proven to fit, even with weights of at most 1."""


def output_range(activation: str, n_in: int, largest: int, limit: int) -> tuple[int, int]:
    """Least and greatest output, over all inputs and weights; every activation is monotone."""
    h_max = n_in * largest * limit + PARAMETER_MAX
    low, high = activate(activation, ints([-h_max, h_max]), n_in)[0].tolist()
    return low, high


def weight_limits(
    dims: list[int], activations: list[str], largest_input: int, largest_target: int
) -> list[int]:
    """The weight clamp of every layer, or UnsafeError.

    32 bits must hold h = x·W + b for every x and W in range, and e = a - y of the last layer,
    where only `identity` lets a be as large as h.
    """
    limits = []
    largest = largest_input
    for k, (n_in, activation) in enumerate(zip(dims[:-1], activations, strict=True)):
        headroom = largest_target if k + 2 == len(dims) and activation == "identity" else 0
        room = INT32_MAX - headroom - PARAMETER_MAX
        limit = min(PARAMETER_MAX, room // (n_in * largest)) if largest else PARAMETER_MAX
        if limit < 1:
            raise UnsafeError(f"layer {k + 1}: {n_in} inputs up to {largest}")
        limits.append(limit)
        largest = max(map(abs, output_range(activation, n_in, largest, limit)))
    return limits


def check_gradients(
    dims: list[int],
    activations: list[str],
    limits: list[int],
    largest_input: int,
    targets: tuple[int, int],
    batch: int,
    largest_feedback: list[int],
) -> None:
    """UnsafeError where 64 bits cannot hold the sum over a batch of input times delta.

    targets: the least and the greatest. largest_feedback: of each hidden layer, or [] for backprop.
    Only a hidden `identity` can lead here: its outputs have up to 31 bits, as deltas have.
    """
    inputs = [largest_input]  # the largest magnitude that each layer reads; last, the output's
    for n_in, activation, limit in zip(dims[:-1], activations, limits, strict=True):
        a_low, a_high = output_range(activation, n_in, inputs[-1], limit)
        inputs.append(max(abs(a_low), abs(a_high)))
    largest_error = max(abs(a_low - targets[1]), abs(a_high - targets[0]))
    delta = largest_error
    for k in reversed(range(len(limits))):
        if k < len(limits) - 1:
            if largest_feedback:
                reached = dims[-1] * largest_error * largest_feedback[k]
            else:
                reached = dims[k + 2] * delta * limits[k + 1]
            delta = min(reached, INT32_MAX)
        if batch * inputs[k] * delta >= 2**63:
            raise UnsafeError(f"layer {k + 1}: {batch} times {inputs[k]} times {delta}")


# --- counter-based random numbers ---------------------------------------------------------------

WEIGHTS, BIASES, FEEDBACK = 0x100, 0x200, 0x300  # tag of a tensor: one of these + layer from 1


def mix(x: int) -> int:
    """A 32-bit word to a scattered 32-bit word."""
    x ^= x >> 16
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x846CA68B & 0xFFFFFFFF
    x ^= x >> 16
    return x


def uniform(seed: int, tag: int, index: int, r: int) -> int:
    """Number `index` of a tensor: uniform in [-r, r] without 0."""
    key = mix(seed ^ mix(tag))
    u = ((mix((key + index) & 0xFFFFFFFF) >> 16) * 2 * r) >> 16
    v = u - r
    return v + 1 if v >= 0 else v


def start_range(n_in: int, n_out: int) -> int:
    """r of a layer's feedback, and of its initial weights and biases under backprop."""
    return max(1, math.isqrt(12 * 32767 // (n_in + n_out)))


def uniform_tensor(seed: int, tag: int, rows: int, columns: int, r: int) -> Ints:
    """(rows, columns), numbered row by row."""
    values = [uniform(seed, tag, index, r) for index in range(rows * columns)]
    return ints(values).reshape(rows, columns)


def initial_weights(
    seed: int, layer: int, n_in: int, n_out: int, limit: int = PARAMETER_MAX
) -> Ints:
    """(n_in, n_out); the numbers run over the inputs of one unit after the other.

    A clamp below the usual range takes its place: no weight starts where none may be.
    """
    r = min(start_range(n_in, n_out), limit)
    return uniform_tensor(seed, WEIGHTS + layer, n_out, n_in, r).T.copy()


def initial_biases(seed: int, layer: int, n_in: int, n_out: int) -> Ints:
    return uniform_tensor(seed, BIASES + layer, 1, n_out, start_range(n_in, n_out))[0]


def feedback(seed: int, layer: int, n_in: int, n_out: int, n_classes: int) -> Ints:
    """(n_classes, n_out)."""
    return uniform_tensor(seed, FEEDBACK + layer, n_classes, n_out, start_range(n_in, n_out))


# --- training -----------------------------------------------------------------------------------


@dataclass
class Trace:
    """What one pass computed, a list entry for each layer; e and delta only after training.

    x: the network's input, of which dropout may have taken some; g: inverse slopes, or, by
    pocketgen's own rule, four times the slopes of hidden layers.
    """

    x: Ints
    h: list[Ints] = field(default_factory=list)
    a: list[Ints] = field(default_factory=list)
    g: list[Ints] = field(default_factory=list)
    delta: list[Ints] = field(default_factory=list)
    e: Ints = field(default_factory=lambda: ints([]))


@dataclass
class Network:
    """A multilayer perceptron; `R` holds a matrix for each hidden layer, or is empty: backprop."""

    activations: list[str]
    W: list[Ints]
    b: list[Ints]
    lr_inv: int
    R: list[Ints] = field(default_factory=list)
    lr_shift: int = 0
    limits: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.limits:
            self.limits = [PARAMETER_MAX] * len(self.W)
        self.W = [ints(w) for w in self.W]
        self.b = [ints(b) for b in self.b]
        self.R = [ints(r) for r in self.R]

    def forward(self, x: NDArray) -> Trace:
        a = ints(x)
        trace = Trace(a)
        for activation, W, b in zip(self.activations, self.W, self.b, strict=True):
            h = fits32(product(a, W) + b)
            a, g = activate(activation, h, W.shape[0])
            trace.h.append(h)
            trace.a.append(a)
            trace.g.append(g)
        return trace

    def train(self, x: NDArray, y: NDArray) -> Trace:
        """One batch with target vectors y (batch, n_out); changes W and b."""
        trace = self.forward(x)
        trace.e = fits32(trace.a[-1] - ints(y))
        inputs = [trace.x, *trace.a[:-1]]
        deltas: list[Ints] = []  # of the layers from k to the last
        for k in reversed(range(len(self.W))):
            if k == len(self.W) - 1:
                reached = trace.e
            elif self.R:
                reached = product(trace.e, self.R[k])
            else:  # W[k + 1] has already been updated by this batch
                reached = product(deltas[0], self.W[k + 1].T)
            delta = clamp(div(reached, trace.g[k]), INT32_MAX)
            deltas.insert(0, delta)
            ones = np.ones((1, len(delta)), np.int64)
            self.W[k] = clamp(self.W[k] + self.change(product(inputs[k].T, delta)), self.limits[k])
            self.b[k] = clamp(self.b[k] + self.change(product(ones, delta)[0]), PARAMETER_MAX)
        trace.delta = deltas
        return trace

    def change(self, gradient: NDArray) -> NDArray:
        return div(div(gradient, -self.lr_inv), 2**self.lr_shift)


# --- pocketgen's own rule -----------------------------------------------------------------------

# Forward weights have 8 bits and a sign; what they are the high byte of has 16 and is trained.
BYTE = 256
UPDATE = 0x1000  # tags of the random numbers of updates start here
BIAS_INPUT = 64  # a bias is the weight of this constant input
DELTA_MAX = 1023
EXPONENTIALS = [max(1, round(32767 * math.exp(-i / 16))) for i in range(BYTE)]


def own_start(
    seed: int, layer: int, n_in: int, n_out: int, only_bytes: bool = False
) -> tuple[Ints, Ints]:
    """W (n_in, n_out), numbered row by row around the middle of what reads as 0, and b."""
    r, middle = math.isqrt(16384**2 * 3 // (4 * n_in)), BYTE // 2
    if only_bytes:
        r, middle = max(1, r // BYTE), 0
    W = uniform_tensor(seed, WEIGHTS + layer, n_in, n_out, r) + middle
    return W, np.zeros(n_out, np.int64)


def own_feedback(seed: int, layer: int, n_out: int, n_classes: int, r: int) -> Ints:
    """(n_classes, n_out), of entries up to r."""
    return uniform_tensor(seed, FEEDBACK + layer, n_classes, n_out, r)


def own_dropout(n_in: int) -> int:
    """Eighths of the inputs, where nothing else is asked for."""
    return 3 if n_in >= 256 else 2 if n_in >= 96 else 1 if n_in >= 12 else 0


def own_shift(n_in: int, wide: int) -> int:
    """The shift of a layer's sums, where nothing else is asked for; `wide`: from 48 inputs on."""
    return wide if n_in >= 48 else wide - 1 if n_in >= 12 else wide - 2


def tanh_with_slope(z: Ints) -> tuple[Ints, Ints]:
    """PocketTanh and four times its slope."""
    size = np.abs(z)
    pieces = [size < 32, size < 75, size < 128]
    y = np.select(pieces, [2 * size, size + 32, (size >> 2) + 88], 127)
    return np.sign(z) * y, np.select(pieces, [8, 4, 1], 0)


def softmax_error(acc: Ints, labels: NDArray, output_shift: int) -> Ints:
    """256 (p - onehot), p being softmax by the table."""
    e = np.zeros_like(acc)
    for row, label in enumerate(ints(labels).tolist()):
        q = [(int(value) + 2 ** (output_shift - 1)) >> output_shift for value in acc[row]]
        E = [EXPONENTIALS[min(max(q) - value, 255)] for value in q]
        S = sum(E)
        e[row] = [((E_c << 8) + (S >> 1)) // S for E_c in E]
        e[row, label] -= 256
    return e


def largest_sum(dims: list[int], largest_input: int) -> int:
    """The largest |acc| over all layers, inputs and weights; 32 bits must hold it."""
    inputs = [largest_input, *(127 for _ in dims[1:-1])]
    return max(n * x for n, x in zip(dims[:-1], inputs, strict=True)) * 127 + BIAS_INPUT * 127


@dataclass
class CrossEntropyNetwork:
    """A multilayer perceptron by softmax cross-entropy.

    `R` holds a matrix for each hidden layer, or is empty: backprop. Dropout is in eighths of the
    inputs. `only_bytes`: W and b are the forward weights themselves, of which training cannot keep
    more. None: derived from how many inputs there are.
    """

    W: list[Ints]
    b: list[Ints]
    R: list[Ints]
    seed: int
    dropout: int | None
    rate: int
    rate_shift: int
    stochastic: bool = False
    only_bytes: bool = False
    activation_shift: int | None = None
    output_shift: int | None = None
    step: int = 0

    def __post_init__(self) -> None:
        if self.dropout is None:
            self.dropout = own_dropout(len(self.W[0]))
        if self.output_shift is None:
            self.output_shift = own_shift(len(self.W[-1]), 9)

    @property
    def limit(self) -> int:
        return 127 if self.only_bytes else 127 * BYTE

    def forward(self, x: NDArray) -> Trace:
        """Prediction: what training drops at random is here taken off every input."""
        return self.sums((ints(x) * (8 - self.dropout) + 4) >> 3)

    def sums(self, x: Ints) -> Trace:
        trace, a = Trace(x), x
        for W, b in zip(self.W, self.b, strict=True):
            w, c = (W, b) if self.only_bytes else (W >> 8, b >> 8)
            acc = fits32(product(a, w) + BIAS_INPUT * c)
            shift = self.activation_shift or own_shift(len(W), 7)
            z = (acc + 2 ** (shift - 1)) >> shift
            a, slope = tanh_with_slope(z)
            trace.h.append(acc)
            trace.a.append(a)
            trace.g.append(slope)
        trace.a[-1] = acc  # the output layer has no activation
        del trace.g[-1]
        return trace

    def train(self, x: NDArray, labels: NDArray) -> Trace:
        """One batch; changes W and b, and counts the step."""
        trace = self.sums(np.where(self.dropped(*x.shape), 0, ints(x)))
        trace.e = softmax_error(trace.a[-1], labels, self.output_shift)
        trace.delta = [trace.e]
        for k in reversed(range(len(self.W) - 1)):
            if self.R:
                reached = product(trace.e, self.R[k]) >> 3
            else:  # through the layer above as the forward pass saw it: no weight has moved yet
                w = self.W[k + 1] if self.only_bytes else self.W[k + 1] >> 8
                reached = product(trace.delta[0], w.T) >> 3
            trace.delta.insert(0, clamp((reached * trace.g[k] + 32) >> 6, DELTA_MAX))
        inputs = [trace.x, *trace.a[:-1]]
        shift = self.rate_shift + (8 if self.only_bytes else 0)
        place = 0
        for k in reversed(range(len(self.W))):
            delta = trace.delta[k]
            self.W[k] = self.moved(self.W[k], product(inputs[k].T, delta), place + 1, shift)
            self.b[k] = self.moved(self.b[k], delta.sum(axis=0), place + 2, shift - 6)
            place += 2
        self.step = (self.step + 1) % 2**32
        return trace

    def key(self, place: int) -> int:
        """Of this step's random numbers: place 0 is the input, then come W and b of the last
        layer, of the one before, ..."""
        tag = self.step * (2 * len(self.W) + 1) + UPDATE + place
        return mix(self.seed ^ mix(tag % 2**32))

    def dropped(self, rows: int, n_in: int) -> NDArray:
        """Which inputs of a batch are 0: those whose number of three binary digits is too low."""
        key, words = self.key(0), math.ceil(n_in / 32)
        gone = np.zeros((rows, n_in), bool)
        for row in range(rows):
            for i in range(n_in):
                word = row * words + i // 32
                digits = [mix((key + 3 * word + d) % 2**32) >> i % 32 & 1 for d in range(3)]
                gone[row, i] = digits[0] + 2 * digits[1] + 4 * digits[2] < self.dropout
        return gone

    def moved(self, w: Ints, G: NDArray, place: int, shift: int) -> Ints:
        """w - G rate / 2^shift, rounded to the nearest or at random."""
        added = np.full(w.size, 2 ** (shift - 1), np.int64)
        if self.stochastic:
            key = self.key(place)
            added = ints([mix((key + i) % 2**32) >> (32 - shift) for i in range(w.size)])
        return clamp(w - ((ints(G) * self.rate + added.reshape(w.shape)) >> shift), self.limit)
