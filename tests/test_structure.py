"""The structure of the code itself: import order, file triples, what kernels and templates may say.

Every rule is a function from source text to a list of complaints. It is run over the repository,
and once over text that breaks it, so that a rule which never fires would be seen.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

from support import repository_root

package = repository_root / "pocketgen"
templates = repository_root / "templates"

# The way data flows. A part may import only parts of earlier lines; `__init__` is the package's own
# face, `generate` and `build`. Parts in NEEDS_ONLY need even less than their place would allow.
ORDER: list[tuple[str, ...]] = [
    ("errors",),
    ("intmath",),
    ("ir",),
    ("kernels",),
    ("layers",),
    ("rules",),
    ("model",),
    ("lower", "source"),
    ("bounds",),
    ("reference",),
    ("selftest", "store"),
    ("plan",),
    ("render",),
    ("host",),
    ("datafiles", "output", "health"),
    ("datasets", "fit"),
    ("net", "plots"),
    ("__init__",),
    ("examples", "tune", "verify"),
    ("report", "prove", "stack"),
    ("cli",),
    ("__main__",),
]
NEEDS_ONLY: dict[str, set[str]] = {
    "reference": {"errors", "intmath", "ir", "kernels"},
    "source": {"intmath", "model"},
    "store": {"errors", "ir"},
    "datafiles": {"errors"},
    "selftest": {"errors", "intmath", "ir", "reference"},
    "datasets": {"errors", "intmath", "datafiles", "model"},
    "health": {"ir"},
    "fit": {"errors", "health"},
    "output": {"errors"},
    "plots": {"errors", "fit"},
    "stack": {"errors"},
}
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}

python_files = sorted(package.rglob("*.py"))
kernel_files = [p for p in sorted((package / "kernels").glob("*.py")) if p.stem != "__init__"]
template_files = sorted(templates.rglob("*.j2"))
kernel_templates = sorted((templates / "kernels").glob("*.j2"))


def name_of(path: Path) -> str:
    """The path as the repository knows it: the id of a parametrized test."""
    return path.relative_to(repository_root).as_posix()


# --- imports ------------------------------------------------------------------------------------


def part_of(module: str) -> str:
    """`pocketgen.kernels.dense` -> `kernels`; `pocketgen` itself -> `__init__`."""
    return [*module.split("."), "__init__"][1]


def imported_parts(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """Line and part of every import of pocketgen in a module, those inside functions too."""
    inside = path.relative_to(package).with_suffix("").parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "pocketgen":
                    yield node.lineno, part_of(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ["pocketgen", *inside[: len(inside) - node.level]]
                base = ".".join([*above, base]).rstrip(".")
            if base == "pocketgen":
                for alias in node.names:
                    yield node.lineno, alias.name if alias.name in RANK else "__init__"
            elif base.split(".")[0] == "pocketgen":
                yield node.lineno, part_of(base)


def backward_imports(path: Path, source: str) -> list[str]:
    """Complaints about imports against the order of the pipeline."""
    importer = path.relative_to(package).with_suffix("").parts[0]
    if importer not in RANK:
        return [f"{importer} has no place in ORDER"]
    complaints = []
    for line, imported in imported_parts(path, source):
        if imported == importer:
            continue
        allowed = NEEDS_ONLY.get(importer)
        if imported not in RANK:
            complaints.append(f"line {line}: imports {imported}, which has no place in ORDER")
        elif allowed is not None and imported not in allowed:
            complaints.append(f"line {line}: {importer} needs only {sorted(allowed)}: {imported}")
        elif RANK[imported] >= RANK[importer]:
            complaints.append(f"line {line}: {importer} imports {imported}, which comes later")
    return complaints


@pytest.mark.parametrize("path", python_files, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    assert backward_imports(path, path.read_text("utf-8")) == []


def layer_kinds_in(source: str) -> list[str]:
    """Complaints about a rule that knows more of layers than what every layer offers."""
    return [
        f"line {node.lineno}: {alias.name} from {node.module}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pocketgen.layers")
        for alias in node.names
        if alias.name not in {"Int8", "Layer", "Site"}
    ]


@pytest.mark.parametrize("path", sorted((package / "rules").glob("*.py")), ids=name_of)
def test_rules_know_no_kind_of_layer(path: Path) -> None:
    assert layer_kinds_in(path.read_text("utf-8")) == []


def test_a_layer_kind_in_a_rule_is_seen() -> None:
    assert layer_kinds_in("from pocketgen.layers.dense import Dense")
    assert layer_kinds_in("from pocketgen.layers import Int8, Layer, Site") == []


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("ir.py", "from pocketgen.plan import plan"),
        ("ir.py", "from pocketgen import plan"),
        ("ir.py", "from . import plan"),
        ("ir.py", "def late():\n    import pocketgen.plan"),
        ("layers/dense.py", "from ..rules import DFA"),
        ("layers/dense.py", "from pocketgen.rules.dfa import DFA"),
        ("fit.py", "from pocketgen.model import Model"),
        ("kernels/dense.py", "import pocketgen as pg"),
        ("plan.py", "from pocketgen import __version__"),
        ("__init__.py", "from pocketgen.cli import main"),
        ("reference.py", "from pocketgen.lower import lower"),
        ("novelty.py", ""),
    ],
)
def test_a_backward_import_is_seen(importer: str, source: str) -> None:
    assert backward_imports(package / importer, source)


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("cli.py", "from pocketgen import __version__, bounds"),
        ("kernels/dense.py", "from ..intmath import clamp\nfrom . import base"),
        ("cli.py", "import numpy\nfrom pocketgen.net import Net"),
    ],
)
def test_a_forward_import_is_fine(importer: str, source: str) -> None:
    assert backward_imports(package / importer, source) == []


# --- one kernel, three files --------------------------------------------------------------------


def test_every_kernel_stands_in_three_files() -> None:
    in_python = {path.stem for path in kernel_files}
    in_c = {path.name.removesuffix(".c.j2") for path in kernel_templates}
    in_tests = {
        path.stem.removeprefix("test_")
        for path in (repository_root / "tests" / "kernels").glob("test_*.py")
    }
    assert in_python, "no kernels found"
    assert in_c == in_python
    assert in_tests == in_python


def test_every_integer_primitive_in_c_has_its_twin_in_python() -> None:
    in_c = {path.name.removesuffix(".c.j2") for path in (templates / "intmath").glob("*.j2")}
    tree = ast.parse((package / "intmath.py").read_text("utf-8"))
    assert in_c, "no primitives found"
    assert in_c <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def imported_names(path: Path) -> set[str]:
    """What a file imports, and the last word of every module that it imports from."""
    return {
        name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for name in ((node.module or "").split(".")[-1], *(alias.name for alias in node.names))
    }


def test_every_kernel_is_registered() -> None:
    registered = imported_names(package / "kernels" / "__init__.py")
    assert {path.stem for path in kernel_files} <= registered


@pytest.mark.parametrize("folder", ["layers", "rules"])
def test_no_layer_or_rule_is_forgotten(folder: str) -> None:
    files = sorted((package / folder).glob("*.py"))
    used = {name for path in files for name in imported_names(path)}
    assert {path.stem for path in files} - {"__init__"} <= used


# --- Python -------------------------------------------------------------------------------------

# Python's and numpy's own meaning of these differs from C99's: -257 // 256 is -2, not -1.
REFUSED_OPERATORS = {
    ast.FloorDiv: "//",
    ast.RShift: ">>",
    ast.Div: "/",
    ast.Mod: "%",
}
REFUSED_NAMES = {
    "astype", "clip", "divide", "divmod", "fix", "floor", "floor_divide", "fmod", "mod",
    "remainder", "right_shift", "rint", "round", "true_divide", "trunc",
}  # fmt: skip


def integer_traps(source: str) -> list[str]:
    """Complaints about arithmetic in a kernel that does not go through intmath."""
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in REFUSED_OPERATORS:
            complaints.append(f"line {node.lineno}: operator {REFUSED_OPERATORS[type(node.op)]}")
        elif isinstance(node, ast.Attribute) and node.attr in REFUSED_NAMES:
            complaints.append(f"line {node.lineno}: {node.attr}")
        elif isinstance(node, ast.Name) and node.id in {"divmod", "round"}:
            complaints.append(f"line {node.lineno}: {node.id}")
    return complaints


@pytest.mark.parametrize("path", kernel_files, ids=name_of)
def test_kernels_compute_through_intmath(path: Path) -> None:
    assert integer_traps(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["x // 256", "x //= 256", "x >> 8", "np.clip(x, 0, 1)", "x.astype(int)", "divmod(x, 3)"],
)
def test_an_integer_trap_is_seen(source: str) -> None:
    assert integer_traps(source)


def printing(source: str) -> list[str]:
    """Complaints about output to the terminal."""
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id == "print":
            complaints.append(f"line {node.lineno}: print")
        elif isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}:
            # `run(...).stdout` of a child process is data, sys.stdout is the terminal
            if isinstance(node.value, ast.Name) and node.value.id == "sys":
                complaints.append(f"line {node.lineno}: sys.{node.attr}")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            if any(module.split(".")[0] == "click" for module in modules):
                complaints.append(f"line {node.lineno}: click")
    return complaints


@pytest.mark.parametrize(
    "path", [p for p in python_files if p.relative_to(package).parts[0] != "cli"], ids=name_of
)
def test_only_the_command_line_prints(path: Path) -> None:
    assert printing(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source", ["print(1)", "sys.stderr.write('x')", "from click import echo", "import click"]
)
def test_printing_is_seen(source: str) -> None:
    assert printing(source)


def undocumented(source: str) -> list[str]:
    """Complaints about public functions, classes and methods without a docstring.

    Methods of a class with a base are described where the base declares them.
    """
    complaints = []

    def look(body: list[ast.stmt], owner: str, methods_too: bool) -> None:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name.startswith("_"):
                continue
            is_class = isinstance(node, ast.ClassDef)
            if (is_class or methods_too) and ast.get_docstring(node) is None:
                complaints.append(f"line {node.lineno}: {owner}{node.name} has no docstring")
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{node.name}.", methods_too=not node.bases)

    tree = ast.parse(source)
    if ast.get_docstring(tree) is None:
        complaints.append("the module has no docstring")
    look(tree.body, "", methods_too=True)
    return complaints


@pytest.mark.parametrize("path", python_files, ids=name_of)
def test_what_is_public_is_documented(path: Path) -> None:
    assert undocumented(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "def f(): ...",
        "'''doc'''\nclass A: ...",
        "'''doc'''\nclass A:\n    '''doc'''\n    def f(self): ...",
    ],
)
def test_a_missing_docstring_is_seen(source: str) -> None:
    assert undocumented(source)


# --- templates ----------------------------------------------------------------------------------

COMMENTS = re.compile(r"\{#.*?#\}|/\*.*?\*/|//[^\n]*", re.DOTALL)


def without_comments(source: str) -> str:
    """The template without jinja's and C's comments, line numbers kept."""
    return COMMENTS.sub(lambda match: "\n" * match.group().count("\n"), source)


def c_lines(source: str) -> Iterator[tuple[int, str]]:
    """Line numbers and the C on them: no comments, no tags, a name in place of an expression."""
    code = re.sub(r"\{\{.*?\}\}", "expression", without_comments(source))
    code = re.sub(r"\{%.*?%\}", "", code)
    for number, line in enumerate(code.splitlines(), 1):
        if not line.lstrip().startswith("#include"):
            yield number, line


def unnamed_division(source: str) -> list[str]:
    """Complaints about `/`, and about `>>` of anything not visibly unsigned."""
    complaints = []
    for number, line in c_lines(source):
        if "/" in line:
            complaints.append(f"line {number}: a bare /: {line.strip()}")
        if ">>" in line and "(uint" not in line:
            complaints.append(f"line {number}: >> without an unsigned cast: {line.strip()}")
    return complaints


@pytest.mark.parametrize("path", kernel_templates, ids=name_of)
def test_kernels_in_c_divide_by_name(path: Path) -> None:
    assert unnamed_division(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source", ["y = x / 256;", "y = x >> 8;", "y = {{ a }} / {{ b }};", "/* a / b */ y = a / b;"]
)
def test_a_bare_division_is_seen(source: str) -> None:
    assert unnamed_division(source)


def test_division_in_comments_and_unsigned_shifts_are_fine() -> None:
    assert unnamed_division("/* a / b */\ny = (uint32_t)x >> 8; // a / b\n{# a / b #}\n") == []


def untidy_tags(source: str) -> list[str]:
    """Complaints about whitespace marks, tags that share a line, and an `if` inside an `if`."""
    complaints = []
    open_ifs = 0
    for number, line in enumerate(source.splitlines(), 1):
        if re.search(r"\{[%{#][-+]|[-+][%}#]\}", line):
            complaints.append(f"line {number}: whitespace mark: {line.strip()}")
        tags = re.findall(r"\{%.*?%\}", line)
        if tags and tags != [line.strip()]:
            complaints.append(f"line {number}: a tag shares its line: {line.strip()}")
        for tag in tags:
            word = tag.strip("{%+- }").split()[0]
            open_ifs += {"if": 1, "endif": -1}.get(word, 0)
            if word == "if" and open_ifs > 1:
                complaints.append(f"line {number}: an if inside an if")
    return complaints


def deciding(source: str) -> list[str]:
    """Complaints about arithmetic and type tests: they belong in plan.py."""
    arithmetic = (
        nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow,
    )  # fmt: skip
    tree = jinja2.Environment().parse(source)
    complaints = [f"line {node.lineno}: arithmetic" for node in tree.find_all(arithmetic)]
    complaints += [
        f"line {node.lineno}: a type test: is {node.name}"
        for node in tree.find_all(nodes.Test)
        if node.name in {"boolean", "integer", "float", "mapping", "number", "sequence", "string"}
    ]
    complaints += [f"line {node.lineno}: inheritance" for node in tree.find_all(nodes.Extends)]
    return complaints


@pytest.mark.parametrize("path", template_files, ids=name_of)
def test_templates_only_print(path: Path) -> None:
    source = path.read_text("utf-8")
    assert untidy_tags(source) + deciding(source) == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (untidy_tags, "{%- if a %}\n{% endif %}"),
        (untidy_tags, "{{ a -}}"),
        (untidy_tags, "x{% if a %}y{% endif %}"),
        (untidy_tags, "{% if a %}{% endif %}"),
        (untidy_tags, "{% if a %}\n{% for b in c %}\n{% if d %}\n{% endif %}"),
        (deciding, "{{ a + 1 }}"),
        (deciding, "{% if a is string %}\n{% endif %}"),
        (deciding, "{% extends 'a' %}"),
    ],
)
def test_a_deciding_template_is_seen(rule: Callable[[str], list[str]], source: str) -> None:
    assert rule(source)


def refused_words(path: Path, source: str) -> list[str]:
    """Complaints about paths of the machine that wrote a file, and about C that we never emit."""
    words = r"/(?:work|root|tmp|home)\b"
    if path.suffix == ".j2" and path.name not in {"Makefile.j2", "CMakeLists.txt.j2"}:
        source = without_comments(source)
        words += r"|\b(?:malloc|calloc|realloc|alloca|float|double)\b"
    return [
        f"line {number}: {match.group()}"
        for number, line in enumerate(source.splitlines(), 1)
        for match in re.finditer(words, line)
    ]


@pytest.mark.parametrize("path", [*python_files, *template_files], ids=name_of)
def test_refused_words_are_absent(path: Path) -> None:
    assert refused_words(path, path.read_text("utf-8")) == []


def test_refused_words_are_seen() -> None:
    template = templates / "x.c.j2"
    assert refused_words(package / "x.py", "cache = '/tmp/x'")
    assert refused_words(template, "float y = 0;")
    assert refused_words(template, "/* no malloc, no float */\n") == []


# --- the order is told once ---------------------------------------------------------------------


def test_the_order_names_only_what_the_pipeline_has() -> None:
    present = {path.relative_to(package).with_suffix("").parts[0] for path in python_files}
    optional = {"__main__", "report", "prove"}
    assert set(RANK) - optional <= present
    assert all(NEEDS_ONLY[part] <= set(RANK) for part in NEEDS_ONLY)
    assert len(RANK) == sum(map(len, ORDER)), "a part is named twice"
