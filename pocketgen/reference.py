"""The numpy interpreter: it executes the very list of steps that is printed as C.

In: a Program with ranges. Out: its buffers, after any function of it.
Not here: files, progress, compilers; and no arithmetic, which the kernels bring.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pocketgen.intmath import INT64_MAX, clamp, first_maximum, store, wide
from pocketgen.ir import ARGUMENT_ROLES, Array, Buffer, Program, Step


class Reference:
    """One instance of a program, as the C struct is one; rows of per-sample buffers come first."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.arrays: dict[str, Array] = {
            b.name: allocate(b, program.batch)
            for b in program.buffers.values()
            if b.role not in ARGUMENT_ROLES
        }

    def init(self, seed: int) -> None:
        """p_init: the initial or trained weights, and the full learning rate."""
        for buffer in self.program.states if self.program.training else ():
            self.arrays[buffer.name][...] = buffer.start
        self.execute(self.program.init, {"seed": seed})

    def forward(self, x: Array) -> Array:
        """The output of up to a batch of samples (samples, features), a copy."""
        self.execute(self.program.forward, batch_arguments(x))
        output: Array = self.arrays[self.program.output][: len(x)].copy()
        return output

    def train_batch(self, x: Array, y: Array) -> None:
        """p_train_batch: forward, then the rule's steps, for up to a batch of samples."""
        arguments = {**batch_arguments(x), self.program.expects: y}
        self.execute(self.program.learning_forward, arguments)
        self.execute(self.program.train, arguments)

    def train_samples(self, x: Array, y: Array, order: Array) -> tuple[int, int]:
        """Train on the rows x[order], batch by batch: (sum of losses, hits before the update)."""
        program, loss, hits = self.program, 0, 0
        for start in range(0, len(order), program.batch):
            rows = order[start : start + program.batch]
            self.train_batch(x[rows], y[rows])
            error = wide(self.arrays[program.error][: len(rows)])
            loss += sum((error * error >> 1).ravel().tolist())
            if program.expects == "label":
                output = self.arrays[program.output][: len(rows)]
                hits += int((first_maximum(output) == wide(y[rows])).sum())
        return min(loss, INT64_MAX), hits

    def digest(self) -> int:
        """CRC-32 of weights and biases, little-endian, in the order of the program."""
        crc = 0
        for buffer in self.program.parameters:
            values = self.arrays[buffer.name]
            crc = zlib.crc32(values.astype(values.dtype.newbyteorder("<")).tobytes(), crc)
        return crc

    def execute(self, steps: Iterable[Step], arguments: Mapping[str, Any]) -> None:
        """Run steps in order; samples of a batch are independent, so all go through at once."""
        for step in steps:
            operands = {name: self.operand(b, arguments) for name, b in step.operands.items()}
            if step.update is not None:
                operands["update"] = self.update(step.update, arguments)
            step.kernel.run(**operands, sizes=step.sizes)
            self.check(step, arguments)

    def operand(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """What stands for an argument: the caller's, an array, or an array's first n rows."""
        if name in arguments:
            return arguments[name]
        array = self.arrays[name]
        return array[: arguments["n"]] if self.program.buffers[name].per_sample else array

    def update(self, step: Step, arguments: Mapping[str, Any]) -> Any:
        """The element kernel as a function of (w, gradient)."""
        operands = {name: self.operand(b, arguments) for name, b in step.operands.items()}

        def apply(w: Array, gradient: Array) -> Any:
            return step.kernel.run(w, gradient, **operands, sizes=step.sizes)

        return apply

    def check(self, step: Step, arguments: Mapping[str, Any]) -> None:
        """AssertionError if a result left its proven range: the proof or a kernel is wrong."""
        for name in step.names("out", "inout"):
            array, limits = self.operand(name, arguments), self.program.buffers[name].proven
            if array.size and (array.min() < limits.low or array.max() > limits.high):
                raise AssertionError(
                    f"{step.note}: {name} holds {array.min()}..{array.max()}, "
                    f"proven {limits.low}..{limits.high}"
                )


def batch_arguments(x: Array) -> dict[str, Any]:
    """What the caller of a forward pass hands over: samples, their number, their places."""
    return {"x": x, "n": len(x), "row": np.arange(len(x))}


def allocate(buffer: Buffer, batch: int) -> Array:
    """A zeroed array for a buffer, or its constant values."""
    shape = (batch, *buffer.shape) if buffer.per_sample else buffer.shape
    array = np.zeros(shape, dtype=buffer.dtype)
    if buffer.values is not None:
        store(array, clamp(buffer.values, buffer.proven.low, buffer.proven.high))
    return array
