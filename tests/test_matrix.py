"""Every line of the matrix (tests/matrix.py) gives the bits that numpy gives, or warns of nothing.

POCKETGEN_MATRIX=full runs all languages and flags at every level and width as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import matrix
import pocketgen as pg
from matrix import Build, Result, Sources, Subject
from support import require

BUILDS = matrix.builds(full=os.environ.get("POCKETGEN_MATRIX") == "full")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources.write(tmp_path_factory.mktemp("matrix"))


@pytest.fixture(scope="module")
def result_of(
    request: pytest.FixtureRequest, sources: Sources
) -> Iterator[Callable[[Build], Result]]:
    """Results of builds; the chosen ones are all started at once, to use every core."""
    assert sources.expected  # computed once, before the threads
    distributed = "PYTEST_XDIST_WORKER" in os.environ  # then the workers use the cores
    chosen = {item.name for item in request.session.items}
    with ThreadPoolExecutor(1 if distributed else os.cpu_count()) as pool:
        started: dict[str, Future[Result]] = {}
        for build in BUILDS:
            if not distributed and f"{test_the_matrix.__name__}[{build.name}]" in chosen:
                started[build.name] = pool.submit(matrix.attempt, build, sources)

        def result(build: Build) -> Result:
            if build.name in started:
                return started[build.name].result()
            return matrix.attempt(build, sources)

        yield result
        for future in started.values():
            future.cancel()


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_the_matrix(result_of: Callable[[Build], Result], build: Build) -> None:
    result = result_of(build)
    require(result.verdict != "missing", result.detail)
    assert result.verdict == ("same" if build.runs else "clean"), result.detail


def test_the_matrix_holds_what_is_asked_of_it() -> None:
    """Every level and width, language, meaning, checker and byte order, whatever is added."""
    names = {build.name for build in BUILDS}
    asked = {
        *(
            f"{tool} {level}{width}"
            for tool in ("gcc", "clang")
            for level in ("-O0", "-O1", "-O2", "-O3", "-Os")
            for width in ("", " -m32")
        ),
        *(
            f"{tool} -O2 {flag}"
            for tool in ("gcc", "clang")
            for flag in (
                *("-std=c11", "-std=c17", "-x c++ -std=c++11"),
                *("-funsigned-char", "-fwrapv", "-ftrapv"),
            )
        ),
        *("gcc UBSan ASan", "clang UBSan ASan", "valgrind", "gcc -fanalyzer", "clang -Weverything"),
        *("powerpc -O2", "s390x -O2", "mips -O2"),
    }
    assert asked - names == set()
    plain = next(build for build in BUILDS if build.name == "gcc -O2")
    assert "-std=c99" in plain.command
    for name in ("gcc UBSan ASan", "clang UBSan ASan"):
        assert "-fno-sanitize-recover=all" in CHECKERS[name].command


# --- the bench itself would notice --------------------------------------------------------------

PLAIN = matrix.host("gcc", "-O1")
CHECKERS = {build.name: build for build in BUILDS}
OUTPUT = r"out\[c\] = net->(\w+)\[c\];"
BITS = r"\(uint16_t\)value\[i\];"


def spoilt(folder: Path, build: Build, pattern: str, new: str) -> Result:
    """What a build says of a small model in whose C something was replaced."""
    require(not matrix.missing(build), matrix.missing(build))
    sources = Sources.write(folder, [Subject.small("seeded")])
    count = 0
    for path in folder.glob("seeded_*.c"):
        text, changes = re.subn(pattern, new, path.read_text("utf-8"))
        path.write_text(text, "utf-8")
        count += changes
    assert count > 0, f"nothing like {pattern} is generated any more"
    return matrix.attempt(build, sources)


def test_a_wrong_result_is_seen(tmp_path: Path) -> None:
    result = spoilt(tmp_path, PLAIN, OUTPUT, r"out[c] = (int8_t)(net->\1[c] & -2);")
    assert result.verdict == "FAILED"
    assert result.detail.startswith("here:  seeded_own outputs ")


def test_a_dependence_on_byte_order_is_seen(tmp_path: Path) -> None:
    memory = "((const uint8_t *)&value[i])"
    new = f"(uint16_t)({memory}[0] | {memory}[1] << 8);"
    assert spoilt(tmp_path, PLAIN, BITS, new).verdict == "same"
    for name in ("powerpc -O2", "s390x -O2", "mips -O2"):
        result = spoilt(tmp_path, CHECKERS[name], BITS, new)
        assert result.verdict == "FAILED"
        assert "digest" in result.detail


UNSET = r"{ int32_t some[9]; out[c] = (some[net->\1[c] & 7] & 1) ? 0 : 1; }"
BEFORE_TRAINING = r"out[c] = net->e[c];"


@pytest.mark.parametrize(
    ("name", "new", "word"),
    [
        ("gcc UBSan ASan", r"out[c] = (int8_t)(INT32_MAX + net->\1[c] * net->\1[c]);", "overflow"),
        ("clang UBSan ASan", r"out[c] = net->\1[c + 4000];", "index 4000 out of bounds"),
        ("clang MSan", BEFORE_TRAINING, "use-of-uninitialized-value"),
        ("gcc -O2", BEFORE_TRAINING, "selftest 2"),
        ("valgrind", BEFORE_TRAINING, "uninitialised"),
        ("gcc -fanalyzer", UNSET, "uninitialized"),
        ("clang -Weverything", r"out[c] = net->\1[c];;", "extra-semi"),
    ],
)
def test_a_fault_is_seen(tmp_path: Path, name: str, new: str, word: str) -> None:
    result = spoilt(tmp_path, CHECKERS[name], OUTPUT, new)
    assert result.verdict == "FAILED"
    assert word in result.detail


def test_what_is_missing_is_said() -> None:
    nowhere = replace(PLAIN, command=("no-such-compiler",))
    assert matrix.missing(nowhere) == "no-such-compiler is not installed"
    assert matrix.attempt(nowhere, Sources(Path(), ())).verdict == "missing"
    refused = replace(PLAIN, probe="-mno-such-flag")
    if not matrix.missing(PLAIN):
        assert matrix.missing(refused) == "gcc -mno-such-flag makes no programs here"


def test_the_models_are_unlike() -> None:
    """What the matrix is meant to hold, whatever the small models become."""
    rules = {type(subject.model.rule).__name__ for subject in matrix.SUBJECTS}
    assert rules >= {"DFA", "Backprop"}
    assert any(subject.model.rule.wide_sums for subject in matrix.SUBJECTS)
    assert any(subject.model.rule.expects == "y" for subject in matrix.SUBJECTS)
    assert any(subject.model.input.scale is not None for subject in matrix.SUBJECTS)
    assert {subject.start for subject in matrix.SUBJECTS} == {"own", "given", "inference"}
    batches = {subject.model.rule.batch for subject in matrix.SUBJECTS}
    assert 1 in batches
    assert max(batches) > 1
    files = [text for subject in matrix.SUBJECTS for text in subject.files().values()]
    assert any("int64_t gradient" in text for text in files)
    assert any("int32_t gradient" in text for text in files)
    assert any("_draw_symmetric(index" in text for text in files)  # feedback that is not stored


def test_numpy_is_the_judge() -> None:
    """A learning network's line holds its digest, not its start's."""
    subject = Subject.small("seeded")
    line = matrix.expected_line(subject)
    start = pg.build(subject.model, engine="numpy").digest()
    assert f"{start:08x}" not in line
    assert re.fullmatch(r"seeded_own( \w+ [0-9a-f]{8}){3} loaded 0 as [0-9a-f]{8} selftest 0", line)
