"""How integers, types and lists are written in C.

In: plain values. Out: text. Not here: anything about a model.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketgen.ir import Array

COLUMNS = 100
UNBROKEN: Any = {"break_long_words": False, "break_on_hyphens": False}  # for textwrap


def c_type(dtype: str) -> str:
    """numpy's name of an integer type in C."""
    return f"{dtype}_t"


def short_type(dtype: str) -> str:
    """i8, u16, …: an integer type inside a name."""
    return dtype.replace("uint", "u").replace("int", "i")


def item_bytes(type_name: str) -> int:
    """Bytes of one value of a C type."""
    return int(np.dtype(type_name.removesuffix("_t")).itemsize)


def number(name: str, value: int, counts: bool) -> int | str:
    """A size as C writes it: unsigned where it counts something, seeds and keys as words."""
    if name in ("key", "seed"):
        return f"0x{value:08x}UL"
    return unsigned(value) if counts else value


def unsigned(value: int) -> str:
    """A number without a sign, as C writes it."""
    return f"{value}u"


def shape_text(shape: Sequence[int]) -> str:
    """100 x 784."""
    return " x ".join(str(n) for n in shape)


def number_lines(values: Array, indent: int = 4) -> tuple[str, ...]:
    """Integers with commas, in columns, in lines of at most 100 characters."""
    words = [str(value) for value in values.ravel().tolist()]
    widest = max(len(word) for word in words)
    per_line = max(1, (COLUMNS - indent + 1) // (widest + 2))
    return tuple(
        " ".join(f"{word:>{widest}}," for word in words[k : k + per_line])
        for k in range(0, len(words), per_line)
    )


def wrapped(head: str, items: Sequence[str], tail: str, indent: int) -> str:
    """head, items with commas, tail: in one line, or wrapped at 100 columns."""
    line = f"{head}{', '.join(items)}{tail}"
    if len(line) + indent <= COLUMNS:
        return line
    margin = " " * (indent + 4)
    body = textwrap.wrap(
        ", ".join(item.replace(" ", "\0") for item in items) + tail,
        COLUMNS - len(margin),
        **UNBROKEN,
    )
    return "\n".join([head, *(margin + line.replace("\0", " ") for line in body)])
