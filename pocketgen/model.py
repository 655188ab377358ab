"""What the user writes: input, layers, training rule. Everything is validated here.

In: the user's words. Out: a frozen Model with a canonical text, from which its digests come.
Not here: how any of it is computed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pocketgen.errors import DataError, ModelError
from pocketgen.intmath import (
    INT_LIMITS,
    Int64,
    clamp,
    div_pow2,
    is_rising_pair,
    is_whole,
    make_plain,
    wide,
)
from pocketgen.ir import Array, Range
from pocketgen.layers import LAYERS, Dense, Layer, Site
from pocketgen.rules import RULES, CrossEntropyDFA, Rule

INPUT_DTYPES = ("uint8", "int8", "uint16", "int16")
SCALED_LIMITS = {"int8": (-127, 127), "uint8": (0, 255), "int16": (-32767, 32767)}
MAX_FEATURES = 65535
MULTIPLIER_LIMIT = 2**24
RAW_LEVEL = 96  # Scale.auto: mean magnitude of values other than 0 where zeros stay zeros
LEVEL = 40  # Scale.auto: mean distance from the mean elsewhere
MULTIPLIER_TOP = 32767  # times a difference of two 16-bit values, that still fits 32 bits
RATE_SHIFT = 11  # Model.for_data: for the shortest trainings
RATE_SAMPLES = (2**16, 2**18, 2**23)  # samples seen from which on the rate is halved
MAX_NAME = 32
SEED_LIMIT = 2**32 - 1
C_WORDS = (
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl "
    "concept const consteval constexpr constinit const_cast continue decltype default delete "
    "do double dynamic_cast else enum errno explicit export extern false float for friend goto "
    "if inline int long main mutable namespace new noexcept not not_eq nullptr operator or "
    "or_eq private protected public register reinterpret_cast requires restrict return short "
    "signed sizeof static static_assert static_cast struct switch template this thread_local "
    "throw true try typedef typeid typename typeof union unsigned using virtual void volatile "
    "wchar_t while xor xor_eq"
)
# A model's header and struct are named after it: NAME.h and NAME_t. With the folder in a compiler's
# path, NAME.h would hide a header that C or its libraries have, or that their headers include.
HEADERS = (
    "complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdalign stdarg "
    "stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar "
    "wctype alloca assert corecrt crtdefs endian features ieeefp newlib picolibc sal strings "
    "syslimits vadefs vcruntime ycheck yvals"
)
TYPES = re.compile(
    r"u?int(_fast|_least)?(8|16|32|64)|u?int(max|ptr)|size|ssize|ptrdiff|wchar|wint|char(8|16|32)"
    r"|max_align|nullptr|div|ldiv|lldiv|time|clock|fpos|va_list|mbstate|off|pid"
)


@dataclass(frozen=True)
class Scale:
    """x = clamp((raw - offset) * multiplier / 2**shift), the first step of numpy and C alike.

    offset, multiplier: integers within 16 and 24 bits, or one for each feature. shift: 0..30.
    dtype: int8 (-127..127), uint8 (0..255) or int16 (-32767..32767), the type of x.
    """

    offset: int | tuple[int, ...] = 0
    multiplier: int | tuple[int, ...] = 1
    shift: int = 0
    dtype: str = "int8"

    def __post_init__(self) -> None:
        if self.dtype not in SCALED_LIMITS:
            raise ModelError(
                f"scale: dtype is {self.dtype!r}; known are {', '.join(SCALED_LIMITS)}"
            )
        if not (is_whole(self.shift) and 0 <= self.shift <= 30):
            raise ModelError(f"scale: shift is {self.shift!r}; the range is 0..30")
        for name, value, high in (
            ("offset", self.offset, 65535),
            ("multiplier", self.multiplier, MULTIPLIER_LIMIT),
        ):
            for number in value if isinstance(value, tuple) else (value,):
                if not (is_whole(number) and abs(number) <= high):
                    raise ModelError(f"scale: {name} is {number!r}; the range is -{high}..{high}")
            # numpy's integers become plain ones: digests must not follow how numpy writes them.
            plain = tuple(map(int, value)) if isinstance(value, tuple) else int(value)
            object.__setattr__(self, name, plain)
        object.__setattr__(self, "shift", int(self.shift))

    @property
    def per_feature(self) -> bool:
        """Whether features have offsets or multipliers of their own."""
        return isinstance(self.offset, tuple) or isinstance(self.multiplier, tuple)

    @property
    def limits(self) -> Range:
        """Every value that x can have."""
        return Range(*SCALED_LIMITS[self.dtype])

    def columns(self, features: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Offset and multiplier of every feature; ModelError where their number is wrong."""
        both = []
        for name, value in (("offset", self.offset), ("multiplier", self.multiplier)):
            column = value if isinstance(value, tuple) else (value,) * features
            if len(column) != features:
                raise ModelError(
                    f"scale: {len(column)} values of {name} for {features} features; give one each"
                )
            both.append(column)
        return both[0], both[1]

    def apply(self, raw: ArrayLike) -> Int64:
        """x of raw integers (samples, features), as int64."""
        product = (wide(raw) - np.asarray(self.offset)) * np.asarray(self.multiplier)
        return clamp(div_pow2(product, self.shift), self.limits.low, self.limits.high)

    @classmethod
    def auto(cls, x: ArrayLike) -> Scale:
        """The scale for the raw integers x (samples, features) of the training data, as int8.

        Where at least 3/8 of all values are 0, x stays raw but for a power of two, so that zeros
        stay zeros and cost nothing: the mean of the others comes below 96. Elsewhere the mean is
        taken away and the mean distance from it becomes 40, by one offset and multiplier where all
        features are much alike (none's distance below a quarter of the average, and a common mean
        at most doubles the average distance), by one pair for each feature where they are not. In
        the latter case a feature that is mostly 0 keeps its zeros, and a constant one becomes 0.
        Integers only, so that every machine finds the same. DataError for an x that is empty or
        holds something else than integers of at most 16 bits.
        """
        data = whole_samples(x)
        narrowest_input(data)
        return conditioned(data.astype(np.int32))

    @classmethod
    def fit(cls, x: ArrayLike, dtype: str = "int8", per_feature: bool = False) -> Scale:
        """The scale that maps the range seen in x (samples, features) onto dtype's range.

        x: the raw integers of the training data. int8 and int16 are centred on the middle of what
        was seen; uint8 starts at its least value. DataError for an empty or non-integer x.
        """
        flat = wide(whole_samples(x))
        low, high = (flat.min(0), flat.max(0)) if per_feature else (flat.min(), flat.max())
        goal = SCALED_LIMITS[dtype][1] if dtype in SCALED_LIMITS else 127
        offset = low if dtype == "uint8" else div_pow2(low + high, 1)
        span = np.maximum(np.maximum(high - offset, offset - low), 1)
        shift = 16
        while shift and ((goal << shift) // span).max() > MULTIPLIER_LIMIT:
            shift -= 1
        multiplier = np.maximum((goal << shift) // span, 1)
        if per_feature:
            return cls(tuple(offset.tolist()), tuple(multiplier.tolist()), shift, dtype)
        return cls(int(offset), int(multiplier), shift, dtype)

    def describe(self) -> str:
        """The scale in the model's canonical text; long columns by their digest."""
        if not self.per_feature:
            return (
                f"scale (raw - {self.offset}) * {self.multiplier} / 2^{self.shift} -> {self.dtype}"
            )
        digest = hashlib.sha256(repr((self.offset, self.multiplier)).encode()).hexdigest()[:16]
        return f"scale per feature, columns {digest}, / 2^{self.shift} -> {self.dtype}"


def array_of(data: ArrayLike, title: str) -> Array:
    """data as an array; DataError where its rows have different lengths."""
    try:
        return np.asarray(data)
    except ValueError:
        raise DataError(f"{title}: rows of different lengths; give a rectangular array") from None


def whole_samples(x: ArrayLike) -> Array:
    """x as (samples, features); DataError where it is empty or holds no integers."""
    data = array_of(x, "scale")
    if data.ndim == 0 or data.size == 0:
        raise DataError(f"scale: needs integer training data, got shape {data.shape}")
    if data.dtype.kind not in "iu":
        raise DataError(
            f"scale: needs integer training data, got values of {data.dtype}; "
            "convert them, for instance with pocketgen.datasets.quantize"
        )
    return data.reshape(len(data), -1)


def conditioned(x: Array) -> Scale:
    """Scale.auto's rule; x: int32 (samples, features) of 16-bit values, for memory's sake."""
    samples, features = x.shape
    magnitude = np.abs(x)
    seen, size = np.count_nonzero(x, axis=0), magnitude.sum(axis=0, dtype=np.int64)
    if mostly_zero(int(seen.sum()), x.size):
        scale = raw_scale(magnitude, int(seen.sum()), int(size.sum()))
        if scale is not None:
            return scale
    total = x.sum(axis=0, dtype=np.int64)
    mean = nearest_quotient(int(total.sum()), x.size)
    spread = int(np.abs(x - mean).sum(dtype=np.int64))
    sparse = [int(seen[k]) > 0 and mostly_zero(int(seen[k]), samples) for k in range(features)]
    offset = [0 if sparse[k] else nearest_quotient(int(total[k]), samples) for k in range(features)]
    distance = [int(np.abs(x[:, k] - offset[k]).sum(dtype=np.int64)) for k in range(features)]
    count = [2 * int(seen[k]) if sparse[k] else samples for k in range(features)]
    alike = not any(sparse) and spread <= 2 * sum(distance)
    if alike and all(4 * features * d >= sum(distance) for d in distance):
        multiplier, shift = multipliers([spread], [x.size])
        return Scale(mean, multiplier[0], shift)
    multiplier, shift = multipliers(distance, count)
    return Scale(tuple(offset), tuple(multiplier), shift)


def mostly_zero(seen: int, count: int) -> bool:
    """Whether at least 3/8 of count values are 0, seen of them being not."""
    return 8 * (count - seen) >= 3 * count


def raw_scale(magnitude: Array, seen: int, size: int) -> Scale | None:
    """By a power of two alone, the mean of the seen values other than 0 to at most 96.

    magnitude: of all values; size: their sum. None where more than an eighth of those seen would
    become 0 or go beyond twice the limit.
    """
    multiplier, shift = 1, 0
    while size > (RAW_LEVEL * seen) << shift:
        shift += 1
    while shift == 0 and seen and 2 * size * multiplier <= RAW_LEVEL * seen:
        multiplier *= 2
    product = magnitude * multiplier
    kept = np.count_nonzero((product >= 1 << shift) & (product < 255 << shift))  # 1..254
    return Scale(0, multiplier, shift) if 8 * (seen - int(kept)) <= seen else None


def multipliers(distance: Sequence[int], count: Sequence[int]) -> tuple[list[int], int]:
    """Multipliers, and the shift of all, that bring mean distances to LEVEL.

    distance: from the offset, summed over count values; 0 for a constant feature, whose
    multiplier is 0. The shift is the largest with which every product fits 32 bits, but no
    multiplier falls below 2 for its sake.
    """
    moving = [(d, n) for d, n in zip(distance, count, strict=True) if d]

    def at(shift: int) -> list[int]:
        return [nearest_quotient(LEVEL * n * 2**shift, d) for d, n in moving]

    shift = 16
    while shift and max(at(shift), default=0) > MULTIPLIER_TOP and min(at(shift - 1)) >= 2:
        shift -= 1
    found = iter(min(m, MULTIPLIER_TOP) for m in at(shift))
    return [next(found) if d else 0 for d in distance], shift


def nearest_quotient(numerator: int, denominator: int) -> int:
    """numerator / denominator rounded to the nearest, halves away from 0; denominator > 0."""
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return size if numerator >= 0 else -size


@dataclass(frozen=True)
class Input:
    """What the model is fed.

    shape: of one sample. dtype: uint8, int8, uint16 or int16, the type of the raw integers that
    the C takes. range: the least and greatest raw value, by default all of dtype; the C limits
    what it is given to this range. scale: how raw integers become the network's input.
    """

    shape: tuple[int, ...]
    dtype: str = "uint8"
    range: tuple[int, int] | None = None
    scale: Scale | None = None

    def __post_init__(self) -> None:
        given: object = self.shape
        shape = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        object.__setattr__(self, "shape", shape)
        if not shape or not all(is_whole(n) and n >= 1 for n in self.shape):
            raise ModelError(f"input: shape is {self.shape!r}; give one or more positive sizes")
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        if self.features > MAX_FEATURES:
            raise ModelError(f"input: {self.features} features; the limit is {MAX_FEATURES}")
        if self.dtype not in INPUT_DTYPES:
            raise ModelError(f"input: dtype is {self.dtype!r}; known are {', '.join(INPUT_DTYPES)}")
        low, high = INT_LIMITS[self.dtype]
        if self.range is not None:
            if not (is_rising_pair(self.range) and low <= self.range[0] and self.range[1] <= high):
                raise ModelError(
                    f"input: range is {self.range}; it must rise within {low}..{high} of "
                    f"{self.dtype}"
                )
            object.__setattr__(self, "range", tuple(int(end) for end in self.range))
        scale: object = self.scale
        if scale is not None and not isinstance(scale, Scale):
            raise ModelError(f"input: scale is {scale!r}; give a Scale(...)")
        if self.scale is not None:
            self.scale.columns(self.features)

    @property
    def features(self) -> int:
        """Values of one sample."""
        count = 1
        for n in self.shape:
            count *= n
        return count

    @property
    def limits(self) -> Range:
        """Every raw value that a sample may have."""
        return Range(*(self.range or INT_LIMITS[self.dtype]))

    def describe(self) -> tuple[str, ...]:
        """The input in the model's canonical text."""
        shape = " x ".join(str(n) for n in self.shape)
        line = f"input {shape} {self.dtype} {self.limits.low}..{self.limits.high}"
        return (line,) if self.scale is None else (line, self.scale.describe())


@dataclass(frozen=True)
class Model:
    """A network and how it learns.

    name: the prefix of every C symbol and file. layers: in order from the input. rule:
    CrossEntropyDFA, CrossEntropyBackprop, DFA or Backprop. seed: of all random numbers,
    0..2**32 - 1. ModelError says what is wrong.
    """

    name: str
    input: Input
    layers: tuple[Layer, ...]
    rule: Rule
    seed: int = 1

    def __init__(
        self, name: str, input: Input, layers: Sequence[Layer], rule: Rule, seed: int = 1
    ) -> None:
        given: object = layers
        if not isinstance(given, (list, tuple)):
            raise ModelError(f"model {name}: layers is {layers!r}; give a list of layers")
        for field, value in (
            ("name", name),
            ("input", input),
            ("layers", tuple(layers)),
            ("rule", rule),
            ("seed", seed),
        ):
            object.__setattr__(self, field, value)
        make_plain(self)
        self.check()

    @classmethod
    def for_data(
        cls,
        name: str,
        x: ArrayLike,
        y: ArrayLike,
        hidden: Sequence[int] = (100, 50),
        epochs: int = 100,
        seed: int = 1,
        **options: Any,
    ) -> Model:
        """A classifier for training data: its input, scaling and shifts chosen by fixed rules.

        x: (samples, …) raw integers of at most 16 bits; the model takes their type, or the
        narrowest that holds them. y: (samples,) labels 0, 1, …. hidden: units of the hidden layers,
        each with pocket_tanh. epochs: for how many it will be trained; the more samples it will see
        in all, the smaller the learning rate. options: of CrossEntropyDFA, in place of its
        defaults. The scaling: see Scale.auto. DataError for data that are no integers or empty and
        for labels that do not belong to them; ModelError for the rest.
        """
        samples, labels = array_of(x, "input"), array_of(y, "labels")
        check_samples(name, samples)
        check_labels(name, labels, len(samples))
        if not (is_whole(epochs) and epochs >= 1):
            raise ModelError(f"model {name}: epochs is {epochs!r}; give a whole number from 1 on")
        units: object = hidden
        if not isinstance(units, (list, tuple)):
            raise ModelError(f"model {name}: hidden is {hidden!r}; give a list of units")
        options = {"rate_shift": rate_shift(len(samples) * epochs), **options}
        return cls(
            name,
            Input(samples.shape[1:], narrowest_input(samples), scale=Scale.auto(samples)),
            [*(Dense(units) for units in hidden), Dense(int(labels.max()) + 1, "identity")],
            CrossEntropyDFA(**options),
            seed,
        )

    def check(self) -> None:
        """Raise ModelError for the first thing that is wrong."""
        check_name(self.name)
        given: object = self.input
        if not isinstance(given, Input):
            raise ModelError(f"model {self.name}: input is {self.input!r}; give an Input(...)")
        if not self.layers:
            raise ModelError(f"model {self.name}: no layers; give at least one, such as Dense(10)")
        for index, layer in enumerate(self.layers, 1):
            if type(layer) not in LAYERS.values():
                raise ModelError(
                    f"layer {index}: unknown layer {layer!r}; known are {', '.join(LAYERS)}"
                )
            layer.check(index)
        if type(self.rule) not in RULES.values():
            raise ModelError(
                f"model {self.name}: unknown rule {self.rule!r}; known are {', '.join(RULES)}"
            )
        self.rule.check()
        for layer, site in zip(self.layers, self.sites(), strict=True):
            layer.check_site(site)
        seed = self.seed
        if not (is_whole(seed) and 0 <= seed <= SEED_LIMIT):
            raise ModelError(f"model {self.name}: seed is {seed!r}; the range is 0..{SEED_LIMIT}")

    @property
    def in_shapes(self) -> tuple[tuple[int, ...], ...]:
        """What each layer is fed, layer by layer."""
        shapes = [self.input.shape]
        for layer in self.layers[:-1]:
            shapes.append(layer.output_shape(shapes[-1]))
        return tuple(shapes)

    @property
    def classes(self) -> int:
        """Elements of the output."""
        count = 1
        for n in self.layers[-1].output_shape(self.in_shapes[-1]):
            count *= n
        return count

    @property
    def drop(self) -> int:
        """Eighths of the inputs that training sets to 0."""
        return self.rule.drop(self.input.features)

    @property
    def fraction(self) -> int:
        """Prediction needs only trained weights / fraction, rounded down; 1: all of them."""
        int8 = self.rule.int8(1, last=False)
        return 1 if int8 is None else int8.fraction

    @property
    def layout(self) -> tuple[str, ...]:
        """The lines that decide what stored weights mean: input and layers, not how they learn."""
        layers = zip(self.layers, self.in_shapes, strict=True)
        lines = [f"layer {k} {layer.describe(shape)}" for k, (layer, shape) in enumerate(layers, 1)]
        for k, (layer, shape) in enumerate(zip(self.layers, self.in_shapes, strict=True)):
            int8 = self.rule.int8(layer.fans(shape)[0], k + 1 == len(lines))
            if int8 is not None:
                lines[k] += f", 8 bits of {int8.dtype} weights, sums / {int8.divisor}"
        if self.drop:
            lines.append(f"dropout {self.drop}/8 of the input")
        return (f"model {self.name}", *self.input.describe(), *lines)

    @property
    def description(self) -> tuple[str, ...]:
        """The canonical text: the same for equal models, different for different ones."""
        return (*self.layout, *self.rule.describe(), f"seed {self.seed}")

    @property
    def layout_digest(self) -> int:
        """64 bits of the SHA-256 of the layout; blobs of weights carry it."""
        text = "\n".join((*self.layout, repr(self.input.scale)))
        return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)

    def sites(self, training: bool = True) -> tuple[Site, ...]:
        """Where each layer stands in the program."""
        first = "x" if self.reads_raw and not self.drop else "a0"
        last = len(self.layers)
        return tuple(
            Site(
                index,
                first if index == 1 else f"a{index - 1}",
                shape,
                self.rule.target_magnitude if index == last else 0,
                self.rule.batch,
                self.rule.wide_sums,
                training,
                self.rule.int8(layer.fans(shape)[0], index == last),
                index == last,
            )
            for index, (layer, shape) in enumerate(zip(self.layers, self.in_shapes, strict=True), 1)
        )

    @property
    def reads_raw(self) -> bool:
        """Whether the first layer reads the caller's integers as they are."""
        return self.input.scale is None and self.input.range in (
            None,
            INT_LIMITS[self.input.dtype],
        )


def check_samples(name: str, x: Array) -> None:
    """DataError where x cannot train a model: no integers, none at all, or no features."""
    whole_samples(x)
    if x.ndim < 2:
        raise DataError(f"model {name}: input has shape {x.shape}; give (samples, features)")


def check_labels(name: str, y: Array, samples: int) -> None:
    """DataError where y is not one label 0, 1, … for each sample, of two classes or more."""
    if y.dtype.kind not in "iu" or y.shape != (samples,):
        raise DataError(
            f"model {name}: labels have shape {y.shape} and dtype {y.dtype}; give "
            f"one integer for each of {samples} samples"
        )
    if y.min() < 0 or y.max() < 1:
        raise DataError(
            f"model {name}: labels are {y.min()}..{y.max()}; count classes from 0, at least two"
        )


def narrowest_input(x: Array) -> str:
    """The type of raw values: x's own where the C can take it, else the narrowest that holds x."""
    if x.dtype.name in INPUT_DTYPES:
        return str(x.dtype.name)
    for dtype in INPUT_DTYPES:
        low, high = INT_LIMITS[dtype]
        if x.min() >= low and x.max() <= high:
            return dtype
    raise DataError(
        f"input: values {x.min()}..{x.max()}; the C takes at most 16 bits: divide them first"
    )


def rate_shift(seen: int) -> int:
    """CrossEntropyDFA's rate_shift for training that sees so many samples, repeats included."""
    return RATE_SHIFT + sum(seen >= enough for enough in RATE_SAMPLES)


def check_name(name: str) -> None:
    """Raise ModelError for a name that cannot prefix C symbols on every compiler."""
    given: object = name
    if not isinstance(given, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", given):
        raise ModelError(
            f"model name {name!r} cannot be a C prefix; use letters, digits and _ after a letter"
        )
    if len(name) > MAX_NAME:
        raise ModelError(f"model name {name!r} has {len(name)} characters; the limit is {MAX_NAME}")
    if name.lower() in C_WORDS.split():
        raise ModelError(f"model name {name!r} is a word of C or C++; choose another, {name}_net")
    if name.lower() in HEADERS.split():
        raise ModelError(f"model name {name!r} makes {name}.h, a header of C; choose {name}_net")
    if TYPES.fullmatch(name):
        raise ModelError(f"model name {name!r} makes {name}_t, a type of C; choose {name}_net")
    if "__" in name or name.endswith("_"):
        raise ModelError(
            f"model name {name!r} would make symbols with two underscores, which C++ reserves"
        )


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint such as "did you mean 'x'? ", or nothing."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}? " if near else ""
