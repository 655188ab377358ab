"""From a program to the same program with a proven range for every value in it.

In: a Program whose derived buffers have no range. Out: the same with ranges, the narrowest types,
tightened weight clamps and every accumulator's worst case. UnsafeModelError where a 32-bit
pre-activation (or any 64-bit sum) cannot be proven safe for every input and weight in range.
Not here: the arithmetic of the ranges, which each kernel knows for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pocketgen.errors import DataError, UnsafeModelError
from pocketgen.intmath import INT_LIMITS
from pocketgen.ir import Accumulator, Bound, Buffer, Program, Range, Step


def bounds(program: Program) -> Program:
    """The program with ranges, in one pass over its steps in the order in which they run."""
    buffers = dict(program.buffers)
    forward = tuple(prove(step, buffers) for step in program.forward)
    train = tuple(prove(step, buffers) for step in program.train)
    # The start comes last: its values must lie within the clamps that training needs.
    init = tuple(prove(start_within(step, buffers), dict(buffers)) for step in program.init)
    for step in init:
        check_start(step, buffers)
    for buffer in buffers.values():
        if buffer.values is not None:
            check_values(buffer)
    return replace(program, buffers=buffers, init=init, forward=forward, train=train)


def prove(step: Step, buffers: dict[str, Buffer]) -> Step:
    """One step with its accumulators; the ranges of its outputs go into buffers."""
    if step.kernel.weight_limit is not None:
        tighten(step, buffers)
    bound = step.kernel.bound(input_ranges(step, buffers), step.sizes)
    accumulators = tuple(safe(step, accumulator) for accumulator in bound.accumulators)
    instead = prove(step.instead, buffers) if step.instead is not None else None
    update = step.update
    if update is not None:
        update, own = prove_update(step, update, accumulators, buffers)
        accumulators += own
    store_ranges(step, bound, buffers)
    return replace(
        step,
        sizes={**step.sizes, **bound.sizes},
        accumulators=accumulators,
        update=update,
        instead=instead,
    )


def input_ranges(step: Step, buffers: Mapping[str, Buffer]) -> dict[str, Range]:
    """The ranges of what a step reads, by argument name."""
    return {
        arg.name: buffers[step.operands[arg.name]].proven
        for arg in step.kernel.args
        if arg.direction != "out" and arg.name in step.operands
    }


def tighten(step: Step, buffers: dict[str, Buffer]) -> None:
    """Limit the layer's weights to the largest clamp with which 32 bits provably suffice."""
    assert step.kernel.weight_limit is not None
    weights = buffers[step.operands["W"]]
    limit = step.kernel.weight_limit(input_ranges(step, buffers), step.sizes)
    if limit < 1:
        x = buffers[step.operands["x"]]
        raise UnsafeModelError(
            f"layer {step.layer}: inputs of magnitude up to {x.proven.magnitude} overflow 32 bits "
            f"even with weights of ±1 ({step.sizes['fan_in']} inputs, limit 2147483647); "
            "scale the input to fewer bits, feed it from a bounded activation, or use fewer inputs"
        )
    if limit < weights.proven.magnitude:
        buffers[weights.name] = replace(weights, range=Range.symmetric(limit))


def prove_update(
    step: Step,
    update: Step,
    accumulators: tuple[Accumulator, ...],
    buffers: Mapping[str, Buffer],
) -> tuple[Step, tuple[Accumulator, ...]]:
    """The element update with the clamp of what it moves and the gradient it must take."""
    moved = buffers[step.names("inout")[0]].proven
    gradient = next(a for a in accumulators if a.name == "gradient")
    sizes = {**update.sizes, "limit": moved.magnitude}
    ranges = {
        "w": moved,
        "gradient": Range.symmetric(gradient.worst),
        **{name: buffers[buffer].proven for name, buffer in update.operands.items()},
    }
    bound = update.kernel.bound(ranges, sizes)
    own = tuple(safe(step, accumulator) for accumulator in bound.accumulators)
    return replace(update, sizes={**sizes, **bound.sizes}, accumulators=own), own


def safe(step: Step, accumulator: Accumulator) -> Accumulator:
    """The accumulator, or UnsafeModelError where not even 64 bits hold it."""
    if not accumulator.dtype:
        raise UnsafeModelError(
            f"layer {step.layer}: {accumulator.name} of {step.kernel.name} can reach "
            f"{accumulator.worst}, beyond 64 bits (limit {2**63 - 1}); use a smaller batch, "
            "inputs of fewer bits or a bounded activation"
        )
    return accumulator


def store_ranges(step: Step, bound: Bound, buffers: dict[str, Buffer]) -> None:
    """Give a step's outputs their ranges, and derived buffers the narrowest type for them."""
    for arg in step.kernel.args:
        if arg.direction != "out" or arg.name not in step.operands:
            continue
        buffer = buffers[step.operands[arg.name]]
        derived = bound.ranges[arg.name]
        if buffer.range is not None:
            derived = derived.union(buffer.range)
        dtype = buffer.dtype if holds(buffer.dtype, derived) else derived.dtype()
        if not dtype or (dtype == "int64" and buffer.role != "scratch"):
            raise UnsafeModelError(
                f"layer {step.layer}: {buffer.name} can reach {derived.magnitude}, beyond 32 bits "
                "(limit 2147483647); use a bounded activation or smaller targets"
            )
        buffers[buffer.name] = replace(buffer, range=derived, dtype=dtype)


def holds(dtype: str, values: Range) -> bool:
    """Whether a type that is already decided has room for a range."""
    low, high = INT_LIMITS.get(dtype, (0, -1))
    return low <= values.low and values.high <= high


def start_within(step: Step, buffers: Mapping[str, Buffer]) -> Step:
    """A random start narrowed to the clamp, where overflow safety made that the tighter one."""
    if "limit" not in step.sizes:
        return step
    limit = min(step.sizes["limit"], buffers[step.operands["w"]].proven.magnitude)
    return replace(step, sizes={**step.sizes, "limit": limit})


def check_start(step: Step, buffers: Mapping[str, Buffer]) -> None:
    """DataError where weights would start outside their clamp."""
    target = buffers[step.operands["w"]]
    start = step.kernel.bound(input_ranges(step, buffers), step.sizes).ranges["w"]
    refuse_beyond(target, start)


def check_values(buffer: Buffer) -> None:
    """DataError where given weights lie outside the clamp that overflow safety needs."""
    assert buffer.values is not None
    refuse_beyond(buffer, Range(int(buffer.values.min()), int(buffer.values.max())))


def refuse_beyond(buffer: Buffer, seen: Range) -> None:
    """DataError where seen is not within the buffer's range."""
    if seen.low < buffer.proven.low or seen.high > buffer.proven.high:
        raise DataError(
            f"layer {buffer.layer}: {buffer.name} holds {seen.low}..{seen.high}, but overflow is "
            f"excluded only within ±{buffer.proven.magnitude}; give smaller weights"
        )
