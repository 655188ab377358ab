"""What a proof of the C starts from and has to show: the ranges of the struct, told to an analyser.

In: a Program with ranges, its places. Out: texts for the drivers (templates/prove*.c.j2).
Not here: the analyser (prove).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pocketgen.intmath import INT_LIMITS
from pocketgen.ir import Program, Range
from pocketgen.plan.places import Places
from pocketgen.plan.words import c_type, item_bytes

ANY_STATUS = "-8 <= status <= 0"  # the return codes of the header


@dataclass(frozen=True)
class Claim:
    """One array and the range that its values never leave.

    array: as C names it. count: elements, 0 for a scalar. low, high: the range. first: the byte
    that fills the array before arbitrary values of the range join it, so itself in the range.
    """

    name: str
    array: str
    type: str
    count: int
    low: int
    high: int
    first: int

    @property
    def last(self) -> int:
        """The last index."""
        return self.count - 1

    @property
    def start(self) -> tuple[str, str]:
        """The range as C constants of 64 bits, widened to hold the first value."""
        value = self.first * (256 ** item_bytes(self.type) - 1) // 255
        return literal(min(self.low, value)), literal(max(self.high, value))


def claims(program: Program, places: Places) -> dict[str, Any]:
    """The claims of the struct's members, of the output and of the targets."""
    members = []
    held: dict[str, Range] = {}  # by each member, which buffers may share
    for name, member in places.member.items():
        values = program.buffers[name].proven
        held[member] = values.union(held.get(member, values))
    for field in places.fields:
        if field.name in held:  # not the member of a struct that would be empty
            array = f"net.{field.name}"
            members.append(claim(field.name, array, field.type, field.count, held[field.name]))
    y, label = program.buffers[program.output], program.expects == "label"
    kind = "uint16_t" if label else f"{program.name}_target_t"
    rows = program.batch if program.training else 1
    count = rows * (1 if label else program.classes)
    outputs = held[places.member[program.output]]
    return {
        "claims": tuple(members),
        "widening": ", ".join(map(str, thresholds(program))),
        "output_claim": claim("output", "y", c_type(y.dtype), y.size, outputs),
        "proof_rows": rows,
        "proof_expected": f"{kind} expected[{count}]",
        "proof_expected_type": kind,
        "proof_expected_count": count,
        "proof_one": f"x + {rows - 1}u * {program.name.upper()}_INPUT_SIZE",
        "proof_step": "expected[0]" if label else f"expected + {count - program.classes}u",
        "proof_sets": expected_sets(program) if program.training else (),
    }


def thresholds(program: Program) -> list[int]:
    """The ends of sums: where an analyser may guess that they stop. A guess decides nothing.

    Only of those beyond what a loop counts to: each loop would stop at every smaller number, too.
    """
    steps = (*program.forward, *program.train)
    sums = {a.worst for step in steps for a in step.accumulators if a.worst > 65535}
    return sorted(sums | {-worst for worst in sums})


def claim(name: str, array: str, kind: str, count: int, values: Range) -> Claim:
    """A claim whose array starts from 0 or, where 0 is out of range, from bytes of 1."""
    return Claim(name, array, kind, count, values.low, values.high, int(values.low > 0))


@dataclass(frozen=True)
class ExpectedSet:
    """Labels or targets that training is given: all from low to high, and what it must return."""

    name: str
    low: str
    high: str
    returns: str


def expected_sets(program: Program) -> tuple[ExpectedSet, ...]:
    """Any labels; or targets all within their range, all below, all above it: then refused."""
    if program.expects == "label":
        return (ExpectedSet("any", literal(0), literal(INT_LIMITS["uint16"][1]), ANY_STATUS),)
    target = program.buffers["y"]
    low, high = INT_LIMITS[target.dtype]
    accepted = target.proven
    sets = (
        ("accepted", accepted.low, accepted.high, ANY_STATUS),
        ("too_low", low, accepted.low - 1, "status < 0"),
        ("too_high", accepted.high + 1, high, "status < 0"),
    )
    return tuple(ExpectedSet(n, literal(a), literal(b), r) for n, a, b, r in sets if a <= b)


def literal(value: int) -> str:
    """A C constant of 64 bits."""
    return f"({value + 1}LL - 1)" if value == INT_LIMITS["int64"][0] else f"{value}LL"
