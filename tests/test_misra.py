"""MISRA C:2012 by cppcheck's add-on: the required rules are clean, and docs/misra.md lists every
deviation from an advisory one.

The add-on prints rule numbers without their texts, which are copyrighted.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matrix import SUBJECTS, Sources, Subject
from pocketgen.examples import EXAMPLES
from support import compiler, repository_root

PREFIXES = [example.model.name for example in EXAMPLES.values()]
PAGE = repository_root / "docs" / "misra.md"
GENERATED = repository_root / "generated"
SMALL = [subject for subject in SUBJECTS if subject.model.name not in PREFIXES]
OPTIONS = ["--std=c99", "--platform=arm32-wchar_t4", "--addon=misra", "--quiet"]
# The rules that MISRA C:2012 calls advisory; all others are required or mandatory.
ADVISORY = (
    "1.2 2.3 2.4 2.5 2.6 2.7 5.9 8.7 8.9 8.11 8.13 10.5 11.4 11.5 12.1 12.3 12.4 13.3 13.4 "
    "15.1 15.4 15.5 17.5 17.8 18.4 18.5 19.2 20.1 20.5 20.10 21.12"
)
# Not rules of MISRA: what is certainly or probably wrong in any C.
FAULTS = ["--enable=warning,portability", "--inline-suppr"]


def sources(subject: Subject) -> list[str]:
    """The C files of a small model, as Sources.write leaves them."""
    return [name for name in subject.files() if name.endswith(".c") and "/" not in name]


def findings(folder: Path, names: list[str]) -> list[tuple[str, str]]:
    """(identifier, where) of everything that cppcheck says of one model's files in folder."""
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
    """Of all of generated/, and of small models for what those lack."""
    compiler("cppcheck")
    small = Sources.write(tmp_path_factory.mktemp("misra"), SMALL)
    jobs = [(small.folder, sources(subject)) for subject in SMALL]
    copy = tmp_path_factory.mktemp("generated") / "copy"  # the tool leaves files beside the sources
    shutil.copytree(GENERATED, copy)
    for folder in sorted(path for path in copy.iterdir() if path.is_dir()):
        jobs.append((folder, sorted(str(p.relative_to(folder)) for p in folder.rglob("*.c"))))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        lists = pool.map(lambda job: findings(*job), jobs)
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


def test_required_rules_are_clean(found: list[tuple[str, str]]) -> None:
    """Only advisory rules are deviated from, in truth and on the page."""
    printed = {identifier.removeprefix("misra-c2012-") for identifier, _ in found}
    advisory = set(ADVISORY.split())
    assert {rule for rule in printed if rule[0].isdigit()} <= advisory
    assert set(deviations()) <= advisory
    assert set(deviations().values()) == {"advisory"}


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
    assert "misra-c2012-15.1" in {
        identifier for identifier, _ in findings(tmp_path, sources(subject))
    }
