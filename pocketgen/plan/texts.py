"""What the generated files say of themselves: names, sizes, contracts, the self-test's texts.

In: a Program with ranges, its places, the self-test's vectors. Out: texts by name.
Not here: kernels and calls (functions).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from pocketgen.intmath import INT_LIMITS
from pocketgen.ir import Program, Step
from pocketgen.plan.functions import Call, integer_function
from pocketgen.plan.places import (
    Field,
    MemoryRow,
    constants,
    in_weights_file,
    is_constant,
    locate,
    memory_table,
    ram_text,
)
from pocketgen.plan.words import COLUMNS, c_type, item_bytes, short_type, unsigned
from pocketgen.selftest import (
    EXTREME_STEPS,
    FORWARD_SAMPLES,
    SLOWED_STEPS,
    STEPS,
    Vectors,
    rates,
)
from pocketgen.store import HEADER_BYTES, VERSION, blob_size, payload_size
from pocketgen.store import item_bytes as stored_bytes

# What gcc and clang call on Arm for arithmetic that a core has no instruction for.
DIVISION_32 = ("__aeabi_idiv", "__aeabi_idivmod", "__aeabi_uidiv", "__aeabi_uidivmod")
ARITHMETIC_64 = ("__aeabi_lmul", "__aeabi_ldivmod", "__aeabi_uldivmod", "__aeabi_llsr")

# How the store writes one weight, low byte first.
PUT_ONE_BYTE = ("blob[i] = (uint8_t)(bits & 0xffu);",)
PUT_TWO_BYTES = (
    "blob[2u * (size_t)i] = (uint8_t)(bits & 0xffu);",
    "blob[2u * (size_t)i + 1u] = (uint8_t)((uint16_t)bits >> 8);",
)


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
    if any(is_constant(b) and in_weights_file(b) for b in program.buffers.values()):
        stems.append("_weights")
    return tuple(f"{program.name}{stem}.c" for stem in stems)


def file_names(program: Program) -> tuple[tuple[str, str], ...]:
    """(template, file) of everything that is generated, header first."""
    names = [("model.h.j2", f"{program.name}.h")]
    for source in source_names(program):
        names.append((f"model{source.removeprefix(program.name)}.j2", source))
    names += [(f"{name}.j2", name) for name in ("Makefile", "CMakeLists.txt")]
    return (*names, ("selftest_main.c.j2", "host/selftest_main.c"))


def sizes(program: Program) -> dict[str, Any]:
    """Sizes, types and the blob's layout."""
    x, y = program.buffers[program.input], program.buffers[program.output]
    target = program.buffers.get("y")
    output = f"net->{locate(program).member[program.output]}"
    upper, parameter = program.name.upper(), short_type(parameter_type(program))
    return {
        "input_size": unsigned(x.size),
        "output_size": unsigned(y.size),
        "seed": f"{program.seed}UL",
        "batch": unsigned(program.batch),
        "input_type": c_type(x.dtype),
        "output_type": c_type(y.dtype),
        "output_field": output,
        "target_type": c_type(target.dtype) if target else "",
        "target_note": f"targets: {target.proven.low}..{target.proven.high}" if target else "",
        "blob_version": unsigned(VERSION),
        "blob_size": unsigned(blob_size(program)),
        "blob_head": unsigned(HEADER_BYTES),
        "payload_size": unsigned(payload_size(program)),
        "payload_words": payload_words(program),
        "layout_low": f"0x{program.layout_digest & 0xFFFFFFFF:08x}UL",
        "layout_high": f"0x{program.layout_digest >> 32:08x}UL",
        **state_lines(program),
        **parameter_bytes(program),
        "store_title": "save, load and digest" if program.training else "digest",
        "read_parameter": (
            "value[i]" if program.training else f"{upper}_READ_{parameter.upper()}(&value[i])"
        ),
        "parameters": tuple(
            SimpleNamespace(
                expression=f"net->{p.name}" if program.training else f"{program.name}_{p.name}",
                count=unsigned(p.size),
                bytes=unsigned(stored_bytes(p) * p.size),
                limit=p.proven.magnitude,
            )
            for p in program.parameters
        ),
    }


def parameter_type(program: Program) -> str:
    """The type of all weights and biases."""
    (dtype,) = {p.dtype for p in program.parameters}
    return dtype


def parameter_bytes(program: Program) -> dict[str, Any]:
    """How weights and biases are stored."""
    dtype = parameter_type(program)
    two = item_bytes(c_type(dtype)) == 2
    return {
        "parameter_type": c_type(dtype),
        "parameter_bits": item_bytes(c_type(dtype)) * 8,
        "two_bytes": two,
        "parameter_place": "2u * (size_t)i" if two else "i",
        "parameter_end": "2u * (size_t)count" if two else "count",
        "put_parameter": PUT_TWO_BYTES if two else PUT_ONE_BYTE,
        "get_parameter": f"{program.name}_get_{short_type(dtype)}",
        "get_parameter_template": f"_get_{short_type(dtype)}.j2",
    }


def payload_words(program: Program) -> str:
    """What the blob holds, in words."""
    states = (f"{s.name} ({8 * stored_bytes(s)} bits)" for s in program.states)
    return ", ".join([*(p.name for p in program.parameters), *states])


def state_lines(program: Program) -> dict[str, Any]:
    """C that saves, checks and loads the states of training, behind all weights."""
    save, load, beyond, offset = [], [], [], 0
    for state in program.states:
        place = f"&payload[{offset}]"
        if state.dtype == "uint8":
            save.append(f"payload[{offset}] = net->{state.name};")
            load.append(f"net->{state.name} = payload[{offset}];")
        else:
            save.append(f"{program.name}_put_u32({place}, net->{state.name});")
            load.append(f"net->{state.name} = {program.name}_get_u32({place});")
        if state.proven.high < INT_LIMITS[state.dtype][1]:
            beyond.append(f"payload[{offset}] > {unsigned(state.proven.high)}")
        offset += stored_bytes(state)
    return {"save_states": save, "load_states": load, "states_beyond": beyond}


def contract(program: Program, memory: Sequence[MemoryRow]) -> dict[str, Any]:
    """What the header says of types, functions and their cost."""
    upper, limits = program.name.upper(), program.input_range
    x, y = program.buffers[program.input], program.buffers[program.output]
    low, high = INT_LIMITS[x.dtype]
    beyond = "" if (limits.low, limits.high) == (low, high) else "; values beyond are limited to it"
    random = any("seed" in step.operands.values() for step in program.init)
    return {
        "memory_table": memory_table(memory),
        "ram_text": ram_text(memory),
        "input_note": f"raw input: {limits.low}..{limits.high}{beyond}{scaling_words(program)}",
        "output_note": f"output: {y.proven.low}..{y.proven.high}",
        "init_note": init_note(program),
        "seed_note": (
            f"of the random initial weights, any value; {upper}_SEED is the model's own"
            if random
            else "not used by this model, whose start is not random"
        ),
        "forward_macs": macs(program.forward),
        "step_macs": macs(program.forward) + macs(program.train, program.batch),
        "gradient_stack": gradient_stack(program),
        "state_words": f", biases and {' and '.join(s.name for s in program.states)}",
    }


def gradient_stack(program: Program) -> int:
    """Bytes of the largest local array in training."""
    return max(
        (
            step.sizes["tile"] * item_bytes(f"{a.dtype}_t")
            for step in program.train
            for a in step.accumulators
            if a.name == "gradient" and "tile" in step.sizes
        ),
        default=0,
    )


def forward_head(program: Program) -> dict[str, Any]:
    """The forward pass: into a row of a batch if there is more than one, or into the scratch."""
    prefix, upper = program.name, program.name.upper()
    x = f"const {prefix}_input_t x[{upper}_INPUT_SIZE]"
    name = f"void {prefix}_forward_row" if program.training else f"static void {prefix}_run"
    row, first, each, where = "", "", "", "the"
    if program.batch > 1:
        row, first, each, where = ", uint16_t row", ", 0", ", i", f"row 0..{upper}_BATCH-1 of the"
    return {
        "forward_signature": f"{name}({prefix}_t *net,\n    {x}{row})",
        "forward_call": f"{name.split()[-1]}(net, x{first});",
        "row_parameter": row,
        "row_argument": each,
        "row_note": where,
    }


def wanted(program: Program) -> dict[str, Any]:
    """What goes with a sample, a label or a vector of targets, wherever C names it."""
    prefix, upper = program.name, program.name.upper()
    labelled = program.expects == "label"
    name = "label" if labelled else "y"
    kind = "uint16_t" if labelled else f"{prefix}_target_t"
    target, error = program.buffers.get("y"), program.buffers.get(program.error)
    each = f"below {upper}_OUTPUT_SIZE" if labelled else f"{upper}_OUTPUT_SIZE targets"
    return {
        "expected_note": f"label: its class, {each}." if labelled else f"y: {each}.",
        "expected_batch_note": (
            f"label: n classes, each {each}." if labelled else f"y: n rows of {each}."
        ),
        "expected_error": f"{upper}_ERR_{'LABEL' if labelled else 'RANGE'}",
        "expected_size": unsigned(1 if labelled else program.classes),
        "expected_name": name,
        "expected_pointer": f"const {kind} *{name}",
        "expected_check": expected_check(program),
        # n has 16 bits: it is never above 65535
        "count_check": "n == 0u" + (f" || n > {upper}_BATCH" if program.batch < 65535 else ""),
        "target_typedef": f"typedef {c_type(target.dtype)} {prefix}_target_t;" if target else "",
        "step_argument": f"{kind} label" if labelled else f"const {kind} y[{upper}_OUTPUT_SIZE]",
        "step_pass": "&label" if labelled else "y",
        "batch_argument": f"const {kind} {name}[]",
        "error_name": program.error,
        "error_type": c_type(error.dtype) if error else "",
        "host_train": (
            f"int {prefix}_host_train({prefix}_t *net, const {prefix}_input_t *x,\n"
            f"    const {kind} *expected, const uint32_t *order, uint64_t count,\n"
            f"    {prefix}_input_t *samples, {kind} *wanted, int64_t *totals)"
        ),
        "host_hit": "best == wanted[k]" if labelled else "0",
    }


def scaling_words(program: Program) -> str:
    """What the first step makes of the raw input, for the firmware author."""
    sizes = program.forward[0].sizes
    if "divisor" not in sizes or program.forward[0].operands.get("raw") is None:
        return ""
    limits = f"{sizes['low']}..{sizes['high']}"
    if "offset" in sizes:
        if (sizes["offset"], sizes["multiplier"], sizes["divisor"]) == (0, 1, 1):
            return ""
        product = f"(raw - {sizes['offset']}) * {sizes['multiplier']}"
    else:
        tables = f"{program.name}_offset[i]", f"{program.name}_multiplier[i]"
        product = f"(raw[i] - {tables[0]}) * {tables[1]}"
    return f";\n   the network sees {product} / {sizes['divisor']},\n   limited to {limits}"


def init_note(program: Program) -> str:
    """How the weights start, in words."""
    if not program.training:
        return "its weights are constants, so there is little to do"
    start = {step.kernel.name for step in program.init}
    words = "trained weights" if "copy_table" in start else "weights of 0"
    words = "random weights" if "draw_uniform" in start else words
    return f"{words}, the full learning rate"


def expected_check(program: Program) -> tuple[str, ...]:
    """C lines that refuse labels or targets out of range before anything is changed."""
    upper = program.name.upper()
    if not program.training:
        return ()
    if program.expects == "label":
        condition, code = f"label[i] >= {upper}_OUTPUT_SIZE", f"{upper}_ERR_LABEL"
        return ("for (i = 0; i < n; i++) {", *refusal(condition, code), "}")
    limits = program.buffers["y"].proven
    low, high = INT_LIMITS[program.buffers["y"].dtype]
    sides = [f"y[k] < {limits.low}"] if limits.low > low else []
    sides += [f"y[k] > {limits.high}"] if limits.high < high else []
    if not sides:
        return ()
    condition = " || ".join(sides)
    return (
        f"for (size_t k = 0; k < (size_t)n * {upper}_OUTPUT_SIZE; k++) {{",
        *refusal(condition, f"{upper}_ERR_RANGE"),
        "}",
    )


def refusal(condition: str, code: str) -> tuple[str, ...]:
    """C lines that return code where condition holds."""
    return (f"    if ({condition}) {{", f"        return {code};", "    }")


def init_lines(program: Program, calls: Sequence[Call]) -> tuple[str, ...]:
    """The body of p_init."""
    seeded = any("seed" in step.operands.values() for step in program.init)
    unused = () if seeded else ("(void)seed; /* nothing here is random */",)
    if not program.training:
        return ("(void)net; /* the weights are constants */", *unused)
    states = tuple(f"net->{b.name} = {unsigned(b.start)};" for b in program.states)
    return (*unused, *states, *(call.text for call in calls))


def self_test(program: Program, vectors: Vectors) -> dict[str, Any]:
    """The self-test's tables and the texts around them."""
    rate, full, lower = rates(program)
    training_vectors = STEPS + SLOWED_STEPS + FORWARD_SAMPLES + EXTREME_STEPS
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
        "rate": rate.name,
        "full_rate": unsigned(full),
        "lower_rate": unsigned(lower),
        "selftest_batch": unsigned(vectors.batch),
        "selftest_values": unsigned(vectors.batch * program.buffers[program.input].size),
        "selftest_forward": unsigned(FORWARD_SAMPLES),
        "selftest_steps": unsigned(STEPS),
        "selftest_slowed": unsigned(STEPS + SLOWED_STEPS),
        "selftest_extreme": unsigned(STEPS + SLOWED_STEPS + EXTREME_STEPS),
        "selftest_vectors": 1 + FORWARD_SAMPLES + (training_vectors if program.training else 0),
        "selftest_first_step": 2 + FORWARD_SAMPLES,
        "selftest_last_output": 2 + FORWARD_SAMPLES + STEPS + SLOWED_STEPS,
        "selftest_first_extreme": 2 + 2 * FORWARD_SAMPLES,
        "selftest_stack": vectors.batch
        * program.buffers[program.input].size
        * item_bytes(c_type(program.buffers[program.input].dtype)),
        "start_digest": f"0x{vectors.start_digest:08x}UL",
        "input_low": limits.low,
        "input_span": f"{limits.high - limits.low + 1}UL",
        "target_low": targets.proven.low if targets else 0,
        "target_span": f"{targets.proven.high - targets.proven.low + 1}UL" if targets else "",
        "read_expected_output": f"{read}(&{prefix}_expected_output[at])",
        "read_expected_digest": f"{upper}_READ_U32(&{prefix}_expected_digest[step])",
        "selftest_expected": (
            f"uint16_t expected[{unsigned(vectors.batch)}];"
            if labelled
            else f"{prefix}_target_t expected[{unsigned(vectors.batch * output.size)}];"
        ),
        "selftest_expect": (
            f"expected[i] = (uint16_t)((number + i) % {upper}_OUTPUT_SIZE);"
            if labelled
            else f"{prefix}_targets(number + i, expected + (size_t)i * {upper}_OUTPUT_SIZE);"
        ),
    }


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


def macs(steps: Sequence[Step], batch: int = 1) -> int:
    """Multiply-accumulates for one sample."""
    return sum(
        step.kernel.cost(step.sizes).macs // (batch if step.loop == "once" else 1) for step in steps
    )
