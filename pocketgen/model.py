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
from pocketgen.ir import Range
from pocketgen.layers import LAYERS, Layer, Site
from pocketgen.rules import RULES, Rule

INPUT_DTYPES = ("uint8", "int8", "uint16", "int16")
SCALED_LIMITS = {"int8": (-127, 127), "uint8": (0, 255), "int16": (-32767, 32767)}
MAX_FEATURES = 65535
MULTIPLIER_LIMIT = 2**24
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
    def fit(cls, x: ArrayLike, dtype: str = "int8", per_feature: bool = False) -> Scale:
        """The scale that maps the range seen in x (samples, features) onto dtype's range.

        x: the raw integers of the training data. int8 and int16 are centred on the middle of what
        was seen; uint8 starts at its least value. DataError for an empty or non-integer x.
        """
        data = np.asarray(x)
        if data.size == 0 or data.dtype.kind not in "iu":
            raise DataError(
                f"scale: needs integer training data, got {data.size} values of {data.dtype}"
            )
        flat = wide(data).reshape(len(data), -1)
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
    CrossEntropyDFA, DFA or Backprop. seed: of all random numbers, 0..2**32 - 1. ModelError says
    what is wrong.
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
    def layout(self) -> tuple[str, ...]:
        """The lines that decide what stored weights mean: input and layers, not how they learn."""
        layers = zip(self.layers, self.in_shapes, strict=True)
        lines = [f"layer {k} {layer.describe(shape)}" for k, (layer, shape) in enumerate(layers, 1)]
        int8 = self.rule.int8
        if int8 is not None:
            lines.append(f"forward weights of 8 bits, of {int8.dtype}")
        if self.rule.drop:
            lines.append(f"input scaled by {8 - self.rule.drop}/8")
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
        first = "x" if self.reads_raw and not self.rule.drop else "a0"
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
                self.rule.int8,
                index == last,
            )
            for index, shape in enumerate(self.in_shapes, 1)
        )

    @property
    def reads_raw(self) -> bool:
        """Whether the first layer reads the caller's integers as they are."""
        return self.input.scale is None and self.input.range in (
            None,
            INT_LIMITS[self.input.dtype],
        )


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
