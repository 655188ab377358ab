"""What the plan decides: members and their sharing, names, wrapped lines, memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from cffi import FFI

import pocketgen as pg
from pocketgen.ir import Program
from pocketgen.plan import locate
from pocketgen.plan.words import COLUMNS, number_lines, wrapped
from pocketgen.render import render_host
from small_models import LIBRARIES, MODELS, TANH, Library, some_weights, stack

BYTES = {
    "int8_t": 1,
    "uint8_t": 1,
    "int16_t": 2,
    "uint16_t": 2,
    "int32_t": 4,
    "uint32_t": 4,
    "int64_t": 8,
}
DEEP = pg.Model(
    "deep",
    pg.Input((5,), "int8", scale=pg.Scale(3, 5, 2)),
    stack(
        (9, TANH), (7, "pocket_sigmoid"), (8, "pocket_leakyrelu"), (6, TANH), (9, TANH), (4, TANH)
    ),
    pg.DFA(),
)


@pytest.fixture(scope="module", autouse=True)
def _throw_away_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


# --- scratch ------------------------------------------------------------------------------------


def lifetimes(program: Program) -> dict[str, tuple[int, int]]:
    """When each scratch buffer is first written and last read; the output is read by the caller."""
    steps = [*program.forward, *program.train]
    seen: dict[str, list[int]] = {program.output: [len(steps)]}
    for time, step in enumerate(steps):
        for name in step.operands.values():
            seen.setdefault(name, []).append(time)
    return {
        name: (min(times), max(times))
        for name, times in seen.items()
        if program.buffers[name].per_sample and not program.buffers[name].kept
    }


@pytest.mark.parametrize("name", [*LIBRARIES, "deep"])
def test_buffers_share_a_member_only_when_they_never_live_at_once(name: str) -> None:
    library = LIBRARIES.get(name) or Library(DEEP, "inference only")
    program = library.program()
    member = locate(program).member
    for (one, (start, end)), (other, (first, last)) in combinations(lifetimes(program).items(), 2):
        if one in member and other in member and member[one] == member[other]:
            assert end < first or last < start, (one, other)
            assert program.buffers[one].dtype == program.buffers[other].dtype


def test_a_deep_network_that_only_predicts_needs_three_members() -> None:
    """One for every h, one for every a of 8 bits, one for the a of 16 bits."""
    program = Library(DEEP, "inference only").program()
    fields = locate(program).fields
    by_type = sorted((field.type, field.count) for field in fields)
    assert by_type == [("int16_t", 8), ("int32_t", 9), ("int8_t", 9)]


def test_nothing_that_training_reads_later_is_shared() -> None:
    for library in LIBRARIES.values():
        program = library.program()
        if not program.training:
            continue
        member = locate(program).member
        kept = [b.name for b in program.buffers.values() if b.name in member and b.kept]
        assert len({member[name] for name in kept}) == len(kept)
        letters = "Wbaf" if library.model.rule.rate_state == "rate" else "Wbhag"
        states = {state.name for state in program.states}
        assert {f"{letter}1" for letter in letters} | {"e", "delta1"} | states <= set(kept)


@pytest.mark.parametrize("model", [DEEP, *MODELS.values()], ids=lambda model: model.name)
def test_shared_members_give_the_same_outputs(model: pg.Model) -> None:
    """The C with shared members, against numpy, which shares nothing."""
    weights = some_weights(model)
    x = np.random.default_rng(0).integers(
        model.input.limits.low, model.input.limits.high, (20, model.input.features), endpoint=True
    )
    outputs = [
        pg.build(model, weights, engine=engine, flags=flags, inference_only=True).forward(x)
        for engine, flags in (("c", ("-O0",)), ("numpy", None))
    ]
    np.testing.assert_array_equal(*outputs)


# --- the struct ---------------------------------------------------------------------------------


def struct_of(library: Library) -> tuple[FFI, str]:
    """The struct as C lays it out."""
    ffi = FFI()
    ffi.cdef(render_host(library.plan())["host.cdef"])
    return ffi, f"{library.model.name}_t"


@pytest.mark.parametrize("name", LIBRARIES)
def test_members_stand_widest_first_without_padding(name: str) -> None:
    ffi, struct = struct_of(LIBRARIES[name])
    members = ffi.typeof(struct).fields
    items = [m.type.item if m.type.kind == "array" else m.type for _, m in members]
    widths = [ffi.sizeof(item) for item in items]
    assert widths == sorted(widths, reverse=True)
    end = 0
    for _, member in members:
        assert member.offset == end
        end += ffi.sizeof(member.type)
    assert end <= ffi.sizeof(struct) < end + max(widths)


@pytest.mark.parametrize("name", LIBRARIES)
def test_ram_is_what_the_compiler_says(name: str) -> None:
    """Where members are aligned by their size, and on AVR, where padding is left out."""
    library = LIBRARIES[name]
    made = library.plan()
    ffi, struct = struct_of(library)
    members = dict(ffi.typeof(struct).fields)
    packed = sum(ffi.sizeof(member.type) for member in members.values())
    assert made.ram_bytes - made.padding_bytes == packed
    assert made.ram_bytes == ffi.sizeof(struct)
    rows = {row.name: row for row in made.memory if row.place == "RAM"}
    assert list(rows) == list(members)
    for member, row in rows.items():
        assert row.bytes == ffi.sizeof(members[member].type)
    header = library.files()[f"{library.model.name}.h"]
    for words in ("RAM in all:", "All mutable state,"):
        assert f"{words} {made.ram_bytes} bytes" in header
    if made.padding_bytes:
        assert f", {made.padding_bytes} of them padding (none on AVR)" in header


TABLE = re.compile(
    r"^(?:static )?const (\w+) (\w+)\[(\d+)\]\s+\w+_FLASH = \{\n(.*?)^\};", re.M | re.S
)


@pytest.mark.parametrize("name", LIBRARIES)
def test_flash_is_what_the_tables_hold(name: str) -> None:
    library = LIBRARIES[name]
    made, prefix = library.plan(), library.model.name
    found = {}
    for file, text in library.files().items():
        for kind, table, count, numbers in TABLE.findall(text):
            assert len([n for n in numbers.replace("\n", "").split(",") if n.strip()]) == int(count)
            if "selftest" not in file:
                found[table] = int(count) * BYTES[kind]
    rows = {f"{prefix}_{row.name}": row.bytes for row in made.memory if row.place == "flash"}
    assert found == rows
    assert made.flash_bytes == sum(found.values())


# --- names --------------------------------------------------------------------------------------

FUNCTION = re.compile(r"^(static )?[\w ]*?\*?(\w+)\([^;{}]*?\)\n\{", re.MULTILINE)


@pytest.mark.parametrize("name", LIBRARIES)
def test_names_are_unique_and_carry_the_prefix(name: str) -> None:
    prefix = LIBRARIES[name].model.name
    external: list[str] = []
    for file, text in LIBRARIES[name].files().items():
        if not file.endswith(".c") or "/" in file:
            continue
        functions = FUNCTION.findall(text)
        tables = [(text[m.start() :].startswith("static"), m[2]) for m in TABLE.finditer(text)]
        names = [function for _, function in functions] + [table for _, table in tables]
        assert len(set(names)) == len(names), file
        assert all(n.startswith(f"{prefix}_") for n in names), file
        external += [n for static, n in [*functions, *tables] if not static]
    assert len(set(external)) == len(external)
    header = LIBRARIES[name].files()[f"{prefix}.h"]
    assert all(re.search(rf"\b{n}\b", header) for n in external)


def test_one_function_for_equal_steps_and_several_for_others() -> None:
    layers = stack((6, TANH), (6, TANH), (6, TANH))
    files = pg.generate(pg.Model("same", pg.Input((6,), "int8"), layers, pg.DFA()))
    text = files["same.c"]
    assert text.count("void same_dense_forward_6_6(") == 1
    assert text.count("same_dense_forward_6_6(") == 1 + 3
    files = pg.generate(pg.Model("other", pg.Input((6,), "uint8"), layers, pg.DFA()))
    assert "void other_dense_forward_6_6_2(" in files["other.c"]


PROOF = re.compile(r"\|(\w+)\| <= (\d+), limit (\d+)")


@pytest.mark.parametrize("name", LIBRARIES)
def test_every_accumulator_s_comment_is_a_proof(name: str) -> None:
    proofs = [
        (what, int(worst), int(limit))
        for text in LIBRARIES[name].files().values()
        for what, worst, limit in PROOF.findall(text)
    ]
    assert proofs
    for what, worst, limit in proofs:
        assert worst <= limit, what
        assert limit in (2**31 - 1, 2**63 - 1)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_shared_function_states_the_worst_of_all_its_callers(name: str) -> None:
    program = LIBRARIES[name].program()
    steps = [*program.forward, *program.train]
    worst: dict[str, int] = {}
    for step in steps:
        for a in step.accumulators:
            worst[a.name] = max(worst.get(a.name, 0), a.worst)
    stated: dict[str, int] = {}
    for text in LIBRARIES[name].files().values():
        for what, value, _ in PROOF.findall(text):
            stated[what] = max(stated.get(what, 0), int(value))
    assert {what: worst[what] for what in stated} == stated


def test_unknown_names_are_not_in_a_plan() -> None:
    made = Library(MODELS["one"]).plan()
    assert made.PREFIX == "ONE"
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = made.nothing_of_the_kind


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize("indent", [0, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 8, 30])
def test_wrapped(count: int, indent: int) -> None:
    items = [f"const int16_t *argument{k}" for k in range(count)]
    text = wrapped("static void name(", items, ");", indent)
    first, *others = text.split("\n")
    assert len(first) + indent <= COLUMNS
    assert all(len(line) <= COLUMNS for line in others)
    assert all(line.startswith(" " * (indent + 4) + "const ") for line in others)
    assert "".join(text.split()) == "".join(f"static void name({', '.join(items)});".split())


def test_wrapped_keeps_a_line_of_just_100_columns() -> None:
    for length, lines in ((COLUMNS, 1), (COLUMNS + 1, 2)):
        head, tail = "f(", ");"
        item = "x" * (length - len(head) - len(tail))
        assert len(wrapped(head, [item], tail, 0).split("\n")) == lines


@pytest.mark.parametrize("low", [-32767, -9, 0])
@pytest.mark.parametrize("count", [1, 13, 14, 400])
def test_number_lines(low: int, count: int) -> None:
    values = np.linspace(low, 32767, count).astype(np.int64)
    lines = number_lines(values)
    assert all(len(line) + 4 <= COLUMNS for line in lines)
    assert [int(n) for n in " ".join(lines).replace(",", " ").split()] == values.tolist()
    assert all(line.endswith(",") for line in lines)
    assert len({len(line) for line in lines[:-1]}) <= 1
