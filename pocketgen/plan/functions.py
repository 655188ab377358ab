"""What the C does: one function for each different use of a kernel, and the calls of them.

In: steps. Out: everything that the kernels' templates ask for, and call lines with their notes.
Not here: where buffers are (places), comments and sizes of the public interface (texts).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from pocketgen.ir import Accumulator, Program, Step
from pocketgen.plan.places import Places, is_constant
from pocketgen.plan.words import c_type, number, short_type, unsigned, wrapped

SCALAR_TYPES = {"label": "uint16_t", "count": "uint16_t", "row": "uint16_t", "seed": "uint32_t"}
PASSED_TYPES = {
    "n": "uint32_t",
    "streams": "uint32_t",
    "stream": "uint32_t",
    "limit": "uint16_t",
    "centre": "int16_t",
}
PER_ELEMENT = {"noise": "noise++"}  # what an update kernel hands to each element a new one of
# Sizes that count something, as those of the arguments' shapes do.
COUNTS = ("tile", "block", "words", "streams", "stream")
HIDDEN_SIZES = ("headroom",)  # what bounds needs to know, but no template prints


@dataclass(frozen=True)
class Operand:
    """A kernel's argument inside its C function."""

    name: str
    type: str
    flash: str = ""

    @property
    def wide(self) -> str:
        """The type in which arithmetic on it is done: 32 bits, or 64 where it has 64."""
        return "int64_t" if self.type == "int64_t" else "int32_t"

    @property
    def zero(self) -> str:
        """0 of its sign."""
        return "0u" if self.type.startswith("u") else "0"

    @property
    def one(self) -> str:
        """1 of its sign."""
        return "1u" if self.type.startswith("u") else "1"

    def at(self, index: str, row: str = "") -> str:
        """One element, of the whole or of a row in it, read from flash where it is there."""
        element = f"{row or self.name}[{index}]"
        return f"{self.flash}(&{element})" if self.flash else element


@dataclass(frozen=True)
class Sum:
    """An accumulator inside a kernel's C function."""

    type: str
    note: str
    worst: int

    @classmethod
    def of(cls, accumulator: Accumulator) -> Sum:
        """With the proof that the type suffices."""
        note = f"|{accumulator.name}| <= {accumulator.worst}, limit {accumulator.limit}"
        return cls(f"{accumulator.dtype}_t", note, accumulator.worst)


@dataclass(frozen=True)
class Call:
    """One line of a public function, and what it does."""

    note: str
    text: str


@dataclass(frozen=True)
class Block:
    """Calls that run together: in a loop over the samples of a batch, or once."""

    per_sample: bool
    calls: tuple[Call, ...]


class Workshop:
    """Makes one C function for each different use of a kernel, in the order of first use."""

    def __init__(self, program: Program, places: Places) -> None:
        self.program = program
        self.places = places
        self.made: dict[tuple[Any, ...], SimpleNamespace] = {}
        self.names: set[str] = set()
        self.fresh: list[SimpleNamespace] = []
        self.functions: list[SimpleNamespace] = []

    def take(self) -> tuple[tuple[SimpleNamespace, ...], tuple[SimpleNamespace, ...]]:
        """The kernels and integer functions made since the last call, for one C file."""
        kernels, functions = tuple(self.fresh), in_order(self.functions)
        self.fresh, self.functions, self.made, self.names = [], [], {}, set()
        return kernels, functions

    def calls(self, steps: Iterable[Step], row: str) -> tuple[Call, ...]:
        """Steps as calls; row: the C expression for the current sample's row, if any."""
        return tuple(self.call(step, row) for step in steps)

    def call(self, step: Step, row: str) -> Call:
        """One step as a call with its arguments."""
        kernel = self.kernel(step)
        arguments = [
            self.reference(step.operands[arg.name], row, changed=arg.direction != "in")
            for arg in step.kernel.args
            if arg.name in step.operands
        ]
        if step.update is not None:
            arguments += [self.argument(name, row) for name in step.update.operands.values()]
        arguments += [passed_number(size, step.sizes[size]) for size in step.kernel.passed]
        indent = 8 if row == "i" else 4
        return Call(step.note, wrapped(f"{kernel.name}(", arguments, ");", indent))

    def reference(self, name: str, row: str, changed: bool) -> str:
        """A buffer as an argument; a scalar that the kernel changes by its address."""
        scalar = not self.program.buffers[name].shape
        return f"{'&' if scalar and changed else ''}{self.argument(name, row)}"

    def argument(self, name: str, row: str) -> str:
        """A buffer as the calling function writes it."""
        buffer = self.program.buffers[name]
        if buffer.role in ("count", "seed"):
            return name
        if buffer.role == "row":
            return name if self.program.batch > 1 else "0"
        if buffer.role in ("input", "label", "target"):
            # The forward functions are handed one sample, the training function a whole batch.
            if row != "i":
                return name
            return (
                f"{name}[i]"
                if not buffer.shape
                else f"{name} + (size_t)i * {unsigned(buffer.size)}"
            )
        if is_constant(buffer):
            return f"{self.program.name}_{name}"
        member = f"net->{self.places.member[name]}"
        if buffer.per_sample and buffer.kept and row and self.program.batch > 1:
            return f"{member} + (size_t){row} * {unsigned(buffer.size)}"
        return member

    def kernel(self, step: Step) -> SimpleNamespace:
        """The C function for a step, made where no earlier step has the same."""
        update = None
        if step.update is not None:
            moved = self.program.buffers[step.names("inout")[0]]
            update = self.kernel(typed_update(step, moved.dtype))
        operands = {
            arg.name: self.operand(step, arg.name) if arg.name in step.operands else None
            for arg in step.kernel.args
        }
        hidden = (*HIDDEN_SIZES, *step.kernel.passed)
        printed = {n: v for n, v in step.sizes.items() if n not in hidden}
        key = (
            step.kernel.name,
            tuple(operands.items()),
            tuple(printed.items()),
            tuple((a.name, a.dtype) for a in step.accumulators),
            update.name if update else "",
        )
        if key not in self.made:
            self.made[key] = self.make(step, operands, printed, update)
            self.fresh.append(self.made[key])
        made = self.made[key]
        for accumulator in step.accumulators:  # a function's limits hold for all its callers
            name = sum_name(accumulator, operands)
            if accumulator.worst > getattr(made, name).worst:
                setattr(made, name, Sum.of(accumulator))
        return made

    def make(
        self,
        step: Step,
        operands: Mapping[str, Operand | None],
        printed: Mapping[str, int],
        update: SimpleNamespace | None,
    ) -> SimpleNamespace:
        """Everything that a kernel's template asks for."""
        kernel = step.kernel
        counts = {*COUNTS, *(size for arg in kernel.args for size in arg.shape)}
        sums = {sum_name(a, operands): Sum.of(a) for a in step.accumulators}
        functions = self.primitives(step, operands)
        passed = () if step.update is None else tuple(step.update.operands)
        name = self.fresh_name(f"{self.program.name}_{kernel.name}", step)
        moved = operands.get("w")
        result = moved.type if kernel.element and moved else "void"
        return SimpleNamespace(
            **operands,
            **{n: number(n, v, n in counts) for n, v in printed.items()},
            **sums,
            **functions,
            name=name,
            template=f"kernels/{kernel.name}.c.j2",
            comment=kernel.equation,
            signature=self.signature(step, name, result),
            update=update.name if update else "",
            count_clamped=f"{self.program.name.upper()}_COUNT_CLAMPED",
            portable=f"{self.program.name.upper()}_PORTABLE",
            passed="".join(f", {PER_ELEMENT.get(name, name)}" for name in passed),
            noisy="noise" in passed,
            inference=not self.program.training,
        )

    def fresh_name(self, base: str, step: Step) -> str:
        """A C name from the sizes that tell instances apart; a count where those do not."""
        base = "_".join([base, *(str(step.sizes[size]) for size in step.kernel.label)])
        name, count = base, 1
        while name in self.names:
            count += 1
            name = f"{base}_{count}"
        self.names.add(name)
        return name

    def operand(self, step: Step, name: str) -> Operand:
        """A kernel's argument: its C type and, for a table, how flash is read."""
        if step.operands[name].startswith("="):  # an element kernel's own, typed by its caller
            return Operand(name, step.operands[name][1:])
        buffer = self.program.buffers[step.operands[name]]
        if buffer.role in SCALAR_TYPES:
            return Operand(name, SCALAR_TYPES[buffer.role])
        flash = ""
        if is_constant(buffer):
            flash = f"{self.program.name.upper()}_READ_{short_type(buffer.dtype).upper()}"
        return Operand(name, c_type(buffer.dtype), flash)

    def signature(self, step: Step, name: str, result: str) -> str:
        """The head of the C function, wrapped at 100 columns."""
        parameters = []
        for arg in step.kernel.args:
            if arg.name not in step.operands:
                continue
            type_name = self.operand(step, arg.name).type
            if not arg.shape and (arg.direction == "in" or step.kernel.element):
                parameters.append(f"{type_name} {arg.name}")
            elif arg.direction == "in":
                parameters.append(f"const {type_name} *{arg.name}")
            else:
                parameters.append(f"{type_name} *{arg.name}")
        if step.update is not None:
            parameters += [
                f"{c_type(self.program.buffers[buffer].dtype)} {arg}"
                for arg, buffer in step.update.operands.items()
            ]
        parameters += [f"{PASSED_TYPES[size]} {size}" for size in step.kernel.passed]
        return wrapped(f"static {result} {name}(", parameters, ")", 0)

    def primitives(self, step: Step, operands: Mapping[str, Operand | None]) -> dict[str, str]:
        """The integer functions that a kernel calls, as <function>_<what decides its type>."""
        types = {a.name: f"{a.dtype}_t" for a in step.accumulators}
        types |= {name: operand.wide for name, operand in operands.items() if operand}
        result = {}
        for primitive in step.kernel.primitives:
            function, _, source = primitive.partition(":")
            type_name = types[source] if source else ""
            if primitive == "clamp:gradient" and not step.sizes["gradient_limit"]:
                continue  # the step that calls it is not printed
            made = integer_function(self.program.name, function, type_name)
            if made not in self.functions:
                self.functions.append(made)
            result[f"{function}_{source}" if source else function] = made.name
        return result


def passed_number(size: str, value: int) -> str:
    """A size that is handed over at a call, as a number of its parameter's type."""
    return unsigned(value) if PASSED_TYPES[size].startswith("u") else f"{value}"


def typed_update(step: Step, moved: str) -> Step:
    """The element kernel of an update step, with the types of the elements it is handed."""
    assert step.update is not None
    gradient = next(a for a in step.accumulators if a.name == "gradient")
    elements = {"w": f"={c_type(moved)}", "gradient": f"={gradient.dtype}_t"}
    return replace(step.update, operands={**elements, **step.update.operands})


def integer_function(prefix: str, function: str, type_name: str) -> SimpleNamespace:
    """One integer function in one type, named for both."""
    suffix = f"_{short_type(type_name[:-2])}" if type_name else ""
    return SimpleNamespace(
        name=f"{prefix}_{function}{suffix}",
        template=f"intmath/{function}.c.j2",
        function=function,
        type=type_name,
        unsigned=f"u{type_name}",
    )


def in_order(functions: Iterable[SimpleNamespace]) -> tuple[SimpleNamespace, ...]:
    """Integer functions so that each stands after those it calls."""
    order = (
        *("div_trunc", "div_pow2", "floor_pow2", "clamp"),
        *("high_bits", "mix", "stream_key", "drop_word", "draw_symmetric"),
    )
    return tuple(sorted(functions, key=lambda f: (order.index(f.function), f.name)))


def sum_name(accumulator: Accumulator, operands: Mapping[str, Operand | None]) -> str:
    """How a template calls an accumulator: by its name, or sum_<name> where an argument has it."""
    return f"sum_{accumulator.name}" if accumulator.name in operands else accumulator.name


def train_blocks(program: Program, shop: Workshop) -> tuple[Block, ...]:
    """The steps of training, those in a row that run once for each sample in one loop."""
    groups: list[tuple[bool, list[Call]]] = []
    for step in program.train:
        per_sample = step.loop == "sample"
        call = shop.call(step, "i" if per_sample else "")
        if groups and groups[-1][0] == per_sample:
            groups[-1][1].append(call)
        else:
            groups.append((per_sample, [call]))
    return tuple(Block(per_sample, tuple(calls)) for per_sample, calls in groups)
