"""Where a program's buffers are in C: members of the struct, tables in flash, and their bytes.

In: a Program with ranges. Out: fields, tables and the memory table.
Not here: what the C does with them (functions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pocketgen.ir import ARGUMENT_ROLES, CONSTANT_ROLES, PARAMETER_ROLES, Array, Buffer, Program
from pocketgen.plan.words import c_type, item_bytes, number_lines, shape_text


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
class Places:
    """The struct's members, and by which member each buffer is reached."""

    fields: tuple[Field, ...]
    member: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """One array of constants in flash."""

    name: str
    declaration: str
    note: str
    lines: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class MemoryRow:
    """One line of the memory table."""

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int
    place: str
    note: str


def is_constant(buffer: Buffer) -> bool:
    """Whether a buffer is a table in flash."""
    return buffer.role in CONSTANT_ROLES or buffer.values is not None


def locate(program: Program) -> Places:
    """Struct members: kept buffers one each; scratch shares members where lifetimes allow."""
    member: dict[str, str] = {}
    fields: list[Field] = []
    for buffer in program.buffers.values():
        if buffer.role in ARGUMENT_ROLES or is_constant(buffer):
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
        both = (step, step.instead) if step.instead is not None else (step,)
        for name in (name for one in both for name in one.names("in", "out", "inout")):
            uses.setdefault(name, []).append(time)
    # The output must outlive the forward pass: callers copy it afterwards.
    uses.setdefault(program.output, []).append(len(steps))
    slots: list[tuple[str, list[Buffer], int]] = []
    for buffer in program.buffers.values():
        if not buffer.per_sample or buffer.kept or buffer.name not in uses:
            continue
        if buffer.role in ARGUMENT_ROLES:
            continue
        first, last = min(uses[buffer.name]), max(uses[buffer.name])
        for index, (dtype, group, free_after) in enumerate(slots):
            if dtype == buffer.dtype and free_after < first:
                slots[index] = (dtype, [*group, buffer], last)
                break
        else:
            slots.append((buffer.dtype, [buffer], last))
    return [(dtype, group) for dtype, group, _ in slots]


def table(program: Program, buffer: Buffer) -> Table:
    """A constant buffer as a C table."""
    assert buffer.values is not None
    own_file = in_weights_file(buffer)
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


def in_weights_file(buffer: Buffer) -> bool:
    """Whether a table holds trained weights, which have a file of their own."""
    return buffer.role in PARAMETER_ROLES or buffer.name.endswith("_initial")


def pick(program: Program, tables: Mapping[str, Table], which: str) -> tuple[Table, ...]:
    """The tables of one C file: of the weights, or those that forward or training steps read."""
    read = {name for step in program.forward for name in step.operands.values()}

    def kind(buffer: Buffer) -> str:
        if in_weights_file(buffer):
            return "weights"
        return "forward" if buffer.name in read else "training"

    return tuple(t for name, t in tables.items() if kind(program.buffers[name]) == which)


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


def padding(rows: Sequence[MemoryRow]) -> int:
    """Bytes that make the struct's size a multiple of its widest member; AVR needs none."""
    fields = [row for row in rows if row.place == "RAM"]
    return -sum(row.bytes for row in fields) % max(item_bytes(row.type) for row in fields)


def ram_text(rows: Sequence[MemoryRow]) -> str:
    """The struct's size in words."""
    more, size = padding(rows), sum(row.bytes for row in rows if row.place == "RAM")
    return f"{size + more} bytes" + (f", {more} of them padding (none on AVR)" if more else "")


def memory_table(rows: Sequence[MemoryRow]) -> tuple[str, ...]:
    """The memory table as aligned text, with totals."""
    names = max(len(row.name) for row in rows)
    types = max(len(row.type) for row in rows)
    lines = [
        f"{row.name:<{names}}  {row.type:<{types}}  {row.bytes:>8} bytes {row.place:<5}  {row.note}"
        for row in rows
    ]
    flash = sum(row.bytes for row in rows if row.place == "flash")
    lines.append(f"RAM in all: {ram_text(rows)}")
    lines.append(f"flash in all, without code: {flash} bytes")
    return tuple(lines)
