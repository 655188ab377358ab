"""From a program to a plan: everything that the templates print is decided here.

In: a Program with ranges, and the self-test's vectors. Out: a Plan of strings and integers: C
names, types, fields, tables, calls, notes. Not here: the text around them (templates).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from pocketgen.intmath import INT_LIMITS
from pocketgen.ir import (
    CONSTANT_ROLES,
    PARAMETER_ROLES,
    Accumulator,
    Array,
    Buffer,
    Program,
    Step,
)
from pocketgen.selftest import FORWARD_SAMPLES, TRAINING_STEPS, Vectors

COLUMNS = 100
BLOB_VERSION = 1
BLOB_HEADER = 20
BLOB_CRC = 4
LR_SHIFT_LIMIT = 15
# Types and argument texts that belong to the C function around a call, by role.
SCALAR_TYPES = {"label": "uint16_t", "count": "uint16_t", "seed": "uint32_t"}
PASSED_TYPES = {"n": "uint32_t", "stream": "uint32_t", "limit": "uint16_t"}
# What gcc and clang call on Arm for arithmetic that a core has no instruction for.
DIVISION_32 = ("__aeabi_idiv", "__aeabi_idivmod", "__aeabi_uidiv", "__aeabi_uidivmod")
ARITHMETIC_64 = ("__aeabi_lmul", "__aeabi_ldivmod", "__aeabi_uldivmod", "__aeabi_llsr")


@dataclass(frozen=True)
class Field:
    """One member of the struct."""

    name: str
    type: str
    count: int
    note: str
    width: int = 0

    @property
    def declaration(self) -> str:
        """The member as C declares it, padded so that the notes stand in a column."""
        size = f"[{self.count}]" if self.count else ""
        return f"{self.type} {self.name}{size};".ljust(self.width)

    @property
    def bytes(self) -> int:
        """What it takes of memory."""
        return max(self.count, 1) * item_bytes(self.type)


@dataclass(frozen=True)
class Table:
    """One array of constants in flash."""

    name: str
    declaration: str
    note: str
    lines: tuple[str, ...]
    bytes: int


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

    def at(self, index: str) -> str:
        """One element, read from flash where it is there."""
        return f"{self.flash}(&{self.name}[{index}])" if self.flash else f"{self.name}[{index}]"


@dataclass(frozen=True)
class Sum:
    """An accumulator inside a kernel's C function."""

    type: str
    note: str


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


@dataclass(frozen=True)
class MemoryRow:
    """One line of the memory table."""

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int
    place: str
    note: str


@dataclass(frozen=True)
class Plan:
    """What is printed. texts: every plain value that a template asks for, by name."""

    prefix: str
    training: bool
    files: tuple[tuple[str, str], ...]
    memory: tuple[MemoryRow, ...]
    ram_bytes: int
    flash_bytes: int
    texts: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        """A value of texts, so that templates read plan.name."""
        try:
            return self.__dict__["texts"][name]
        except KeyError:
            raise AttributeError(name) from None


def plan(program: Program, vectors: Vectors, version: str) -> Plan:
    """Decide names, places and texts of the generated files."""
    prefix = program.name
    places = locate(program)
    shop = Workshop(program, places)
    forward = shop.calls(program.forward, "row" if program.training else "")
    init = shop.calls(program.init, "")
    forward_kernels, forward_functions = shop.take()
    blocks = train_blocks(program, shop)
    train_kernels, train_functions = shop.take()
    tables = {b.name: table(program, b) for b in program.buffers.values() if is_constant(b)}
    memory = memory_rows(program, places)
    fields = places.fields
    texts = {
        **naming(program, version),
        **sizes(program, fields),
        **contract(program, memory),
        **self_test(program, vectors),
        "fields": fields,
        "checks": checks(program, fields),
        "forward_functions": forward_functions,
        "forward_kernels": forward_kernels,
        "forward_tables": pick(program, tables, "scaling"),
        "forward_calls": forward,
        "train_functions": train_functions,
        "train_kernels": train_kernels,
        "train_tables": pick(program, tables, "feedback"),
        "train_blocks": blocks,
        "weight_tables": pick(program, tables, "weights"),
        "init_lines": init_lines(program, init),
        "constants": True,
    }
    return Plan(
        prefix=prefix,
        training=program.training,
        files=file_names(program),
        memory=memory,
        ram_bytes=sum(field.bytes for field in fields),
        flash_bytes=sum(t.bytes for t in tables.values()),
        texts=texts,
    )


# ---- Where things are ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    """The struct's members, and by which member each buffer is reached."""

    fields: tuple[Field, ...]
    member: Mapping[str, str]


def is_constant(buffer: Buffer) -> bool:
    """Whether a buffer is a table in flash."""
    return buffer.role in CONSTANT_ROLES or buffer.values is not None


def locate(program: Program) -> Places:
    """Struct members: kept buffers one each; scratch shares members where lifetimes allow."""
    member: dict[str, str] = {}
    fields: list[Field] = []
    for buffer in program.buffers.values():
        if buffer.role in ("input", "label", "target", "count", "seed") or is_constant(buffer):
            continue
        if buffer.per_sample and not buffer.kept:
            continue
        rows = program.batch if buffer.per_sample else 1
        count = rows * buffer.size if buffer.shape else 0
        shape = shape_text((rows, *buffer.shape) if buffer.per_sample else buffer.shape)
        note = f"{shape}: {buffer.note}" if buffer.shape else buffer.note
        fields.append(Field(buffer.name, c_type(buffer.dtype), count, note))
        member[buffer.name] = buffer.name
    for slot, (dtype, buffers) in enumerate(scratch_slots(program), 1):
        name = buffers[0].name if len(buffers) == 1 else f"scratch{slot}"
        shared = f" ({', '.join(b.name for b in buffers)})" if len(buffers) > 1 else ""
        note = f"{max(b.size for b in buffers)}: {buffers[0].note}{shared}"
        fields.append(Field(name, c_type(dtype), max(b.size for b in buffers), note))
        member |= {b.name: name for b in buffers}
    if not fields:
        fields.append(Field("unused", "uint8_t", 0, "C has no empty structs"))
    fields.sort(key=lambda field: -item_bytes(field.type))  # widest first: no padding between
    widest = max(len(field.declaration) for field in fields)
    aligned = (replace(field, width=widest) for field in fields)
    return Places(tuple(aligned), member)


def scratch_slots(program: Program) -> list[tuple[str, list[Buffer]]]:
    """Buffers that need not be kept, grouped so that those of a group never live at once."""
    steps = (*program.forward, *program.train)
    uses: dict[str, list[int]] = {}
    for time, step in enumerate(steps):
        for name in step.names("in", "out", "inout"):
            uses.setdefault(name, []).append(time)
    # The output must outlive the forward pass: callers copy it afterwards.
    uses.setdefault(program.output, []).append(len(steps))
    slots: list[tuple[str, list[Buffer], int]] = []
    for buffer in program.buffers.values():
        if not buffer.per_sample or buffer.kept or buffer.name not in uses:
            continue
        if buffer.role in ("input", "label", "target"):
            continue
        first, last = min(uses[buffer.name]), max(uses[buffer.name])
        for index, (dtype, group, free_after) in enumerate(slots):
            if dtype == buffer.dtype and free_after < first:
                slots[index] = (dtype, [*group, buffer], last)
                break
        else:
            slots.append((buffer.dtype, [buffer], last))
    return [(dtype, group) for dtype, group, _ in slots]


# ---- Kernels and calls --------------------------------------------------------------------------


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
            self.argument(step.operands[arg.name], row)
            for arg in step.kernel.args
            if arg.name in step.operands
        ]
        if step.update is not None:
            arguments += [self.argument(name, row) for name in step.update.operands.values()]
        arguments += [f"{step.sizes[size]}" for size in step.kernel.passed]
        indent = 8 if row == "i" else 4
        return Call(step.note, wrapped(f"{kernel.name}(", arguments, ");", indent))

    def argument(self, name: str, row: str) -> str:
        """A buffer as the calling function writes it."""
        buffer = self.program.buffers[name]
        if buffer.role in ("count", "seed"):
            return name
        if buffer.role in ("input", "label", "target"):
            # The forward functions are handed one sample, the training function a whole batch.
            if row != "i":
                return name
            return f"{name}[i]" if not buffer.shape else f"{name} + (size_t)i * {buffer.size}u"
        if is_constant(buffer):
            return f"{self.program.name}_{name}"
        member = f"net->{self.places.member[name]}"
        if buffer.per_sample and buffer.kept and row:
            return f"{member} + (size_t){row} * {buffer.size}u"
        return member

    def kernel(self, step: Step) -> SimpleNamespace:
        """The C function for a step, made where no earlier step has the same."""
        update = self.kernel(typed_update(step)) if step.update is not None else None
        operands = {
            arg.name: self.operand(step, arg.name) if arg.name in step.operands else None
            for arg in step.kernel.args
        }
        hidden = ("headroom", "batch", *step.kernel.passed)
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
        return self.made[key]

    def make(
        self,
        step: Step,
        operands: Mapping[str, Operand | None],
        printed: Mapping[str, int],
        update: SimpleNamespace | None,
    ) -> SimpleNamespace:
        """Everything that a kernel's template asks for."""
        kernel = step.kernel
        sums = {
            f"sum_{a.name}" if a.name in operands else a.name: sum_note(a)
            for a in step.accumulators
        }
        functions = self.primitives(step, operands)
        passed = () if step.update is None else tuple(step.update.operands)
        name = self.fresh_name(f"{self.program.name}_{kernel.name}", step)
        result = "int16_t" if kernel.element else "void"
        return SimpleNamespace(
            **operands,
            **{n: number(n, v) for n, v in printed.items()},
            **sums,
            **functions,
            name=name,
            template=f"kernels/{kernel.name}.c.j2",
            comment=kernel.equation,
            signature=self.signature(step, name, result),
            update=update.name if update else "",
            passed="".join(f", {name}" for name in passed),
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
            if not arg.shape:
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


def typed_update(step: Step) -> Step:
    """The element kernel of an update step, with the types of the elements it is handed."""
    assert step.update is not None
    gradient = next(a for a in step.accumulators if a.name == "gradient")
    elements = {"w": "=int16_t", "gradient": f"={gradient.dtype}_t"}
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
    order = ("div_trunc", "div_pow2", "clamp", "mix", "stream_key", "draw_symmetric")
    return tuple(sorted(functions, key=lambda f: (order.index(f.function), f.name)))


def sum_note(accumulator: Accumulator) -> Sum:
    """An accumulator's C type and the proof that it suffices."""
    return Sum(
        f"{accumulator.dtype}_t",
        f"|{accumulator.name}| <= {accumulator.worst}, limit {accumulator.limit}",
    )


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


def init_lines(program: Program, calls: Sequence[Call]) -> tuple[str, ...]:
    """The body of p_init."""
    seeded = any("seed" in step.operands.values() for step in program.init)
    unused = () if seeded else ("(void)seed; /* nothing here is random */",)
    if not program.training:
        return ("(void)net; /* the weights are constants */", *unused)
    states = tuple(f"net->{b.name} = 0;" for b in program.buffers.values() if b.role == "state")
    return (*unused, *states, *(call.text for call in calls))


# ---- Tables and memory --------------------------------------------------------------------------


def table(program: Program, buffer: Buffer) -> Table:
    """A constant buffer as a C table."""
    assert buffer.values is not None
    own_file = buffer.role in PARAMETER_ROLES or buffer.name.endswith("_initial")
    name = f"{program.name}_{buffer.name}"
    storage = "const" if own_file else "static const"
    declaration = (
        f"{storage} {c_type(buffer.dtype)} {name}[{buffer.size}] {program.name.upper()}_FLASH"
    )
    return Table(
        name,
        declaration,
        f"{shape_text(buffer.shape)}: {buffer.note}",
        number_lines(buffer.values),
        buffer.size * item_bytes(c_type(buffer.dtype)),
    )


def pick(program: Program, tables: Mapping[str, Table], which: str) -> tuple[Table, ...]:
    """The tables of one C file: scaling in the forward file, feedback in the training file."""

    def kind(buffer: Buffer) -> str:
        if buffer.role == "feedback":
            return "feedback"
        return "scaling" if buffer.name in ("offset", "multiplier") else "weights"

    return tuple(t for name, t in tables.items() if kind(program.buffers[name]) == which)


def number_lines(values: Array, indent: int = 4) -> tuple[str, ...]:
    """Integers with commas, in columns, in lines of at most 100 characters."""
    words = [str(value) for value in values.ravel().tolist()]
    widest = max(len(word) for word in words)
    per_line = max(1, (COLUMNS - indent + 1) // (widest + 2))
    return tuple(
        " ".join(f"{word:>{widest}}," for word in words[k : k + per_line])
        for k in range(0, len(words), per_line)
    )


def memory_rows(program: Program, places: Places) -> tuple[MemoryRow, ...]:
    """What takes memory: the struct member by member, then the tables."""
    rows = [
        MemoryRow(f.name, f.type, (f.count,) if f.count else (), f.bytes, "RAM", f.note)
        for f in places.fields
    ]
    for buffer in program.buffers.values():
        if is_constant(buffer):
            kind = c_type(buffer.dtype)
            size = buffer.size * item_bytes(kind)
            note = f"{shape_text(buffer.shape)}: {buffer.note}"
            rows.append(MemoryRow(buffer.name, kind, buffer.shape, size, "flash", note))
    return tuple(rows)


def memory_table(rows: Sequence[MemoryRow]) -> tuple[str, ...]:
    """The memory table as aligned text, with totals."""
    names = max(len(row.name) for row in rows)
    types = max(len(row.type) for row in rows)
    lines = [
        f"{row.name:<{names}}  {row.type:<{types}}  {row.bytes:>8} bytes {row.place:<5}  {row.note}"
        for row in rows
    ]
    for place in ("RAM", "flash"):
        total = sum(row.bytes for row in rows if row.place == place)
        title = f"{place} in all" if place == "RAM" else f"{place} in all, without code"
        lines.append(f"{title}: {total} bytes")
    return tuple(lines)


# ---- Texts --------------------------------------------------------------------------------------


def naming(program: Program, version: str) -> dict[str, Any]:
    """Names and identity."""
    options = "" if program.training else " --inference-only"
    weights = any(b.name.endswith("_initial") for b in program.buffers.values())
    if weights or not program.training:
        options += " --weights FILE"
    return {
        "PREFIX": program.name.upper(),
        "version": version,
        "digest": program.digest,
        "summary": program.summary,
        "command": f"pocketgen generate MODEL{options} -o DIR",
        "description": program.description,
        "runtime_functions": runtime_functions(program),
        "objects": " ".join(name.replace(".c", ".o") for name in source_names(program)),
        "sources": source_names(program),
    }


def runtime_functions(program: Program) -> tuple[str, ...]:
    """Lines on what the compiler may call of its own run-time library, by Arm's names."""
    steps = (*program.forward, *program.train)
    wide = any(a.dtype == "int64" for step in steps for a in step.accumulators)
    names = (*DIVISION_32, *(ARITHMETIC_64 if wide else ()))
    return tuple(textwrap.wrap(f"{', '.join(names)}; on AVR their counterparts.", COLUMNS - 3))


def source_names(program: Program) -> tuple[str, ...]:
    """The C files of the library."""
    stems = ["", "_store", "_selftest"]
    if program.training:
        stems.insert(1, "_train")
    if any(is_constant(b) and b.layer and b.role != "feedback" for b in program.buffers.values()):
        stems.append("_weights")
    return tuple(f"{program.name}{stem}.c" for stem in stems)


def file_names(program: Program) -> tuple[tuple[str, str], ...]:
    """(template, file) of everything that is generated, header first."""
    names = [("model.h.j2", f"{program.name}.h")]
    for source in source_names(program):
        names.append((f"model{source.removeprefix(program.name)}.j2", source))
    names += [(f"{name}.j2", name) for name in ("Makefile", "CMakeLists.txt")]
    return (*names, ("selftest_main.c.j2", "host/selftest_main.c"))


def sizes(program: Program, fields: Sequence[Field]) -> dict[str, Any]:
    """Sizes, types and the blob's layout."""
    x, y = program.buffers[program.input], program.buffers[program.output]
    target = program.buffers.get("y")
    payload = sum(2 * p.size for p in program.parameters) + 1
    output = f"net->{locate(program).member[program.output]}"
    state_bytes = sum(field.bytes for field in fields)
    return {
        "input_size": x.size,
        "output_size": y.size,
        "seed": f"{program.seed}UL",
        "batch": f"{program.batch}u",
        "input_type": c_type(x.dtype),
        "output_type": c_type(y.dtype),
        "output_field": output,
        "target_type": c_type(target.dtype) if target else "",
        "target_note": f"targets: {target.proven.low}..{target.proven.high}" if target else "",
        "state_bytes": state_bytes,
        "blob_version": f"{BLOB_VERSION}u",
        "blob_size": f"{BLOB_HEADER + payload + BLOB_CRC}u",
        "payload_size": f"{payload}u",
        "payload_words": ", ".join([*(p.name for p in program.parameters), "lr_shift (8 bits)"]),
        "layout_low": f"0x{program.layout_digest & 0xFFFFFFFF:08x}UL",
        "layout_high": f"0x{program.layout_digest >> 32:08x}UL",
        "lr_shift_limit": LR_SHIFT_LIMIT,
        "store_title": "save, load and digest" if program.training else "digest",
        "read_parameter": (
            "value[i]" if program.training else f"{program.name.upper()}_READ_I16(&value[i])"
        ),
        "parameters": tuple(
            SimpleNamespace(
                expression=f"net->{p.name}" if program.training else f"{program.name}_{p.name}",
                count=p.size,
                limit=p.proven.magnitude,
            )
            for p in program.parameters
        ),
    }


def contract(program: Program, memory: Sequence[MemoryRow]) -> dict[str, Any]:
    """What the header says of each function, and the argument lists that depend on the model."""
    prefix, upper = program.name, program.name.upper()
    labelled = program.expects == "label"
    name = "label" if labelled else "y"
    kind = "uint16_t" if labelled else f"{prefix}_target_t"
    count = 1 if labelled else program.classes
    limits = program.input_range
    x = program.buffers[program.input]
    low, high = INT_LIMITS[x.dtype]
    beyond = "" if (limits.low, limits.high) == (low, high) else "; values beyond are limited to it"
    scaling = [line for line in program.description if line.startswith("scale")]
    scaled = f"; used as {scaling[0].removeprefix('scale ')}" if scaling else ""
    y = program.buffers[program.output]
    random = any("seed" in step.operands.values() for step in program.init)
    error = program.buffers.get(program.error)
    target = program.buffers.get("y")
    return {
        "memory_table": memory_table(memory),
        "input_note": f"raw input: {limits.low}..{limits.high}{beyond}{scaled}",
        "output_note": f"output: {y.proven.low}..{y.proven.high}",
        "init_note": init_note(program),
        "seed_note": (
            f"of the random initial weights, any value; {upper}_SEED is the model's own"
            if random
            else "not used by this model, whose start is not random"
        ),
        "forward_macs": macs(program.forward),
        "step_macs": macs(program.forward) + macs(program.train, program.batch),
        "expected_note": (
            f"label: its class, below {upper}_OUTPUT_SIZE."
            if labelled
            else f"y: {upper}_OUTPUT_SIZE targets."
        ),
        "expected_batch_note": (
            f"label: n classes, each below {upper}_OUTPUT_SIZE."
            if labelled
            else f"y: n rows of {upper}_OUTPUT_SIZE targets."
        ),
        "expected_error": f"{upper}_ERR_{'LABEL' if labelled else 'RANGE'}",
        "expected_size": f"{count}u",
        "expected_pointer": f"const {kind} *{name}",
        "target_typedef": (f"typedef {c_type(target.dtype)} {prefix}_target_t;" if target else ""),
        "step_argument": f"{kind} label" if labelled else f"const {kind} y[{upper}_OUTPUT_SIZE]",
        "step_pass": "&label" if labelled else "y",
        "batch_argument": f"const {kind} {name}[]",
        "expected_check": expected_check(program),
        "state_words": ", biases and the learning rate's shift",
        "error_name": program.error,
        "error_type": c_type(error.dtype) if error else "",
        "forward_signature": (
            f"void {prefix}_forward_row({prefix}_t *net,\n"
            f"    const {prefix}_input_t x[{upper}_INPUT_SIZE], uint16_t row)"
            if program.training
            else f"static void {prefix}_run({prefix}_t *net,\n"
            f"    const {prefix}_input_t x[{upper}_INPUT_SIZE])"
        ),
        "forward_call": (
            f"{prefix}_forward_row(net, x, 0);" if program.training else f"{prefix}_run(net, x);"
        ),
        "host_train": (
            f"int {prefix}_host_train({prefix}_t *net, const {prefix}_input_t *x,\n"
            f"    const {kind} *expected, const uint32_t *order, uint64_t count,\n"
            f"    {prefix}_input_t *samples, {kind} *wanted, int64_t *totals)"
        ),
        "host_hit": "best == wanted[k]" if labelled else "0 * best",
    }


def init_note(program: Program) -> str:
    """How the weights start, in words."""
    if not program.training:
        return "its weights are constants, so there is little to do"
    start = {step.kernel.name for step in program.init}
    words = {"fill_zero": "weights of 0", "copy_table": "trained weights"}
    return f"{words.get(start.pop(), 'random weights')}, the full learning rate"


def expected_check(program: Program) -> tuple[str, ...]:
    """C lines that refuse labels or targets out of range before anything is changed."""
    upper = program.name.upper()
    if not program.training:
        return ()
    if program.expects == "label":
        condition, code = f"label[i] >= {upper}_OUTPUT_SIZE", f"{upper}_ERR_LABEL"
        return ("for (i = 0; i < n; i++) {", *refusal(condition, code), "}")
    limits = program.buffers["y"].proven
    condition = f"y[k] < {limits.low} || y[k] > {limits.high}"
    if (limits.low, limits.high) == INT_LIMITS[program.buffers["y"].dtype]:
        return ()
    return (
        f"for (size_t k = 0; k < (size_t)n * {upper}_OUTPUT_SIZE; k++) {{",
        *refusal(condition, f"{upper}_ERR_RANGE"),
        "}",
    )


def refusal(condition: str, code: str) -> tuple[str, ...]:
    """C lines that return code where condition holds."""
    return (f"    if ({condition}) {{", f"        return {code};", "    }")


def self_test(program: Program, vectors: Vectors) -> dict[str, Any]:
    """The self-test's tables and the texts around them."""
    prefix, upper = program.name, program.name.upper()
    limits = program.input_range
    output = program.buffers[program.output]
    tables = [
        constants(program, "expected_output", output.dtype, vectors.outputs, "outputs, row by row")
    ]
    if program.training:
        digests = np.array(vectors.digests, dtype=np.int64)
        tables.append(constants(program, "expected_digest", "uint32", digests, "weights' CRC-32"))
    labelled = program.expects == "label"
    targets = program.buffers.get("y")
    read = f"{upper}_READ_{short_type(output.dtype).upper()}"
    return {
        "selftest_tables": tuple(tables),
        "selftest_functions": (integer_function(prefix, "mix", ""),),
        "selftest_batch": vectors.batch,
        "selftest_forward": FORWARD_SAMPLES,
        "selftest_steps": TRAINING_STEPS,
        "selftest_stack": vectors.batch
        * program.buffers[program.input].size
        * item_bytes(c_type(program.buffers[program.input].dtype)),
        "start_digest": f"0x{vectors.start_digest:08x}UL",
        "input_low": limits.low,
        "input_last": limits.high - limits.low,
        "input_span": limits.high - limits.low + 1,
        "target_low": targets.proven.low if targets else 0,
        "target_span": targets.proven.high - targets.proven.low + 1 if targets else 0,
        "read_expected_output": (
            f"{read}(&{prefix}_expected_output[expected * {upper}_OUTPUT_SIZE + c])"
        ),
        "read_expected_digest": f"{upper}_READ_U32(&{prefix}_expected_digest[i])",
        "selftest_expected": (
            f"uint16_t expected[{vectors.batch}];"
            if labelled
            else f"{prefix}_target_t expected[{vectors.batch} * {upper}_OUTPUT_SIZE];"
        ),
        "selftest_expect": (
            f"expected[i] = (uint16_t)((number + i) % {upper}_OUTPUT_SIZE);"
            if labelled
            else f"{prefix}_targets(number + i, expected + (size_t)i * {upper}_OUTPUT_SIZE);"
        ),
    }


def constants(program: Program, name: str, dtype: str, values: Array, note: str) -> Table:
    """A table of the self-test."""
    kind = c_type(dtype)
    suffix = "UL," if dtype == "uint32" else ","
    lines = number_lines(values)
    if dtype == "uint32":
        words = [f"0x{value:08x}{suffix}" for value in values.tolist()]
        lines = tuple(" ".join(words[k : k + 6]) for k in range(0, len(words), 6))
    full = f"{program.name}_{name}"
    flash = f"{program.name.upper()}_FLASH"
    declaration = f"static const {kind} {full}[{values.size}] {flash}"
    return Table(full, declaration, note, lines, values.size * item_bytes(kind))


def checks(program: Program, fields: Sequence[Field]) -> tuple[SimpleNamespace, ...]:
    """Conditions that the compiler must find true."""
    prefix = program.name
    state_bytes = sum(field.bytes for field in fields)
    return (
        SimpleNamespace(
            name=f"{prefix}_check_state",
            condition=f"sizeof({prefix}_t) - {state_bytes}u < sizeof(int64_t)",
            note="no padding between the fields",
        ),
        SimpleNamespace(
            name=f"{prefix}_check_negative",
            condition="(-1 & 3) == 3 && -1 / 2 == 0",
            note="two's complement, division toward zero",
        ),
    )


def macs(steps: Iterable[Step], batch: int = 1) -> int:
    """Multiply-accumulates for one sample."""
    return sum(
        step.kernel.cost(step.sizes).macs // (batch if step.loop == "once" else 1) for step in steps
    )


# ---- C words ------------------------------------------------------------------------------------


def c_type(dtype: str) -> str:
    """numpy's name of an integer type in C."""
    return f"{dtype}_t"


def short_type(dtype: str) -> str:
    """i8, u16, …: an integer type inside a name."""
    return dtype.replace("uint", "u").replace("int", "i")


def item_bytes(type_name: str) -> int:
    """Bytes of one value of a C type."""
    return int(np.dtype(type_name.removesuffix("_t")).itemsize)


def number(name: str, value: int) -> int | str:
    """A size as C writes it: keys of random numbers are unsigned words."""
    return f"0x{value:08x}UL" if name == "key" else value


def shape_text(shape: Sequence[int]) -> str:
    """100 x 784."""
    return " x ".join(str(n) for n in shape)


def wrapped(head: str, items: Sequence[str], tail: str, indent: int) -> str:
    """head, items with commas, tail: in one line, or wrapped at 100 columns."""
    line = f"{head}{', '.join(items)}{tail}"
    if len(line) + indent <= COLUMNS:
        return line
    margin = " " * (indent + 4)
    body = textwrap.wrap(
        ", ".join(item.replace(" ", "\0") for item in items) + tail,
        COLUMNS - len(margin),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([head, *(margin + line.replace("\0", " ") for line in body)])
