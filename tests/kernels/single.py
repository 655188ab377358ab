"""One kernel alone, told three times: plain Python integers, numpy's run, and compiled C.

A test of a kernel lists its `Variant`s, writes its equation by hand (`by_hand`: nested lists of
plain integers in, the same out), and lets `Twin.agree` compare the three. Types, limits and the
kernel's C function come from the pipeline: a program of one step goes through bounds and through
the plan's workshop. All variants of a test file are one C file, compiled once.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cffi import FFI
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from pocketgen.bounds import bounds
from pocketgen.host import compiler
from pocketgen.ir import Buffer, Kernel, Program, Range, Step
from pocketgen.plan import Places, Workshop
from pocketgen.plan.words import COLUMNS
from pocketgen.render import environment

KINDS = ("random", "extreme", "ramp")
INT32 = Range.symmetric(2**31 - 1)
INT16 = Range.symmetric(32767)
INT8 = Range(-128, 127)
FLAGS = ("-std=c99", "-O1", "-g", "-fPIC", "-shared", "-pedantic", "-Wall", "-Wextra", "-Wshadow",
         "-Wconversion", "-Wsign-conversion", "-Werror")  # fmt: skip
SANITIZER = ("-fsanitize=undefined",)
GUARD = 8  # elements before and behind every array that C may write
GARBAGE = 0x5A  # every byte of an array before something is written there

ROLES = {
    "label": "label",
    "n": "count",
    "row": "row",
    "seed": "seed",
    "lr_shift": "state",
    "rate": "state",
    "step": "state",
    "W": "weight",
    "w": "weight",
    "b": "bias",
}
# What all samples of a batch share; everything else has a row for each.
SHARED = {"W", "w", "b", "R", "offset", "multiplier", "table", "n", "seed", "lr_shift"}
SHARED |= {"rate", "step", "key", "noise"}
FIXED_TYPES = {
    "label": "uint16",
    "n": "uint16",
    "row": "uint16",
    "seed": "uint32",
    "lr_shift": "uint8",
    "rate": "uint8",
    "step": "uint32",
    "key": "uint32",
    "noise": "uint32",
    "W": "int16",
    "w": "int16",
    "b": "int16",
}


# --- plain integers -----------------------------------------------------------------------------


def trunc(n: int, d: int) -> int:
    """The quotient without its fraction, as C99 divides."""
    size = abs(n) // abs(d)
    return size if (n < 0) == (d < 0) else -size


def limited(x: int, low: int, high: int) -> int:
    return min(max(x, low), high)


def scattered(word: int) -> int:
    """The 32-bit random number of a counter."""
    word %= 2**32
    word ^= word // 2**16
    word = word * 0x7FEB352D % 2**32
    word ^= word // 2**15
    word = word * 0x846CA68B % 2**32
    return word ^ word // 2**16


def key_of(seed: int, stream: int) -> int:
    return scattered(seed ^ scattered(stream))


def drawn(key: int, index: int, limit: int) -> int:
    """Number index of a stream in [-limit, limit] without 0."""
    place = (scattered(key + index) // 2**16) * 2 * limit // 2**16  # 0 .. 2 * limit - 1
    return place - limit if place < limit else place - limit + 1


def every(values: Range) -> range:
    return range(values.low, values.high + 1)


def spanned(values: Iterable[int]) -> Range:
    seen = sorted(values)
    return Range(seen[0], seen[-1])


def partial_sums(terms: Iterable[int], start: int | None = None) -> list[int]:
    """What an accumulator holds on its way, the sum last."""
    sums = [] if start is None else [start]
    for term in terms:
        sums.append(term + (sums[-1] if sums else 0))
    return sums


# --- a kernel in a program of its own -----------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """One use of a kernel.

    ranges: every value of each input; types follow from them. sizes: compile-time constants.
    flash: inputs that are tables. without: optional outputs that are left out. dtypes: of inputs
    whose type is not the narrowest. update: sizes of the element kernel `element`, if it has one.
    samples: rows in a test.
    """

    kernel: Kernel
    ranges: Mapping[str, Range]
    sizes: Mapping[str, int] = field(default_factory=dict)
    flash: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    dtypes: Mapping[str, str] = field(default_factory=dict)
    element: Kernel | None = None
    update: Mapping[str, int] = field(default_factory=dict)
    samples: int = 5

    def buffer(self, name: str) -> Buffer:
        shape = next((arg.shape for arg in self.kernel.args if arg.name == name), ())
        limits = self.ranges.get(name)
        narrowest = limits.dtype() if limits else ""
        role = ROLES.get(name, "scratch")
        return Buffer(
            name,
            "table" if name in self.flash else role,
            tuple(self.sizes[size] for size in shape if size in self.sizes),
            self.dtypes.get(name) or FIXED_TYPES.get(name, narrowest),
            limits,
            per_sample=name not in SHARED,
        )

    def program(self, name: str) -> Program:
        """The kernel as the only step of a program, with ranges."""
        operands = {arg.name: arg.name for arg in self.kernel.args if arg.name not in self.without}
        update = None
        if self.element is not None:
            _w, _gradient, *own = (arg.name for arg in self.element.args)
            update = Step(self.element, {name: name for name in own}, self.update, "")
        step = Step(self.kernel, operands, self.sizes, "", 1, "sample", update)
        names = [*operands, *([] if update is None else update.operands)]
        return bounds(
            Program(
                name=name,
                summary="",
                digest="",
                layout_digest=0,
                description=(),
                seed=0,
                batch=self.sizes.get("batch", self.samples),
                classes=1,
                training=True,
                input="",
                input_range=Range(0, 0),
                output="",
                buffers={name: self.buffer(name) for name in names},
                init=(),
                forward=(step,),
                train=(),
            )
        )

    @property
    def accumulators(self) -> dict[str, str]:
        """The type of every accumulator, as bounds decides it."""
        (step,) = self.program("k").forward
        return {a.name: a.dtype for a in step.accumulators}


class Twin:
    """A variant at work, in numpy and in C."""

    def __init__(self, variant: Variant, name: str) -> None:
        self.variant = variant
        self.program = variant.program(name)
        (self.step,) = self.program.forward
        shop = Workshop(self.program, Places((), {}))
        self.function = shop.kernel(self.step)
        self.kernels, self.functions = shop.take()
        self.library: Any = None
        self.ffi: Any = None

    # - data

    @property
    def inputs(self) -> dict[str, Buffer]:
        return {name: self.program.buffers[name] for name in self.variant.ranges}

    def shape(self, buffer: Buffer) -> tuple[int, ...]:
        return (self.variant.samples, *buffer.shape) if buffer.per_sample else buffer.shape

    def data(self, kind: str, seed: int = 0) -> dict[str, np.ndarray]:
        """Every input: random, nothing but extremes, or a ramp of period 251."""
        rng = np.random.default_rng(seed)
        result = {}
        for name, buffer in self.inputs.items():
            low, high = buffer.proven.low, buffer.proven.high
            shape = self.shape(buffer)
            count = int(np.prod(shape, dtype=int))
            if kind == "random":
                values = [int(v) for v in rng.integers(low, high, count, endpoint=True)]
            elif kind == "extreme":
                values = [(low, high)[int(v)] for v in rng.integers(0, 2, count)]
            else:
                values = [low + (k % 251) % (high - low + 1) for k in range(count)]
            result[name] = np.array(values, buffer.dtype).reshape(shape)
        return self.whole(result)

    def drawn(self, draw: Callable[[Any], Any]) -> dict[str, np.ndarray]:
        """Every input as hypothesis likes it."""
        return self.whole(
            {
                name: draw(
                    numpy_strategies.arrays(
                        buffer.dtype,
                        self.shape(buffer),
                        elements=st.integers(buffer.proven.low, buffer.proven.high),
                    )
                )
                for name, buffer in self.inputs.items()
            }
        )

    def whole(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same data; where it comes with a number of samples, only these."""
        if "n" not in data:
            return dict(data)
        n = int(data["n"])
        assert n <= self.variant.samples, "the C would read behind the samples"
        return {
            name: values[:n] if self.program.buffers[name].per_sample else values
            for name, values in data.items()
        }

    # - the three ways

    def agree(
        self,
        by_hand: Callable[..., Mapping[str, Any]],
        data: str | Mapping[str, np.ndarray],
    ) -> dict[str, np.ndarray]:
        """The results, after comparing plain Python, numpy and C bit for bit.

        by_hand is called with every input by name as (nested lists of) plain integers, and with
        every size that it asks for; it returns every output alike.
        """
        given = self.data(data) if isinstance(data, str) else dict(data)
        sizes = {**(self.step.update.sizes if self.step.update else {}), **self.step.sizes}
        known = {**sizes, **{name: values.tolist() for name, values in given.items()}}
        expected = by_hand(**{name: known[name] for name in signature(by_hand).parameters})
        in_numpy = self.by_numpy(given)
        in_c = self.by_c(given)
        assert set(in_numpy) == set(in_c) <= set(expected)
        for name, values in in_numpy.items():
            np.testing.assert_array_equal(
                values, np.array(expected[name], object), f"numpy and plain Python differ in {name}"
            )
            np.testing.assert_array_equal(in_c[name], values, f"C and numpy differ in {name}")
            limits = self.program.buffers[name].proven
            assert limits.low <= int(values.min()) <= int(values.max()) <= limits.high, name
        return in_numpy

    def outputs(self, data: Mapping[str, np.ndarray], memory: dict[str, np.ndarray]) -> Any:
        """An array for every output, with garbage or with what comes in; guards around it."""
        rows = len(next((v for name, v in data.items() if name not in SHARED), [0]))
        results = {}
        for name in self.step.names("out", "inout"):
            buffer = self.program.buffers[name]
            shape = (rows, *buffer.shape) if buffer.per_sample else buffer.shape
            count = int(np.prod(shape, dtype=int))
            size = (count + 2 * GUARD) * np.dtype(buffer.dtype).itemsize
            memory[name] = np.frombuffer(bytearray([GARBAGE]) * size, buffer.dtype)
            results[name] = memory[name][GUARD : GUARD + count].reshape(shape)
            if name in data:
                results[name][...] = data[name]
        return results

    def by_numpy(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = self.outputs(data, {})
        operands: dict[str, Any] = {
            name: int(values) if name in ("n", "seed") else values
            for name, values in {**data, **results}.items()
            if name in self.step.operands
        }
        update = self.step.update
        if update is not None:

            def element(w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
                own = {name: data[name] for name in update.operands}
                return update.kernel.run(w, gradient, **own, sizes=update.sizes)

            operands["update"] = element
        self.step.kernel.run(**operands, sizes=self.step.sizes)
        return results

    def by_c(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        memory: dict[str, np.ndarray] = {}
        results = self.outputs(data, memory)
        arrays = {**{name: np.array(values) for name, values in data.items()}, **results}
        if "n" in self.step.operands or all(name in SHARED for name in arrays):
            self.call(arrays, None)
        else:
            samples = next(v for name, v in arrays.items() if name not in SHARED)
            for row in range(len(samples)):
                self.call(arrays, row)
        for name in data.keys() - results.keys():
            np.testing.assert_array_equal(arrays[name], data[name], f"C wrote to its input {name}")
        for name, values in memory.items():
            around = values[:GUARD].tobytes() + values[-GUARD:].tobytes()
            assert set(around) == {GARBAGE}, f"C wrote beyond {name}"
        return results

    def call(self, arrays: Mapping[str, np.ndarray], row: int | None) -> None:
        """The C function, for one sample or for the whole batch."""
        arguments = []
        update, changed = self.step.update, self.step.names("out", "inout")
        names = [arg.name for arg in self.step.kernel.args if arg.name in self.step.operands]
        for name in [*names, *(update.operands if update else ())]:
            buffer = self.program.buffers[name]
            values = arrays[name]
            if row is not None and buffer.per_sample:
                values = values[row]
            if values.ndim or name in changed:
                arguments.append(self.ffi.cast(f"{buffer.dtype}_t *", self.ffi.from_buffer(values)))
            else:
                arguments.append(int(values))
        arguments += [self.step.sizes[size] for size in self.step.kernel.passed]
        getattr(self.library, self.function.name)(*arguments)


# --- one C file for the variants of a test file -------------------------------------------------

# Every function of a kernel is static; here they are to be called from outside. As in a debug
# build, it is counted how often a weight is held back by its clamp.
HEAD = """#include <stddef.h>
#include <stdint.h>
#define static
uint32_t clamped;
"""
PIECE = """
#define {{ plan.prefix | upper }}_COUNT_CLAMPED(condition) (clamped += (condition) ? 1u : 0u)
{% for type in ["I8", "I16", "I32", "U32"] %}
#define {{ plan.prefix | upper }}_READ_{{ type }}(p) (*(p))
{% endfor %}
{% include "_intmath.j2" %}
{% include "_kernels.j2" %}
"""


def c_text(twin: Twin) -> str:
    """The C functions of a twin, as their templates print them."""
    return (
        environment()
        .from_string(PIECE)
        .render(
            plan=SimpleNamespace(prefix=twin.program.name),
            functions=twin.functions,
            kernels=twin.kernels,
        )
    )


def declarations(text: str) -> str:
    """The heads of the functions in a C text, for cffi."""
    heads, head = ["extern uint32_t clamped;"], ""
    for line in text.splitlines():
        if line.startswith("static "):
            head = line
        elif line.startswith("{") and head:
            heads.append(head.removeprefix("static ") + ";")
            head = ""
        elif head:
            head += "\n" + line
    return "\n".join(heads)


def compiled(text: str) -> tuple[FFI, Any]:
    """C text as a loaded library, with checks for undefined behaviour where these can be had."""
    ffi = FFI()
    ffi.cdef(declarations(text))
    with tempfile.TemporaryDirectory(prefix="pocketgen-") as folder:
        source, library = Path(folder, "kernels.c"), Path(folder, "kernels.so")
        source.write_text(HEAD + text)
        for extra in (SANITIZER, ()):
            command = [*compiler(), *FLAGS, *extra, "-o", str(library), str(source)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if extra and result.returncode != 0:
                continue
            assert result.returncode == 0, result.stderr
            try:
                return ffi, ffi.dlopen(str(library))
            except OSError:
                if not extra:
                    raise
    raise AssertionError


def too_long(line: str) -> bool:
    """Whether C with a prefix of 12 characters does not fit; a comment of its own may be longer."""
    return len(line) > COLUMNS and not line.lstrip().startswith(("/*", "#"))


def compile_all(variants: Mapping[str, Variant], portable: bool = False) -> dict[str, Twin]:
    """A twin for every variant, all in one library; no line of C is too long for a page.

    portable: what is compiled where a compiler has no vectors.
    """
    made = {
        name: Twin(variant, f"variant_{number:04}")
        for number, (name, variant) in enumerate(variants.items())
    }
    text = "".join(
        f"#define {twin.program.name.upper()}_PORTABLE\n" * portable + c_text(twin)
        for twin in made.values()
    )
    assert [line for line in text.splitlines() if too_long(line)] == []
    ffi, library = compiled(text)
    for twin in made.values():
        twin.ffi, twin.library = ffi, library
    return made


def twins_of(variants: Mapping[str, Variant], portable: bool = False) -> Any:
    """The fixture `twins` of a test file: its variants, compiled once."""

    @pytest.fixture(scope="module")
    def twins() -> dict[str, Twin]:
        return compile_all(variants, portable)

    return twins
