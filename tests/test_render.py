"""The generated text: the same bytes every time, tidy, and silent about where it was made."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import jinja2
import pytest

import pocketgen as pg
from pocketgen.plan.words import COLUMNS
from pocketgen.render import environment, render, render_host
from small_models import LIBRARIES, Library
from support import repository_root

WIDEST = 120  # columns of a Makefile, where the user's name for the model is not longer than
LONGEST_NAME = 13  # fashion_mnist

MNIST = pg.Model(
    "mnist",
    pg.Input((784,), "uint8"),
    [pg.Dense(100, "pocket_tanh"), pg.Dense(50, "pocket_tanh"), pg.Dense(10, "pocket_tanh")],
    pg.DFA(lr_inv=1000, batch=20, target=15),
)
# Every size as long as it can be, but cheap: what is long is numbers, not work.
LONG_NUMBERS = pg.Model(
    "numbers_as_long_as_they_can_be_1",
    pg.Input((60001,), "uint16", scale=pg.Scale(-65535, -(2**24), 30, "int16")),
    [pg.Dense(3, "pocket_tanh"), pg.Dense(2, "pocket_leakyrelu")],
    pg.Backprop(lr_inv=2**31 - 1, batch=65535, target="vector", target_range=(-32767, 32767)),
    seed=2**32 - 1,
)
ALL = {
    **LIBRARIES,
    "mnist": Library(MNIST),
    "long numbers": Library(LONG_NUMBERS, "given", 1),
}


@pytest.fixture(scope="module")
def texts() -> dict[str, dict[str, str]]:
    """Everything that is generated, by library and file."""
    return {name: library.files() for name, library in ALL.items()}


def digests(texts: dict[str, dict[str, str]]) -> dict[str, str]:
    return {
        f"{name}: {file}": hashlib.sha256(text.encode()).hexdigest()
        for name, files in texts.items()
        for file, text in files.items()
    }


# --- the same bytes -----------------------------------------------------------------------------


def test_the_same_bytes_twice(texts: dict[str, dict[str, str]]) -> None:
    assert {name: library.files() for name, library in LIBRARIES.items()} == {
        name: texts[name] for name in LIBRARIES
    }


ELSEWHERE = """
import json, sys
sys.path[:0] = sys.argv[1:]
from test_render import LIBRARIES, digests
print(json.dumps(digests({name: library.files() for name, library in LIBRARIES.items()})))
"""


@pytest.mark.parametrize("hash_seed", ["0", "4321"])
def test_the_same_bytes_in_another_process_and_folder(
    texts: dict[str, dict[str, str]], hash_seed: str, tmp_path: Path
) -> None:
    folders = [str(repository_root), str(repository_root / "tests")]
    result = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *folders],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "LC_ALL": "C", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == digests({name: texts[name] for name in LIBRARIES})


def test_rendering_leaves_the_plan_alone() -> None:
    plan = LIBRARIES["dfa, own"].plan()
    assert render(plan) == render(plan)
    assert render_host(plan) == render_host(plan)


def test_generate_is_the_composition_of_the_stages() -> None:
    for library in LIBRARIES.values():
        assert render(library.plan()) == library.files()


# --- which files --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_files(texts: dict[str, dict[str, str]], name: str) -> None:
    prefix, start = ALL[name].model.name, ALL[name].start
    expected = {f"{prefix}{end}" for end in (".h", ".c", "_store.c", "_selftest.c")}
    expected |= {"Makefile", "CMakeLists.txt", "host/selftest_main.c"}
    if start != "inference only":
        expected.add(f"{prefix}_train.c")
    if start != "own":
        expected.add(f"{prefix}_weights.c")
    assert set(texts[name]) == expected
    assert next(iter(texts[name])) == f"{prefix}.h"
    for file in texts[name]:
        if file.endswith(".c") and "/" not in file:
            for builder in ("Makefile", "CMakeLists.txt"):
                stem = file.removesuffix(".c")
                assert re.search(rf"\b{stem}\.[co]\b", texts[name][builder]), (file, builder)


# --- tidiness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_lines(texts: dict[str, dict[str, str]], name: str) -> None:
    short = len(ALL[name].model.name) <= LONGEST_NAME
    for file, text in texts[name].items():
        for number, line in enumerate(text.split("\n"), 1):
            place = f"{file}:{number}: {line}"
            columns = COLUMNS if file.endswith((".c", ".h")) else WIDEST
            assert len(line) <= columns or not short, place
            assert line == line.rstrip(), place
            assert "\t" not in line.lstrip("\t"), place
            assert not line.startswith("\t") or file == "Makefile", place


@pytest.mark.parametrize("name", ALL)
def test_blank_lines_and_ends(texts: dict[str, dict[str, str]], name: str) -> None:
    for file, text in texts[name].items():
        assert text.endswith("\n"), file
        assert not text.endswith("\n\n"), file
        assert not text.startswith("\n"), file
        assert "\n\n\n" not in text, f"{file}: {text[: text.index(chr(10) * 3)][-200:]}"
        assert "\r" not in text, file
        assert "{\n\n" not in text, file
        assert "\n\n}" not in text, file


@pytest.mark.parametrize("name", ALL)
def test_only_ascii(texts: dict[str, dict[str, str]], name: str) -> None:
    for file, text in texts[name].items():
        assert text.isascii(), file


@pytest.mark.parametrize("name", ALL)
def test_nothing_of_the_templates_is_left(texts: dict[str, dict[str, str]], name: str) -> None:
    for file, text in texts[name].items():
        c = file.endswith((".c", ".h"))
        for trace in ("{{", "}}", "{%", "%}", "{#", "Undefined", "None", "True", "SimpleNamespace"):
            assert trace not in text, (file, trace)
        if c:
            for opening, closing in ("{}", "()", "[]"):
                assert text.count(opening) == text.count(closing), (file, opening)
            assert text.count("/*") == text.count("*/"), file


# --- silence ------------------------------------------------------------------------------------


def traces() -> list[str]:
    """What tells of this machine, this user and this day."""
    today = date.today()
    found = [
        getpass.getuser(),
        socket.gethostname(),
        str(repository_root),
        str(Path.home()),
        str(Path.cwd()),
        sys.prefix,
        today.isoformat(),
        f"{today:%d %B %Y}",
        f"{today:%b %d %Y}",
    ]
    return [trace for trace in found if len(trace) > 2]


@pytest.mark.parametrize("name", ALL)
def test_no_trace_of_machine_user_or_day(texts: dict[str, dict[str, str]], name: str) -> None:
    for file, text in texts[name].items():
        for trace in traces():
            assert not re.search(rf"(?<!\w){re.escape(trace)}(?!\w)", text), (file, trace)
        for macro in ("__DATE__", "__TIME__", "__FILE__"):
            assert macro not in text, file
        words = text if file.endswith((".c", ".h")) else ""
        assert not re.search(r"/(?:home|tmp|root|usr)/", words), file


# --- StrictUndefined ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    ["{{ nothing }}", "{{ plan.nothing }}", "{% if nothing %}{% endif %}", "{{ plan.a.b }}"],
)
def test_undefined_names_are_errors(template: str) -> None:
    plan = LIBRARIES["one, own"].plan()
    with pytest.raises(jinja2.UndefinedError, match=r"nothing|'a'"):
        environment().from_string(template).render(plan=plan)


def test_whitespace_is_what_the_templates_look_like() -> None:
    text = environment().from_string("a\n  {% if True %}\n  b\n  {% endif %}\nc\n").render()
    assert text == "a\n  b\nc\n"
    assert environment().from_string("{{ '<&>' }}").render() == "<&>"
