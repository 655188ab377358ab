"""Which other values of a rule's options are worth a try.

In: nothing. Out: the kinds of choice from which rules make their tables.
Not here: who tries them (tune).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Span:
    """Whole numbers low..high; even: by their size, not by their order of magnitude."""

    low: int
    high: int
    even: bool = True


Choice = Span | tuple[object, ...]
Space = Mapping[str, Choice]


def halves(batch: int) -> tuple[object, ...]:
    """A batch, its half and its quarter: never more, for its samples stand in the device's RAM."""
    return tuple(sorted({max(1, batch // 4), max(1, batch // 2), batch}))


def widened(choice: Choice, own: Any) -> Choice:
    """The choice with the model's own value in it."""
    if isinstance(choice, Span):
        return Span(min(choice.low, own), max(choice.high, own), choice.even)
    return choice if own in choice else (own, *choice)
