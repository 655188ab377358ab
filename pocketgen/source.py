"""A model as Python that makes it: the file that MODEL on the command line may name.

In: a model. Out: text; executed, it gives an equal model. Not here: files.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import MISSING, fields
from typing import Any

from pocketgen.intmath import is_whole
from pocketgen.model import Model

WIDTH = 100


def source(model: Model, title: str = "") -> str:
    """Python text with a line ``model = pg.Model(...)``; title: its docstring, some lines.

    Options that have their default are left out. Equal models give equal text.
    """
    heading = f'"""{title}"""\n\n' if title else ""
    arguments = [f"{field.name}={written(getattr(model, field.name))}" for field in fields(model)]
    body = textwrap.indent(",\n".join(arguments) + ",", "    ")
    return f"{heading}import pocketgen as pg\n\nmodel = pg.Model(\n{body}\n)\n"


def written(value: Any) -> str:
    """A value of a model in Python, over several lines where it is long."""
    if isinstance(value, (tuple, list)):
        return sequence(value)
    if hasattr(value, "__dataclass_fields__"):
        return record(value)
    if isinstance(value, str):
        return json.dumps(value)
    return str(int(value)) if is_whole(value) else repr(value)


def record(value: Any) -> str:
    """A call of one of the package's dataclasses."""
    given = [
        f"{field.name}={written(getattr(value, field.name))}"
        for field in fields(value)
        if field.default is MISSING or getattr(value, field.name) != field.default
    ]
    return enclosed(f"pg.{type(value).__name__}(", given, ")")


def sequence(value: Any) -> str:
    """A tuple."""
    items = [written(item) for item in value]
    return f"({items[0]},)" if len(items) == 1 else enclosed("(", items, ")")


def enclosed(start: str, items: list[str], end: str) -> str:
    """Items in brackets: on one line, or each on its own, or numbers side by side."""
    flat = f"{start}{', '.join(items)}{end}"
    if len(flat) <= WIDTH - 20 and "\n" not in flat:
        return flat
    if all(len(item) < 12 and "\n" not in item for item in items):
        inner = textwrap.fill(", ".join(items) + ",", WIDTH - 20)
    else:
        inner = ",\n".join(items) + ","
    return f"{start}\n{textwrap.indent(inner, '    ')}\n{end}"
