"""From a program to a plan: everything that the templates print is decided here.

In: a Program with ranges, and the self-test's vectors. Out: a Plan of strings and integers: C
names, types, fields, tables, calls, notes. Not here: the text around them (templates).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pocketgen.ir import Program
from pocketgen.plan.claims import claims
from pocketgen.plan.functions import Workshop, train_blocks
from pocketgen.plan.places import (
    MemoryRow,
    Places,
    is_constant,
    locate,
    memory_rows,
    padding,
    pick,
    table,
)
from pocketgen.plan.texts import (
    checks,
    contract,
    file_names,
    forward_head,
    init_lines,
    naming,
    self_test,
    sizes,
    wanted,
)
from pocketgen.selftest import Vectors

__all__ = ["MemoryRow", "Places", "Plan", "Workshop", "is_constant", "locate", "plan"]


@dataclass(frozen=True)
class Plan:
    """What is printed.

    ram_bytes: of the struct, as a compiler counts them that aligns every member by its size;
    padding_bytes of them stand at the end, and are absent on AVR.
    texts: every plain value that a template asks for, by name.
    """

    prefix: str
    training: bool
    files: tuple[tuple[str, str], ...]
    memory: tuple[MemoryRow, ...]
    ram_bytes: int
    padding_bytes: int
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
    differs = program.learning_forward != program.forward
    learning = shop.calls(program.learning_forward, "row") if differs else ()
    init = shop.calls(program.init, "")
    forward_kernels, forward_functions = shop.take()
    blocks = train_blocks(program, shop)
    train_kernels, train_functions = shop.take()
    tables = {b.name: table(program, b) for b in program.buffers.values() if is_constant(b)}
    memory = memory_rows(program, places)
    fields = places.fields
    texts = {
        **naming(program, version),
        **sizes(program),
        **contract(program, memory),
        **forward_head(program),
        **wanted(program),
        **self_test(program, vectors),
        **claims(program, places),
        "fields": fields,
        "checks": checks(program, fields),
        "forward_functions": forward_functions,
        "forward_kernels": forward_kernels,
        "forward_tables": pick(program, tables, "forward"),
        "forward_calls": forward,
        "learning_calls": learning,
        "learning_row": f"{prefix}_{'learn' if differs else 'forward'}_row",
        "train_functions": train_functions,
        "train_kernels": train_kernels,
        "train_tables": pick(program, tables, "training"),
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
        ram_bytes=sum(field.bytes for field in fields) + padding(memory),
        padding_bytes=padding(memory),
        flash_bytes=sum(t.bytes for t in tables.values()),
        texts=texts,
    )
