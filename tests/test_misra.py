"""MISRA C:2012 by cppcheck's add-on: every deviation is in docs/misra.md, and no other is.

The add-on prints rule numbers without their texts, which are copyrighted.
"""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matrix import SUBJECTS, Sources, Subject
from pocketgen.examples import EXAMPLES
from support import compiler, repository_root

PAGE = repository_root / "docs" / "misra.md"
CHECKED = [*SUBJECTS, *(Subject(EXAMPLES[name].model) for name in ("digits", "sine"))]
OPTIONS = ["--std=c99", "--platform=arm32-wchar_t4", "--addon=misra", "--quiet"]
# Not rules of MISRA: what is certainly or probably wrong in any C.
FAULTS = ["--enable=warning,portability", "--inline-suppr"]


def findings(subject: Subject, folder: Path) -> list[tuple[str, str]]:
    """(identifier, where) of everything that cppcheck says of one model's files."""
    names = [name for name in subject.files() if name.endswith(".c") and "/" not in name]
    template = "--template={id} {file}:{line}"
    done = subprocess.run(
        [compiler("cppcheck"), *OPTIONS, *FAULTS, template, "-I.", *names],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return [(line.split()[0], line) for line in done.stderr.splitlines() if " " in line]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    compiler("cppcheck")
    sources = Sources.write(tmp_path_factory.mktemp("misra"), CHECKED)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        lists = pool.map(lambda subject: findings(subject, sources.folder), CHECKED)
    return [finding for one in lists for finding in one]


def deviations() -> dict[str, str]:
    """Rule and category of each row of the page's table."""
    rows = re.findall(r"^\| (\d+\.\d+) \| (\w+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(dict(rows)) == len(rows), "a rule stands in the table twice"
    return dict(rows)


def test_the_page_lists_exactly_what_the_tool_prints(found: list[tuple[str, str]]) -> None:
    printed = {
        identifier.removeprefix("misra-c2012-"): where
        for identifier, where in found
        if identifier.startswith("misra-c2012-")
    }
    listed = deviations()
    unlisted = {rule: where for rule, where in printed.items() if rule not in listed}
    assert unlisted == {}, "deviations that docs/misra.md does not explain"
    assert sorted(set(listed) - set(printed)) == [], "mended: take these out of docs/misra.md"


def test_nothing_else_is_said(found: list[tuple[str, str]]) -> None:
    """Beside MISRA: no error, warning or portability message."""
    assert [where for identifier, where in found if not identifier.startswith("misra-")] == []


def test_no_mandatory_rule_is_broken() -> None:
    assert set(deviations().values()) <= {"required", "advisory"}


def test_the_table_is_in_order() -> None:
    order = [tuple(map(int, rule.split("."))) for rule in deviations()]
    assert order == sorted(order)


def test_a_violation_is_seen(tmp_path: Path) -> None:
    """The add-on is at work: a goto is told of."""
    subject = Subject.small("one")
    Sources.write(tmp_path, [subject])
    store = tmp_path / "one_own_store.c"
    text = store.read_text("utf-8")
    store.write_text(
        text + "int one_own_spin(int n);\nint one_own_spin(int n)\n{\nagain:\n"
        "    n--;\n    if (n > 0) {\n        goto again;\n    }\n    return n;\n}\n"
    )
    assert "misra-c2012-15.1" in {identifier for identifier, _ in findings(subject, tmp_path)}
