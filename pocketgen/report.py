"""What a model needs and how safe it is: memory, work, and the worst case of every sum.

In: a Model. Out: a Report, as rows, as text lines, as JSON.
Not here: code size and stack, which depend on the compiler (targets); printing (cli).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pocketgen.bounds import bounds
from pocketgen.ir import PARAMETER_ROLES, Program, Step
from pocketgen.lower import Weights, lower
from pocketgen.model import Model
from pocketgen.plan import MemoryRow, plan
from pocketgen.plan.places import ram_text
from pocketgen.selftest import vectors


@dataclass(frozen=True)
class SumRow:
    """One accumulator: its worst case for every input and every weight in range.

    bits_to_spare: how often the worst case could double before the limit.
    """

    function: str
    layer: int
    kernel: str
    sum: str
    worst: int
    limit: int
    bits: int
    bits_to_spare: int


@dataclass(frozen=True)
class ClampRow:
    """The clamp of one array of weights; tightened where 32 bits demanded less than was asked."""

    name: str
    layer: int
    asked: int
    clamp: int

    @property
    def tightened(self) -> bool:
        """Whether overflow safety made the clamp tighter than the rule's own."""
        return self.clamp < self.asked


@dataclass(frozen=True)
class Report:
    """Everything about a model that is known before it is compiled."""

    model: str
    digest: str
    description: tuple[str, ...]
    memory: tuple[MemoryRow, ...]
    ram_bytes: int
    padding_bytes: int
    flash_bytes: int
    predict_macs: int
    train_macs: int
    sums: tuple[SumRow, ...]
    clamps: tuple[ClampRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        clamps = [{**asdict(row), "tightened": row.tightened} for row in self.clamps]
        return {**asdict(self), "clamps": clamps}

    def lines(self) -> list[str]:
        """The report as text."""
        lines = [*self.description, "", f"RAM {ram_text(self.memory)}, one struct"]
        lines += table(
            ("field", "type", "bytes", "place", "what"),
            [(r.name, r.type, str(r.bytes), r.place, r.note) for r in self.memory],
        )
        lines += ["", f"flash {self.flash_bytes} bytes of constants, code not counted"]
        lines += [f"{self.predict_macs} MACs to predict, {self.train_macs} to learn a sample", ""]
        lines += table(
            ("step", "sum", "worst case", "limit", "bits to spare"),
            [
                (
                    f"{r.function}, layer {r.layer}: {r.kernel}",
                    r.sum,
                    str(r.worst),
                    f"{r.bits}-bit",
                    str(r.bits_to_spare),
                )
                for r in self.sums
            ],
        )
        lines.append("")
        for row in self.clamps:
            why = f", tightened from ±{row.asked}: 32-bit sums" if row.tightened else ""
            lines.append(f"{row.name} is clamped to ±{row.clamp}{why}")
        return lines


def report(model: Model, weights: Weights | None = None, inference_only: bool = False) -> Report:
    """The report of a model. Raises as pocketgen.generate does."""
    lowered = lower(model, weights, None, inference_only)
    program = bounds(lowered)
    made = plan(program, vectors(program), "")
    return Report(
        model=program.name,
        digest=program.digest,
        description=program.description,
        memory=made.memory,
        ram_bytes=made.ram_bytes,
        padding_bytes=made.padding_bytes,
        flash_bytes=made.flash_bytes,
        predict_macs=made.forward_macs,
        train_macs=made.step_macs if program.training else 0,
        sums=(
            *sum_rows("forward", program.forward),
            *sum_rows("train", program.train),
        ),
        clamps=clamp_rows(lowered, program),
    )


def sum_rows(function: str, steps: Sequence[Step]) -> tuple[SumRow, ...]:
    """One row for each accumulator of each step."""
    return tuple(
        SumRow(
            function,
            step.layer,
            step.kernel.name,
            a.name,
            a.worst,
            a.limit,
            32 if a.dtype == "int32" else 64,
            spare(a.worst, a.limit),
        )
        for step in steps
        for a in step.accumulators
    )


def spare(worst: int, limit: int) -> int:
    """How often worst can double within limit."""
    return (limit // max(worst, 1)).bit_length() - 1


def clamp_rows(lowered: Program, program: Program) -> tuple[ClampRow, ...]:
    """The clamps before and after the proof."""
    return tuple(
        ClampRow(b.name, b.layer, lowered.buffers[b.name].proven.magnitude, b.proven.magnitude)
        for b in program.buffers.values()
        if b.role in PARAMETER_ROLES
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns; numbers to the right."""
    every = [head, *rows]
    widths = [max(len(row[k]) for row in every) for k in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if cell.lstrip("-").isdigit() else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in every
    ]
