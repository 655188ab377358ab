"""From a program to the vectors with which its C proves itself on any machine.

In: a Program with ranges. Out: what the reference makes of fixed samples, before, during and after
some steps of training. The samples are functions of their number, so that they need no memory.
Not here: how the C compares (templates).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketgen.intmath import Int64, mix, ramp, store, wide
from pocketgen.ir import Array, Buffer, Program, Range
from pocketgen.reference import Reference

FORWARD_SAMPLES = 4
STEPS = 6  # of training at the full rate
SLOWED_STEPS = 2  # more, at another rate
EXTREME_STEPS = 2  # more, from weights at their clamps
TARGET_COUNTER = 0x80000000  # keeps the targets' random numbers apart from the samples'


@dataclass(frozen=True)
class Vectors:
    """What the self-test expects.

    start_digest: of the initial weights. outputs: of samples 0..3 at the start, and once more after
    the training that starts there (rows, classes). digests: of the weights after each step: at the
    full rate, at a lower one, and from weights at their clamps. batch: samples a step.
    """

    start_digest: int
    outputs: Array
    digests: tuple[int, ...]
    batch: int


def vectors(program: Program) -> Vectors:
    """Run the reference over the self-test's samples."""
    reference = Reference(program)
    reference.init(program.seed)
    start_digest = reference.digest()
    samples = np.stack([sample(program, number) for number in range(FORWARD_SAMPLES)])
    outputs = [outputs_of(reference, samples)]
    digests: list[int] = []
    batch = min(2, program.batch)
    if program.training:
        for step in range(STEPS + SLOWED_STEPS):
            set_rate(reference, slowed=step >= STEPS)
            digests.append(digest_after(reference, step, batch))
        outputs.append(outputs_of(reference, samples))
        set_rate(reference, slowed=False)
        extremes(reference)
        for step in range(len(digests), len(digests) + EXTREME_STEPS):
            digests.append(digest_after(reference, step, batch))
    return Vectors(start_digest, np.concatenate(outputs), tuple(digests), batch)


def rates(program: Program) -> tuple[Buffer, int, int]:
    """The state that sets the learning rate, its value at the full rate and at a lower one."""
    rate = program.states[0]
    lower = 1 if rate.start == 0 else -(-rate.start // 2)  # a count of halvings, or the rate itself
    return rate, rate.start, lower


def set_rate(reference: Reference, slowed: bool) -> None:
    """Set the full learning rate or the lower one."""
    rate, full, lower = rates(reference.program)
    reference.arrays[rate.name][...] = lower if slowed else full


def digest_after(reference: Reference, step: int, batch: int) -> int:
    """Train on the samples of a step, counted from 0; the digest of the weights then."""
    program, numbers = reference.program, range(step * batch, step * batch + batch)
    x = np.stack([sample(program, number) for number in numbers])
    reference.train_batch(x, np.stack([expected(program, number) for number in numbers]))
    return reference.digest()


def extremes(reference: Reference) -> None:
    """Put every weight at its clamp, on one side and the other in turn."""
    for buffer in reference.program.parameters:
        limit, w = buffer.proven.magnitude, reference.arrays[buffer.name]
        signs = 1 - 2 * (np.arange(w.size, dtype=np.int64) % 2)
        store(w, (limit * signs).reshape(w.shape))


def outputs_of(reference: Reference, samples: Array) -> Array:
    """The outputs of samples one by one, as the C computes them."""
    return np.concatenate([reference.forward(samples[k : k + 1]) for k in range(len(samples))])


def sample(program: Program, number: int) -> Array:
    """Sample 0: a ramp of period 251; 1: the extremes in turn; from 2 on: scattered values."""
    x = program.buffers[program.input]
    count, limits = x.size, program.input_range
    if number == 0:
        values = ramp(count)
    elif number == 1:
        values = (np.arange(count, dtype=np.int64) % 2) * (limits.high - limits.low)
    else:
        values = wide(mix(number * 65536 + np.arange(count, dtype=np.int64)))
    return within(limits, values).astype(x.dtype)


def expected(program: Program, number: int) -> Array:
    """The label, or the vector of targets, that goes with a sample."""
    if program.expects == "label":
        return np.asarray(number % program.classes, dtype=np.uint16)
    y = program.buffers["y"]
    counters = number * 65536 + TARGET_COUNTER + np.arange(y.size, dtype=np.int64)
    return within(y.proven, wide(mix(counters))).astype(y.dtype)


def within(limits: Range, values: Int64) -> Int64:
    """Non-negative values folded into limits."""
    return limits.low + values % (limits.high - limits.low + 1)
