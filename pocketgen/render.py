"""From a plan to files: name and text of everything that is generated.

In: a Plan. Out: {file name: text}, the same bytes for the same plan.
Not here: decisions (plan).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pocketgen.plan import Plan

HERE = Path(__file__).parent
# In a wheel the templates lie inside the package, in a checkout beside it.
TEMPLATE_FOLDERS = (HERE / "templates", HERE.parent / "templates")


@cache
def environment() -> Environment:
    """The templates' environment: undefined names are errors, tags take their line with them."""
    return Environment(
        loader=FileSystemLoader([str(folder) for folder in TEMPLATE_FOLDERS]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(plan: Plan) -> dict[str, str]:
    """The shipped files of a model."""
    return {name: text(template, plan) for template, name in plan.files}


def render_host(plan: Plan) -> dict[str, str]:
    """What drives the shipped files from Python: a C file, and declarations for cffi."""
    return {
        f"{plan.prefix}_host.c": text("host.c.j2", plan),
        "host.cdef": text("host.cdef.j2", plan),
    }


def render_proof(plan: Plan) -> dict[str, str]:
    """What drives the shipped files for an analyser, under the names of its runs."""
    return {
        "api": text("prove.c.j2", plan),
        "selftest": text("prove_selftest.c.j2", plan),
    }


def text(template: str, plan: Plan) -> str:
    """One template filled in."""
    return environment().get_template(template).render(plan=plan)
